"""`pixyproxy users`: manage logins."""

import sys
from typing import TYPE_CHECKING, TypeVar

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container
from pixyproxy.entrypoints.cli.twins import warn_of_twins

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pixyproxy.entrypoints.container import Container

T = TypeVar("T")

password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def users() -> None:
    """Manage users."""


@users.command()
@click.argument("name")
@password_stdin
def add(name: str, password_stdin: bool) -> None:
    """Add the user NAME, with a password of 8 to 1,024 characters."""
    password = _read_password(from_stdin=password_stdin)
    _run(lambda container: container.add_user()(name, password))
    click.echo(f"{name} can log in now.")


@users.command("list")
def list_() -> None:
    """List all users."""
    users = _run(lambda container: container.list_users()())
    for user in users:
        state = "disabled" if user.is_disabled else "active"
        click.echo(f"{state:<8}  {user.created_at:%Y-%m-%d}  {user.name}")
    warn_of_twins(users)


@users.command()
@click.argument("name")
@password_stdin
def passwd(name: str, password_stdin: bool) -> None:
    """Change the password of NAME."""
    password = _read_password(from_stdin=password_stdin)
    _run(lambda container: container.change_password()(name, password))
    click.echo(f"{name} has a new password. {_DELAY}")


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable the login of NAME; the images of NAME stay."""
    _run(lambda container: container.disable_user()(name))
    click.echo(f"{name} can no longer log in. {_DELAY}")


_DELAY = "A running server may accept the old login for another PIXYPROXY_LOGIN_MEMORY seconds."


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _run(work: "Callable[[Container], Awaitable[T]]") -> T:
    async def on_current_schema(container: "Container") -> T:
        await ensure_schema(container)
        return await work(container)

    return run_with_container(on_current_schema)
