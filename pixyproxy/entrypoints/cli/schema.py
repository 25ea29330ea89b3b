"""Upgrading the schema before a command runs."""

from typing import TYPE_CHECKING, TypeVar

from pixyproxy.domain.errors import SchemaOutdatedError
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pixyproxy.entrypoints.container import Container

T = TypeVar("T")


async def ensure_schema(container: "Container") -> None:
    """Upgrade the schema on SQLite or with `auto_upgrade`; otherwise raise `SchemaOutdatedError` if it is outdated."""
    from pixyproxy.entrypoints.settings import DatabaseKind

    settings = container.settings()
    if settings.database_kind is DatabaseKind.SQLITE or settings.auto_upgrade:
        await container.schema().upgrade()
        return
    missing = [migration for migration in await container.schema().status() if migration.applied_at is None]
    if missing:
        raise SchemaOutdatedError(
            f"The database lacks {len(missing)} schema script(s). Run: pixyproxy db upgrade "
            "(or set PIXYPROXY_AUTO_UPGRADE=true)"
        )


def run_on_current_schema(work: "Callable[[Container], Awaitable[T]]") -> T:
    """Run `work` with an open container, as `run_with_container` does, after `ensure_schema`."""

    async def on_current_schema(container: "Container") -> T:
        await ensure_schema(container)
        return await work(container)

    return run_with_container(on_current_schema)
