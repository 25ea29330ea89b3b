"""`pixyproxy links`: manage the key of signed links."""

from typing import TYPE_CHECKING

import click

from pixyproxy.entrypoints.cli.schema import run_on_current_schema

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container


@click.group()
def links() -> None:
    """Manage the key of signed links."""


@links.command()
@click.option("--revoke", is_flag=True, help="Refuse all links that were made before.")
def rotate(revoke: bool) -> None:
    """Sign links with a new key; links of the key before stay valid until the next rotation.

    It rotates the key in the database, not those of PIXYPROXY_LINK_KEYS.
    """

    async def work(container: "Container") -> None:
        if container.settings().link_secrets:
            raise click.ClickException(
                "the key in the database signs nothing while PIXYPROXY_LINK_KEYS is set: change that setting instead."
            )
        await container.rotate_link_key()(revoke=revoke)

    run_on_current_schema(work)
    earlier = "refuses all earlier links" if revoke else "still takes the links of the key before"
    click.echo(f"Links have a new key. Within five seconds a running server signs with it and {earlier}.")
