"""`pixyproxy users`: manage logins."""

import sys

import click

from pixyproxy.entrypoints.cli.schema import run_on_current_schema
from pixyproxy.entrypoints.cli.twins import warn_of_twins

password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def users() -> None:
    """Manage users."""


@users.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="An administrator reaches the images and API keys of all users.")
@password_stdin
def add(name: str, admin: bool, password_stdin: bool) -> None:
    """Add the user NAME, with a password of 8 to 1,024 characters."""
    password = _read_password(from_stdin=password_stdin)
    run_on_current_schema(lambda container: container.add_user()(name, password, is_admin=admin))
    click.echo(f"{name} can log in now{', as an administrator' if admin else ''}.")


@users.command("list")
def list_() -> None:
    """List all users."""
    users = run_on_current_schema(lambda container: container.list_users()())
    for user in users:
        state = "disabled" if user.is_disabled else "active"
        role = "admin" if user.is_admin else "user"
        click.echo(f"{state:<8}  {role:<5}  {user.created_at:%Y-%m-%d}  {user.name}")
    warn_of_twins(users)


@users.command()
@click.argument("name")
@password_stdin
def passwd(name: str, password_stdin: bool) -> None:
    """Change the password of NAME, which ends all sessions of NAME; the API keys of NAME stay valid."""
    password = _read_password(from_stdin=password_stdin)
    run_on_current_schema(lambda container: container.change_password()(name, password))
    click.echo(f"{name} has a new password, and no sessions; the API keys of {name} stay valid. {_DELAY}")


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable the login and all API keys of NAME and end all sessions; the images of NAME stay."""
    run_on_current_schema(lambda container: container.disable_user()(name))
    click.echo(f"{name} can no longer log in, and no session and no API key of {name} works. {_DISABLED}")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Undo `disable`: NAME can log in as before, and the API keys of NAME work again. Sessions have ended for good."""
    run_on_current_schema(lambda container: container.enable_user()(name))
    click.echo(f"{name} can log in again; API keys work again unless they are revoked or expired.")


_DELAY = "A running server refuses the old password and the sessions within five seconds."
_DISABLED = "A running server refuses them within five seconds."


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
