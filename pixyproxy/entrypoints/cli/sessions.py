"""`pixyproxy sessions`: see and end the logins of browsers."""

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import click

from pixyproxy.entrypoints.cli.schema import run_on_current_schema
from pixyproxy.entrypoints.cli.table import print_table

if TYPE_CHECKING:
    from pixyproxy.domain.session import Session

_HEADINGS: Final = ("CREATED", "LAST USED", "EXPIRES", "GUID", "USER")


@click.group()
def sessions() -> None:
    """See and end sessions, the logins of browsers in the gallery."""


@sessions.command("list")
@click.option("--user", metavar="NAME", help="Only the sessions of this user.")
def list_(user: str | None) -> None:
    """List the sessions that are valid, the oldest first. Times are in UTC; the last use is exact to the hour."""
    found = run_on_current_schema(lambda container: container.list_sessions()(user))
    if not found:
        click.echo("There are no sessions.", err=True)
        return
    print_table([_HEADINGS, *map(_row, found)])


@sessions.command()
@click.argument("guids", metavar="[GUID]...", nargs=-1, type=click.UUID)
@click.option("--user", metavar="NAME", help="End all sessions of this user.")
@click.option("--all", "of_all", is_flag=True, help="End all sessions of all users.")
def end(guids: tuple[UUID, ...], user: str | None, of_all: bool) -> None:
    """End the sessions with these GUIDs: their browsers have to log in again."""
    if bool(guids) + (user is not None) + of_all != 1:
        raise click.UsageError("name one or more GUIDs, or a user with --user, or use --all.")
    number = run_on_current_schema(lambda container: container.end_sessions()(guids, user=user, of_all=of_all))
    click.echo(f"{number} session(s) ended. A running server refuses them within five seconds.")


def _row(session: "Session") -> tuple[str, ...]:
    times = map(_minute, (session.created_at, session.seen_at, session.expires_at))
    return (*times, str(session.guid), session.user)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
