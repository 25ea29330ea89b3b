"""Running a command with settings and container."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container
    from pixyproxy.entrypoints.settings import Settings

T = TypeVar("T")


def settings_from(environment: Mapping[str, str]) -> "Settings":
    """Load the settings, or exit with status 1 and a list of every problem."""
    from pixyproxy.entrypoints.settings import SettingsError, load_settings

    try:
        return load_settings(environment)
    except SettingsError as exc:
        raise click.ClickException("these settings can't be used:\n  " + "\n  ".join(exc.problems)) from exc


def run_with_container(work: Callable[["Container"], Awaitable[T]], settings: "Settings | None" = None) -> T:
    """Run `work` with an open container, as `run` does."""
    from pixyproxy.entrypoints.container import Container, opened

    settings = settings or settings_from(os.environ)

    async def session() -> T:
        async with opened(Container(settings=settings)) as container:
            return await work(container)

    return run(session())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; turn a `PixyProxyException` into one line and exit status 1."""
    from pixyproxy.domain.errors import DataValidationError, PixyProxyException

    try:
        return asyncio.run(work)
    except DataValidationError as exc:
        raise click.ClickException(f"{exc.field} {exc.detail.removesuffix('.')}.") from exc
    except PixyProxyException as exc:
        raise click.ClickException(" ".join([exc.detail, *getattr(exc, "__notes__", ())])) from exc
