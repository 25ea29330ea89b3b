"""`pixyproxy doctor`: whether what the database says and what the content store holds fit together."""

from typing import TYPE_CHECKING, Final

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from pixyproxy.application.examine_images import Examination
    from pixyproxy.entrypoints.container import Container

EXAMPLES_MAX_COUNT: Final = 20

MEANINGS: Final = {
    "record-damaged": "The database holds a record that breaks the rules: somebody else has written it.",
    "content-missing": "The image is ready, and its bytes are gone.",
    "content-unreadable": "The bytes are there and can't be read.",
    "size-differs": "There are more or fewer bytes than were stored.",
    "digest-differs": "The bytes are not those that were stored.",
    "content-without-image": "Bytes that no image has; --repair sets them aside.",
    "content-unclaimed": "The image has failed, and there are bytes; --repair sets them aside.",
    "unknown-with-content": "Nobody knew how the image ended, and its bytes are there; --repair makes it ready.",
    "abandoned": "The process that made the image died; --repair brings it to an end. Counted up to 1,000.",
    "deletion-unfinished": "The image is deleted, its bytes may be there; --repair deletes them. Counted up to 1,000.",
    "leftover": "A part of an upload that broke off more than an hour ago; --repair sets it aside.",
    "stray-variants": "Variants of an image that is no more; --repair deletes them. Counted up to 1,000.",
}


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be mended without guessing. Bytes that nobody claims are set aside and kept.",
)
@click.option("--no-digests", is_flag=True, help="Compare sizes alone, without reading every byte.")
def doctor(repair: bool, no_digests: bool) -> None:
    """Compare every image with its stored bytes, also while a server runs.

    The exit status is 1 when something is wrong that was not repaired.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()

    async def work(container: "Container") -> "Examination":
        await ensure_schema(container)
        total = await container.images().count()
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("examining", total=total)
            examination: Examination = await container.examine_images()(
                repair=repair,
                with_digests=not no_digests,
                on_progress=lambda done: progress.update(task, completed=done),
            )
        return examination

    examination = run_with_container(work)
    if examination.findings:
        _print_table(examination)
        _print_examples(examination)
    click.echo(_summary(examination))
    if examination.remaining:
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
        table.add_row(kind.value, f"{number:,}", f"{examination.repaired.get(kind, 0):,}", MEANINGS[kind])
    Console(highlight=False).print(table)
    click.echo()


def _print_examples(examination: "Examination") -> None:
    # What was repaired needs nobody's attention any more.
    examples = sorted(examination.findings, key=lambda finding: finding.is_repaired)[:EXAMPLES_MAX_COUNT]
    for finding in examples:
        # A file's name may hold anything, also what would steer the terminal.
        name = ascii(finding.name)[1:-1]
        click.echo(f"{finding.kind.value:<22}  {name}{'  (repaired)' if finding.is_repaired else ''}")
    rest = sum(examination.found.values()) - len(examples)
    if rest:
        click.echo(f"and {rest:,} more")
    click.echo()


def _summary(examination: "Examination") -> str:
    number = sum(examination.found.values())
    verdict = f"{number:,} wrong, {examination.remaining:,} not repaired" if number else "nothing is wrong"
    return f"{examination.images:,} images and {examination.contents:,} contents examined: {verdict}."
