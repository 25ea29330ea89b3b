"""`pixyproxy db`: the database's schema."""

import click

from pixyproxy.entrypoints.cli.session import run_with_container


@click.group()
def db() -> None:
    """Bring the database's schema up to date."""


@db.command()
def upgrade() -> None:
    """Apply the schema scripts that are missing, and index the words of images that have none; safe at any time."""
    indexed = 0

    def count(images: int) -> None:
        nonlocal indexed
        indexed += images

    applied = run_with_container(lambda container: container.upgrade_database()(on_progress=count))
    for migration in applied:
        click.echo(f"applied  {migration.version:04}  {migration.name}")
    if indexed:
        click.echo(f"indexed  the words of {indexed:,} image(s)")
    click.echo(f"{len(applied)} script(s) applied." if applied else "Nothing to do: the schema is up to date.")


@db.command()
def status() -> None:
    """Say which schema scripts are applied; the exit status is 1 if one is missing."""
    migrations = run_with_container(lambda container: container.schema().status())
    for migration in migrations:
        applied_at = migration.applied_at.isoformat(" ", "seconds") if migration.applied_at else "missing"
        click.echo(f"{migration.version:04}  {applied_at:<25}  {migration.name}")
    if any(migration.applied_at is None for migration in migrations):
        raise click.ClickException("the schema is not up to date; run: pixyproxy db upgrade")
