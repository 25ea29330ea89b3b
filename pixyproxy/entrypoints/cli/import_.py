"""`pixyproxy import`: store the images of an archive."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.cli.archive import AGAIN, advice_on_error, print_problem
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from pixyproxy.application.import_images import ImportOutcome
    from pixyproxy.domain.ports import ImageArchiveReader
    from pixyproxy.entrypoints.container import Container


@click.command("import")
@click.argument("source", metavar="DIR|FILE.tar|-", type=click.Path(exists=True, allow_dash=True))
def import_(source: str) -> None:
    """Import the images of `pixyproxy export`, with the same guids and all their fields.

    Reads a folder, a tar, or a tar from standard input. Images that are stored already are skipped, so the command can
    be repeated. The exit status is 1 if something was refused, such as a damaged picture or an image that is stored
    with other fields; all others are imported.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pixyproxy.application.import_images import ImportOutcome

    if source == "-" and sys.stdin.buffer.isatty():
        raise click.UsageError("can't read a tar from a terminal; redirect the input, or name a folder or a file.")
    terminal = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]:,}"), TimeRemainingColumn()

    async def work(container: "Container") -> "Mapping[ImportOutcome, int]":
        await ensure_schema(container)
        with (
            ExitStack() as stack,
            Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress,
        ):
            archive = _archive(source, container, stack)
            task = progress.add_task("importing", total=None if archive.progress is None else 1.0, done=0)
            with advice_on_error(terminal, lambda: int(progress.tasks[task].fields["done"]), AGAIN):
                outcomes: Mapping[ImportOutcome, int] = await container.import_images()(
                    archive,
                    on_progress=lambda done: progress.update(task, completed=archive.progress or 0, done=done),
                    on_problem=lambda problem: print_problem(terminal, problem),
                )
        if outcomes.get(ImportOutcome.REFUSED):
            # A reference that was refused is still in the ledger of uploads; otherwise housekeeping does it.
            with suppress(PixyProxyException):
                await container.sweep_uploads()()
        return outcomes

    outcomes = run_with_container(work)
    click.echo(_summary(outcomes))
    if outcomes.get(ImportOutcome.REFUSED):
        click.get_current_context().exit(1)


def _archive(source: str, container: "Container", stack: ExitStack) -> "ImageArchiveReader":
    if source == "-":
        return container.tar_archive_reader(sys.stdin.buffer)
    path = Path(source)
    if path.is_dir():
        return container.folder_archive_reader(path)
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as exc:
        raise click.ClickException(f"{source} can't be read: {exc.strerror}.") from exc
    return container.tar_archive_reader(file, byte_size=path.stat().st_size)


def _summary(outcomes: "Mapping[ImportOutcome, int]") -> str:
    from pixyproxy.application.import_images import ImportOutcome

    numbers = {outcome: f"{outcomes.get(outcome, 0):,}" for outcome in ImportOutcome}
    return (
        f"{numbers[ImportOutcome.IMPORTED]} images imported, {numbers[ImportOutcome.UNCHANGED]} there already, "
        f"{numbers[ImportOutcome.MENDED]} given their missing content, {numbers[ImportOutcome.REFUSED]} not taken."
    )
