"""`pixyproxy db`: the database's schema."""

from typing import TYPE_CHECKING

import click

from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixyproxy.domain.ports import Migration
    from pixyproxy.entrypoints.container import Container


@click.group()
def db() -> None:
    """Bring the database's schema up to date."""


@db.command()
def upgrade() -> None:
    """Apply the schema scripts that are missing, and index the words of images that have none; safe at any time."""

    async def work(container: "Container") -> tuple["Sequence[Migration]", int]:
        return await container.schema().upgrade(), await container.index_words()()

    applied, indexed = run_with_container(work)
    for migration in applied:
        click.echo(f"applied  {migration.version:04}  {migration.name}")
    if indexed:
        click.echo(f"indexed  the words of {indexed:,} image(s)")
    if applied:
        click.echo(f"{len(applied)} script(s) applied.")
    elif not indexed:
        click.echo("Nothing to do: the schema is up to date.")


@db.command()
def status() -> None:
    """Say which schema scripts are applied; the exit status is 1 if one is missing."""
    migrations = run_with_container(lambda container: container.schema().status())
    for migration in migrations:
        applied_at = migration.applied_at.isoformat(" ", "seconds") if migration.applied_at else "missing"
        click.echo(f"{migration.version:04}  {applied_at:<25}  {migration.name}")
    if any(migration.applied_at is None for migration in migrations):
        raise click.ClickException("the schema is not up to date; run: pixyproxy db upgrade")
