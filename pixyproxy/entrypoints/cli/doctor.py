"""`pixyproxy doctor`: whether what the database says and what the content store holds fit together."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container
from pixyproxy.entrypoints.cli.twins import warn_of_twins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixyproxy.adapters.archive.private_folder import PrivateFolder
    from pixyproxy.application.check_consistency import Examination
    from pixyproxy.domain.user import User
    from pixyproxy.entrypoints.container import Container

EXAMPLES_MAX_COUNT: Final = 20

DESCRIPTIONS: Final = {
    "record-damaged": "The database holds a record that breaks the rules: somebody else has written it.",
    "content-missing": "The image is ready, and its bytes are gone.",
    "content-unreadable": "The bytes are there and can't be read.",
    "size-differs": "There are more or fewer bytes than were stored.",
    "digest-differs": "The bytes are not those that were stored.",
    "content-without-image": "Bytes that no image has; --repair moves them into quarantine.",
    "content-unclaimed": "The image has failed, and there are bytes; --repair makes it ready if they are a picture.",
    "unknown-with-content": "Nobody knew how the image ended, and its bytes are there; --repair makes it ready.",
    "abandoned": "The process that made the image died; --repair brings it to an end. Counted up to 1,000.",
    "deletion-unfinished": "The image is deleted, its bytes may be there; --repair deletes them. Counted up to 1,000.",
    "leftover": "A part of an upload that broke off more than an hour ago; --repair moves it into quarantine.",
    "stray-variants": "Variants of an image that is no more; --repair deletes them. Counted up to 1,000.",
}


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be mended without guessing. Bytes without a record are kept in quarantine; those that are a "
    "picture by now are shown.",
)
@click.option("--no-digests", is_flag=True, help="Compare sizes alone, without reading every byte.")
@click.option(
    "--export-quarantine",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="First copy what is in quarantine into this folder, over no file that is there, for its owner alone.",
)
def doctor(repair: bool, no_digests: bool, export_quarantine: Path | None) -> None:
    """Compare every image with its stored bytes, also while a server runs, and list what is in quarantine.

    The exit status is 1 when something is wrong that was not repaired, or could not be copied. In quarantine is what
    was paid for and can't be shown; that is nothing wrong.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()

    async def work(container: "Container") -> "tuple[bool, Examination, Sequence[User]]":
        await ensure_schema(container)
        is_copied = export_quarantine is None or await _export_quarantine(container, export_quarantine)
        total = await container.images().count()
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("examining", total=total)
            examination: Examination = await container.check_consistency()(
                repair=repair,
                with_digests=not no_digests,
                on_progress=lambda done: progress.update(task, completed=done),
            )
        return is_copied, examination, await container.list_users()()

    is_copied, examination, users = run_with_container(work)
    if examination.findings:
        _print_table(examination)
        _print_examples(examination)
    if examination.quarantined:
        _print_quarantine(examination)
    click.echo(_summary(examination))
    warn_of_twins(users)
    if examination.remaining or not is_copied:
        click.get_current_context().exit(1)


def _print_table(examination: "Examination") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("finding", no_wrap=True)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("repaired", justify="right", no_wrap=True)
    table.add_column("what it means")
    for kind, number in examination.found.items():
        table.add_row(kind.value, f"{number:,}", f"{examination.repaired.get(kind, 0):,}", DESCRIPTIONS[kind])
    Console(highlight=False).print(table)
    click.echo()


def _print_examples(examination: "Examination") -> None:
    # What was repaired needs no attention any more.
    examples = sorted(examination.findings, key=lambda finding: finding.is_repaired)[:EXAMPLES_MAX_COUNT]
    for finding in examples:
        click.echo(f"{finding.kind.value:<22}  {_shown(finding.name)}{'  (repaired)' if finding.is_repaired else ''}")
    rest = sum(examination.found.values()) - len(examples)
    if rest:
        click.echo(f"and {rest:,} more")
    click.echo()


def _print_quarantine(examination: "Examination") -> None:
    restored = f", {examination.restored:,} of them ready now" if examination.restored else ""
    click.echo(f"In quarantine: {examination.quarantined:,}{restored}")
    # What came out of it needs no attention any more.
    listed = sorted(examination.quarantine, key=lambda found: found.is_restored)[:EXAMPLES_MAX_COUNT]
    for found in listed:
        status = "no image" if found.status is None else "ready now" if found.is_restored else found.status.value
        reason = f": {found.failure.kind}, {found.failure.detail}" if found.failure and not found.is_restored else ""
        click.echo(f"{_shown(found.item.name)}  {found.item.byte_size:,} bytes, {status}{_shown(reason)}")
    if rest := examination.quarantined - len(listed):
        click.echo(f"and {rest:,} more")
    click.echo()


def _shown(text: str) -> str:
    """Return `text` in printable ASCII: a file's name may hold anything, also what would steer the terminal."""
    return ascii(text)[1:-1]


def _opened_folder(container: "Container", folder: Path) -> "PrivateFolder":
    try:
        private: PrivateFolder = container.private_folder(folder)
    except OSError as exc:
        reason = "it is a link" if exc.errno == errno.ELOOP else exc.strerror
        raise click.ClickException(f"nothing can be copied into {folder}: {reason}.") from exc
    if private.is_shared:
        click.echo(
            f"{folder}: Others may write to this folder, so that they can remove and replace what is copied.", err=True
        )
    return private


async def _export_quarantine(container: "Container", folder: Path) -> bool:
    """Copy what is in quarantine into a folder, and return whether all of it is there."""
    from pixyproxy.domain.errors import ContentStoreError

    contents = container.contents()
    copied, missing = 0, 0
    private = _opened_folder(container, folder)
    for item in await contents.list_quarantine():
        try:
            await private.write(item.name, (await contents.open_quarantined(item.name)).chunks)
            copied += 1
        except FileExistsError:
            missing += 1
            click.echo(f"{_shown(item.name)} is there already and was left as it is.", err=True)
        except (OSError, ContentStoreError) as exc:
            missing += 1
            reason = exc.strerror if isinstance(exc, OSError) else exc.detail
            click.echo(f"{_shown(item.name)} can't be copied: {reason}", err=True)
    private.close()
    click.echo(f"Copied from quarantine: {copied:,}, not copied: {missing:,}.\n")
    return not missing


def _summary(examination: "Examination") -> str:
    number = sum(examination.found.values())
    verdict = f"{number:,} wrong, {examination.remaining:,} not repaired" if number else "nothing is wrong"
    return f"{examination.images:,} images and {examination.contents:,} contents examined: {verdict}."
