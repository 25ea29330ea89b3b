"""`pixyproxy db`: the database schema."""

from typing import TYPE_CHECKING

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container
from pixyproxy.entrypoints.cli.twins import warn_of_twins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixyproxy.application.rebuild_indexes import Reindexed
    from pixyproxy.domain.ports import Migration
    from pixyproxy.domain.user import User
    from pixyproxy.entrypoints.container import Container


@click.group()
def db() -> None:
    """Manage the database schema and the indexes of tags and words."""


@db.command()
def upgrade() -> None:
    """Apply missing schema scripts and upgrade stored records. Safe at any time.

    An interrupted upgrade continues where it stopped.
    """

    async def work(
        container: "Container",
    ) -> tuple["Sequence[Migration]", "Sequence[str]", int, "Sequence[User]"]:
        applied = await container.schema().upgrade()
        for migration in applied:
            click.echo(f"applied  {migration.version:04}  {migration.name}")
        upgraded, indexed = await container.upgrade_data()(), await container.index_prompts()()
        return applied, upgraded, indexed, await container.list_users()()

    applied, upgraded, indexed, users = run_with_container(work)
    for sentence in upgraded:
        click.echo(f"upgraded  {sentence}")
    if indexed:
        click.echo(f"indexed  {indexed:,} prompt(s)")
    if applied:
        click.echo(f"{len(applied)} script(s) applied.")
    elif not (indexed or upgraded):
        click.echo("Nothing to do: the schema is up to date.")
    warn_of_twins(users)


@db.command()
def reindex() -> None:
    """Rebuild the indexes of tags, words and references. Run it after a change by SQL; safe at any time."""

    async def work(container: "Container") -> "Reindexed":
        await ensure_schema(container)
        return await container.rebuild_indexes()()

    reindexed = run_with_container(work)
    click.echo(f"indexed  the tags of {reindexed.tags:,} image(s)")
    click.echo(f"indexed  the words of {reindexed.words:,} image(s)")
    click.echo(f"indexed  the references of {reindexed.references:,} image(s)")


@db.command()
def status() -> None:
    """List the schema scripts. The exit status is 1 if a script is missing or a data upgrade is unfinished."""

    async def work(container: "Container") -> tuple["Sequence[Migration]", "Sequence[str]"]:
        migrations = await container.schema().status()
        is_outdated = any(migration.applied_at is None for migration in migrations)
        return migrations, () if is_outdated else await container.upgrade_data().unfinished()

    migrations, unfinished = run_with_container(work)
    for migration in migrations:
        applied_at = migration.applied_at.isoformat(" ", "seconds") if migration.applied_at else "missing"
        click.echo(f"{migration.version:04}  {applied_at:<25}  {migration.name}")
    if any(migration.applied_at is None for migration in migrations):
        raise click.ClickException("the schema is outdated; run: pixyproxy db upgrade")
    if unfinished:
        raise click.ClickException(
            f"data upgrades are unfinished ({', '.join(unfinished)}): a running service continues them; or run:"
            " pixyproxy db upgrade"
        )
