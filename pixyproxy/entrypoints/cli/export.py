"""`pixyproxy export`: write images and their records into a folder or a tar."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixyproxy.entrypoints.cli.archive import AGAIN, advice_on_error, print_problem
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from pixyproxy.application.export_images import ExportOutcome
    from pixyproxy.domain.ports import ImageArchiveWriter
    from pixyproxy.entrypoints.container import Container


@click.command()
@click.argument("folder", metavar="DIR|-", type=click.Path(file_okay=False, allow_dash=True))
@click.option("--author", metavar="NAME", help="Export only this user's images; the default is all.")
def export(folder: str, author: str | None) -> None:
    """Write images and their records into the folder DIR, or as a tar to standard output.

    Repeat the command to add new and changed images to the same folder. Private images are included. Safe while a
    server runs. The exit status is 1 if the content of an image is missing or damaged; all others are exported.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pixyproxy.application.export_images import ExportOutcome
    from pixyproxy.domain.user import parse_user_name

    is_tar = folder == "-"
    output = sys.stdout.buffer
    if is_tar and output.isatty():
        raise click.UsageError("can't write a tar to a terminal; redirect the output, or name a folder.")
    terminal = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()

    def archive_of(container: "Container") -> "ImageArchiveWriter":
        if is_tar:
            # Unbuffered, so that no data is left to flush when the reader has closed the pipe.
            return container.tar_archive_writer(getattr(output, "raw", output))
        return container.folder_archive_writer(Path(folder))

    async def work(container: "Container") -> "Mapping[ExportOutcome, int]":
        name = None if author is None else parse_user_name(author)
        await ensure_schema(container)
        total = await container.images().count()
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("exporting", total=total)
            advice = "This tar is incomplete; start again." if is_tar else AGAIN
            with advice_on_error(terminal, lambda: int(progress.tasks[task].completed), advice):
                outcomes: Mapping[ExportOutcome, int] = await container.export_images()(
                    archive_of(container),
                    author=name,
                    on_progress=lambda done: progress.update(task, completed=done),
                    on_problem=lambda problem: print_problem(terminal, problem),
                )
        return outcomes

    outcomes = run_with_container(work)
    click.echo(_summary(outcomes), err=is_tar)
    if outcomes.get(ExportOutcome.FAILED):
        click.get_current_context().exit(1)


def _summary(outcomes: "Mapping[ExportOutcome, int]") -> str:
    from pixyproxy.application.export_images import ExportOutcome

    number = outcomes.get(ExportOutcome.QUARANTINED, 0)
    quarantined = f" In quarantine and left out: {number:,}." if number else ""
    numbers = {outcome: f"{outcomes.get(outcome, 0):,}" for outcome in ExportOutcome}
    return (
        f"{numbers[ExportOutcome.EXPORTED]} images exported, {numbers[ExportOutcome.UNCHANGED]} there already, "
        f"{numbers[ExportOutcome.BEING_MADE]} still being made and left out, "
        f"{numbers[ExportOutcome.FAILED]} not exported.{quarantined}"
    )
