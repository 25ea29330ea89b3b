"""`pixyproxy doctor`: check that database and content store are consistent."""

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
    from pixyproxy.application.check_consistency import ConsistencyReport
    from pixyproxy.application.digest_check import DigestCheck
    from pixyproxy.domain.user import User
    from pixyproxy.entrypoints.container import Container

EXAMPLES_MAX_COUNT: Final = 20

DESCRIPTIONS: Final = {
    "record-damaged": "A record violates the rules; PixyProxy did not write it.",
    "content-missing": "The image is ready, but its content is missing.",
    "content-unreadable": "The content can't be read.",
    "size-differs": "The content has another size than the record.",
    "digest-differs": "The content has another SHA-256 than the record.",
    "content-without-image": "Content without a record; --repair moves it into quarantine.",
    "content-unclaimed": "A failed image has content; --repair makes it ready if the content is a picture.",
    "unknown-with-content": "An unknown image has content; --repair makes it ready.",
    "abandoned": "The process that generated the image died; --repair recovers it. Counted up to 1,000.",
    "deletion-unfinished": "The image is deleted, its content may remain; --repair deletes it. Counted up to 1,000.",
    "leftover": "A partial upload, older than an hour; --repair moves it into quarantine.",
    "stray-variants": "Variants of a deleted image; --repair deletes them. Counted up to 1,000.",
    "stray-partials": "Partial images of an image that is not being made; --repair deletes them. Counted up to 1,000.",
    "upload-missing": "An image refers to an upload whose bytes are missing.",
    "upload-damaged": "An image refers to an upload whose bytes have changed or can't be read.",
    "stray-uploads": "An upload without image; --repair deletes it. Counted up to 1,000.",
}


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Repair what needs no guessing. Move content without a record into quarantine, and inspect the quarantine "
    "again: pictures in it are shown.",
)
@click.option(
    "--digests/--no-digests",
    default=None,
    help="Read every byte, or compare only sizes. By default, digests that S3 keeps are trusted, and files are read.",
)
@click.option(
    "--export-quarantine",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="First copy the quarantine into this private folder. Existing files are not overwritten.",
)
def doctor(repair: bool, digests: bool | None, export_quarantine: Path | None) -> None:
    """Check that database and content are consistent, and list the quarantine. Safe while a server runs.

    The exit status is 1 if a finding was not repaired or a file not copied. The quarantine has paid responses that
    could not be shown; they are no findings.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()

    async def work(container: "Container") -> "tuple[bool, ConsistencyReport, Sequence[User]]":
        await ensure_schema(container)
        is_copied = export_quarantine is None or await _export_quarantine(container, export_quarantine)
        total = await container.images().count()
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("checking", total=total)
            report: ConsistencyReport = await container.check_consistency()(
                repair=repair,
                digests=_check(digests),
                on_progress=lambda done: progress.update(task, completed=done),
            )
        return is_copied, report, await container.list_users()()

    is_copied, report, users = run_with_container(work)
    if report.findings:
        _print_table(report)
        _print_examples(report)
    if report.quarantined:
        _print_quarantine(report)
    click.echo(_summary(report))
    warn_of_twins(users)
    if report.remaining or not is_copied:
        click.get_current_context().exit(1)


def _check(digests: bool | None) -> "DigestCheck":
    from pixyproxy.application.digest_check import DigestCheck

    if digests is None:
        return DigestCheck.KEPT
    return DigestCheck.READ if digests else DigestCheck.NONE


def _print_table(report: "ConsistencyReport") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("finding", no_wrap=True)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("repaired", justify="right", no_wrap=True)
    table.add_column("what it means")
    for kind, number in report.found.items():
        table.add_row(kind.value, f"{number:,}", f"{report.repaired.get(kind, 0):,}", DESCRIPTIONS[kind])
    Console(highlight=False).print(table)
    click.echo()


def _print_examples(report: "ConsistencyReport") -> None:
    # Repaired findings need no attention.
    examples = sorted(report.findings, key=lambda finding: finding.is_repaired)[:EXAMPLES_MAX_COUNT]
    for finding in examples:
        click.echo(f"{finding.kind.value:<22}  {_shown(finding.name)}{'  (repaired)' if finding.is_repaired else ''}")
    rest = sum(report.found.values()) - len(examples)
    if rest:
        click.echo(f"and {rest:,} more")
    click.echo()


def _print_quarantine(report: "ConsistencyReport") -> None:
    restored = f", {report.restored:,} of them ready now" if report.restored else ""
    click.echo(f"In quarantine: {report.quarantined:,}{restored}")
    # Restored images need no attention.
    listed = sorted(report.quarantine, key=lambda found: found.is_restored)[:EXAMPLES_MAX_COUNT]
    for found in listed:
        status = "no image" if found.status is None else "ready now" if found.is_restored else found.status.value
        reason = f": {found.failure.kind}, {found.failure.detail}" if found.failure and not found.is_restored else ""
        click.echo(f"{_shown(found.item.name)}  {found.item.byte_size:,} bytes, {status}{_shown(reason)}")
    if rest := report.quarantined - len(listed):
        click.echo(f"and {rest:,} more")
    click.echo()


def _shown(text: str) -> str:
    """Return `text` in printable ASCII: file names may include terminal control characters."""
    return ascii(text)[1:-1]


def _opened_folder(container: "Container", folder: Path) -> "PrivateFolder":
    try:
        private: PrivateFolder = container.private_folder(folder)
    except OSError as exc:
        reason = "it is a link" if exc.errno == errno.ELOOP else exc.strerror
        raise click.ClickException(f"can't copy into {folder}: {reason}.") from exc
    if private.is_shared:
        click.echo(f"{folder}: Others can write to this folder, and so remove and replace the copies.", err=True)
    return private


async def _export_quarantine(container: "Container", folder: Path) -> bool:
    """Copy the quarantine into a folder; return whether all of it was copied."""
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
            click.echo(f"{_shown(item.name)} exists already and was not overwritten.", err=True)
        except (OSError, ContentStoreError) as exc:
            missing += 1
            reason = exc.strerror if isinstance(exc, OSError) else exc.detail
            click.echo(f"{_shown(item.name)} can't be copied: {reason}", err=True)
    private.close()
    click.echo(f"Copied from quarantine: {copied:,}, not copied: {missing:,}.\n")
    return not missing


def _summary(report: "ConsistencyReport") -> str:
    number = sum(report.found.values())
    verdict = f"{number:,} wrong, {report.remaining:,} not repaired" if number else "nothing is wrong"
    return f"{report.images:,} images and {report.contents:,} contents checked: {verdict}."
