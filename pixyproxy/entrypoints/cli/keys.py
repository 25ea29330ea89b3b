"""`pixyproxy keys`: manage the API keys of programs."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from pixyproxy.entrypoints.cli.expiry import Expiry
from pixyproxy.entrypoints.cli.schema import run_on_current_schema
from pixyproxy.entrypoints.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pixyproxy.application.create_key import CreatedKey
    from pixyproxy.domain.api_key import APIKey
    from pixyproxy.domain.user import User
    from pixyproxy.entrypoints.container import Container

SCOPES: Final = ("read", "create", "manage")
VISIBILITIES: Final = ("public", "private")
KEY_DELAY: Final = "A running server refuses the keys within five seconds."

_HEADINGS: Final = ("STATE", "PREFIX", "CREATED", "LAST USED", "EXPIRES", "SCOPES", "GUID", "USER", "NAME")


@click.group()
def keys() -> None:
    """Manage API keys, which programs send as `Authorization: Bearer KEY`."""


@keys.command()
@click.argument("user")
@click.option("--name", required=True, metavar="NAME", help="What the key is for: 1 to 64 characters.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the key may do; may be repeated. read: every GET; create: make images; manage: change and delete"
    " images, make links. The default is read and create.",
)
@click.option(
    "--expires",
    type=Expiry(),
    metavar="WHEN",
    help="Days from now (90d), a date (2027-01-31, the first moment of it in UTC), or a time (2027-01-31T18:00:00Z)."
    " The default is never.",
)
@click.option(
    "--visibility",
    type=click.Choice(VISIBILITIES),
    help="Who may read the images that are made below /v1 with the key, unless the request says so.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of these images; may be repeated.")
def add(
    *,
    user: str,
    name: str,
    scopes: tuple[str, ...],
    expires: datetime | None,
    visibility: str | None,
    tags: tuple[str, ...],
) -> None:
    """Make an API key for USER and print it, alone on the last line. It is shown only this once."""
    from pixyproxy.domain.api_key import DEFAULT_SCOPES, KeyScope
    from pixyproxy.domain.image import Visibility
    from pixyproxy.domain.user import OPERATOR

    async def work(container: "Container") -> tuple["CreatedKey", "User"]:
        created: CreatedKey = await container.create_key()(
            OPERATOR,
            name=name,
            user=user,
            scopes=[KeyScope(scope) for scope in scopes] or DEFAULT_SCOPES,
            visibility=None if visibility is None else Visibility(visibility),
            tags=tags,
            expires_at=expires,
        )
        return created, await container.users().get(created.key.user)

    created, owner = run_on_current_schema(work)
    key = created.key
    click.echo(f"The API key {key.name} of {key.user}: {', '.join(key.scopes)}; {_end_of(key)}; guid {key.guid}.")
    if key.visibility or key.tags:
        defaults = [*([key.visibility.value] if key.visibility else []), *(f"tag {tag}" for tag in key.tags)]
        click.echo(f"Images made below /v1: {', '.join(defaults)}.")
    if owner.is_disabled:
        click.echo(f"Warning: {owner.name} is disabled, and so is the key until: pixyproxy users enable", err=True)
    click.echo("Keep it now; it can't be shown again:")
    click.echo(created.secret)


@keys.command("list")
@click.argument("user", required=False)
def list_(user: str | None) -> None:
    """List the API keys of USER, or of all users, the oldest first; revoked and expired ones, too."""
    from pixyproxy.domain.user import OPERATOR

    async def work(container: "Container") -> tuple["Sequence[APIKey]", "Sequence[User]"]:
        keys: Sequence[APIKey] = await container.list_keys()(OPERATOR, user=user, of_all=user is None)
        return keys, await container.list_users()()

    keys, users = run_on_current_schema(work)
    if not keys:
        click.echo("There are no API keys.", err=True)
        return
    disabled = {user.name for user in users if user.is_disabled}
    print_table([_HEADINGS, *(_row(key, disabled) for key in keys)])


@keys.command()
@click.argument("key", required=False)
@click.option("--all", "user", metavar="USER", help="Revoke all keys of this user.")
def revoke(key: str | None, user: str | None) -> None:
    """Revoke the API key KEY for good.

    KEY is its guid, the first characters of the key itself, as `keys list` shows them, or the whole key.
    """
    from pixyproxy.domain.user import OPERATOR

    if (key is None) == (user is None):
        raise click.UsageError("name a KEY, or a user with --all.")

    async def work(container: "Container") -> "APIKey":
        found: APIKey = await container.find_key()(key or "", OPERATOR)
        await container.revoke_key()(found.guid, OPERATOR)
        return found

    if user is not None:
        number = run_on_current_schema(lambda container: container.revoke_keys()(OPERATOR, user))
        click.echo(f"{number} API key(s) of {user} revoked. {KEY_DELAY}")
        return
    found = run_on_current_schema(work)
    which = f"The API key {found.name} of {found.user}, guid {found.guid},"
    if found.revoked_at is None:
        click.echo(f"{which} is revoked. A running server refuses it within five seconds.")
    else:
        click.echo(f"{which} is revoked since {_minute(found.revoked_at)} UTC.")


def _row(key: "APIKey", disabled: "Collection[str]") -> tuple[str, ...]:
    return (
        key.state_at(datetime.now(UTC)).value,
        key.prefix,
        f"{key.created_at:%Y-%m-%d}",
        _minute(key.last_used_at),
        _minute(key.expires_at),
        ",".join(key.scopes),
        str(key.guid),
        f"{key.user} (disabled)" if key.user in disabled else key.user,
        key.name,
    )


def _end_of(key: "APIKey") -> str:
    return "never expires" if key.expires_at is None else f"expires at {_minute(key.expires_at)} UTC"


def _minute(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M}"
