"""`pixyproxy content`: move content from one content store into another."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pixyproxy.entrypoints.cli.archive import AGAIN, advice_on_error, print_problem
from pixyproxy.entrypoints.cli.session import run

if TYPE_CHECKING:
    from rich.console import Console

    from pixyproxy.application.copy_contents import CopyReport, CopyResult
    from pixyproxy.entrypoints.container import Container
    from pixyproxy.entrypoints.settings import Settings

PARALLEL_MAX: Final = 64
REPORT_SECONDS: Final = 10.0

SOURCE: Final = "--from"
TARGET: Final = "--to"


@click.group()
def content() -> None:
    """Move content from one content store into another."""


@content.command()
@click.option(SOURCE, "source_url", metavar="URL", required=True, help="Such as file:data/images; only read.")
@click.option(TARGET, "target_url", metavar="URL", required=True, help="Such as s3://bucket/prefix?endpoint=…")
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, PARALLEL_MAX),
    default=4,
    show_default=True,
    help="Copy this many at once.",
)
@click.option(
    "--digests",
    is_flag=True,
    help="Compare every byte with the target's. By default, digests that S3 keeps are trusted.",
)
@click.option("--new-only", is_flag=True, help="Compare nothing that the target lists already, which is fast.")
def copy(source_url: str, target_url: str, parallel: int, digests: bool, new_only: bool) -> None:
    """Copy all content into another content store: images, uploads and the quarantine.

    URLs are those of PIXYPROXY_CONTENT_URL. Repeat the command to continue, and to copy what is new: it skips what is
    there. Nothing is replaced or deleted. Safe while a server runs. The exit status is 1 if something was not copied;
    standard error has a line for each.
    """
    from rich.console import Console

    if digests and new_only:
        raise click.UsageError("--digests and --new-only exclude each other.")
    source_settings, target_settings = _settings(source_url, SOURCE), _settings(target_url, TARGET)
    _ensure_apart(_place_of(source_settings), _place_of(target_settings))
    display = _Display(Console(stderr=True))

    async def work() -> "CopyReport":
        from pixyproxy.application import CopyContents
        from pixyproxy.application.digest_check import DigestCheck
        from pixyproxy.entrypoints.container import Container

        source, target = Container(settings=source_settings), Container(settings=target_settings)
        async with _opened(source, target):
            copy_contents = CopyContents(
                pairs=[
                    (source.contents(), target.contents()),
                    (source.upload_contents(), target.upload_contents()),
                ],
                at_once=parallel,
            )
            with display.running():
                return await copy_contents(
                    digests=DigestCheck.READ if digests else DigestCheck.KEPT,
                    new_only=new_only,
                    on_progress=display.show,
                    on_problem=display.print_problem,
                )

    report = run(work())
    click.echo(display.line_of(report))
    if not report.outcomes:
        click.echo("The source has no content.", err=True)
    if report.not_copied:
        click.echo("Not all was copied. " + AGAIN, err=True)
        click.get_current_context().exit(1)


class _Display:
    """Shows the progress on standard error: on a terminal a line that moves, else a line every ten seconds."""

    def __init__(self, terminal: "Console") -> None:
        from rich.progress import Progress, TextColumn

        self._terminal = terminal
        self._progress = Progress(
            TextColumn("{task.description}"), console=terminal, transient=True, disable=not terminal.is_terminal
        )
        self._task = self._progress.add_task("copying")
        self._start = self._shown = time.monotonic()
        self._done = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the line meanwhile; after an error print how to go on."""
        self._start = self._shown = time.monotonic()
        with self._progress, advice_on_error(self._terminal, lambda: self._done, AGAIN, what="contents"):
            yield

    def show(self, report: "CopyReport") -> None:
        self._done = sum(report.outcomes.values())
        self._progress.update(self._task, description=self.line_of(report))
        if not self._terminal.is_terminal and time.monotonic() - self._shown >= REPORT_SECONDS:
            self._shown = time.monotonic()
            click.echo(self.line_of(report), err=True)

    def print_problem(self, problem: "CopyResult") -> None:
        print_problem(self._terminal, problem)

    def line_of(self, report: "CopyReport") -> str:
        from rich.filesize import decimal

        from pixyproxy.application.copy_contents import CopyOutcome

        numbers = {outcome: report.outcomes.get(outcome, 0) for outcome in CopyOutcome}
        rate = decimal(round(report.byte_size / (time.monotonic() - self._start)))
        gone = f", {numbers[CopyOutcome.GONE]:,} deleted meanwhile" if numbers[CopyOutcome.GONE] else ""
        return (
            f"{numbers[CopyOutcome.COPIED]:,} contents copied ({decimal(report.byte_size)}, {rate}/s), "
            f"{numbers[CopyOutcome.UNCHANGED]:,} there already{gone}, {report.not_copied:,} not copied."
        )


@asynccontextmanager
async def _opened(source: "Container", target: "Container") -> AsyncIterator[None]:
    """Hold open the stores of both; fail before the first content if one can't be used."""
    from pixyproxy.entrypoints.container import opened_stores
    from pixyproxy.entrypoints.settings import ContentKind

    async with AsyncExitStack() as stack:
        for contents in (source.contents(), source.upload_contents()):
            stack.push_async_callback(contents.close)
        with _faults_of("Source"):
            # A folder that does not exist is not to be made.
            await anext(source.contents().keys(), None)
            if source.settings().content_kind is ContentKind.FILE:
                # A bucket needs no areas to be made, and may be one that can only be read.
                await stack.enter_async_context(opened_stores(source))
        with _faults_of("Target"):
            await stack.enter_async_context(opened_stores(target))
            await target.contents().check()
        yield


@contextmanager
def _faults_of(side: str) -> Iterator[None]:
    from pixyproxy.domain.errors import ContentStoreError

    try:
        yield
    except ContentStoreError as exc:
        raise click.ClickException(" ".join([f"{side}: {exc.detail}", *getattr(exc, "__notes__", ())])) from exc


def _settings(url: str, option: str) -> "Settings":
    """Return settings with this content store, and defaults for the rest, or exit with status 2."""
    from pixyproxy.entrypoints.settings import SettingsError, environment_name, load_settings

    name = environment_name("content_url")
    if not url.strip():
        raise click.UsageError(f"{option} must be a URL, such as file:data/images.")
    try:
        return load_settings({name: url})
    except SettingsError as exc:
        raise click.UsageError("\n".join(problem.replace(name, option) for problem in exc.problems)) from exc


def _place_of(settings: "Settings") -> Sequence[str]:
    """Return the steps that lead to a content store; what is inside another begins with the other's steps."""
    from pixyproxy.entrypoints.settings import ContentKind

    if settings.content_kind is ContentKind.S3:
        bucket = settings.content_bucket
        return "s3", bucket.endpoint or "", *bucket.place.rstrip("/").split("/")
    return "file", *Path(settings.content_path).resolve().parts


def _ensure_apart(source: Sequence[str], target: Sequence[str]) -> None:
    shared = min(len(source), len(target))
    if source == target:
        raise click.UsageError(f"{SOURCE} and {TARGET} are the same content store.")
    if source[:shared] == target[:shared]:
        inner, outer = (SOURCE, TARGET) if len(source) > shared else (TARGET, SOURCE)
        raise click.UsageError(f"{inner} is inside {outer}; a content store must not hold another one.")
