"""What `pixyproxy export` and `pixyproxy import` show alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

    from pixyproxy.domain.ports import ArchiveProblem

AGAIN: Final = "The same command again does the rest."


def print_problem(terminal: "Console", problem: "ArchiveProblem") -> None:
    """Print one line, above the progress bar if there is one."""
    line = f"{problem.name}: {problem.detail}"
    # A file's name, or what is in it, may hold anything, also what would steer the terminal.
    _print(terminal, "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line))


@contextmanager
def told_how_to_go_on(terminal: "Console", done: Callable[[], int], advice: str) -> Iterator[None]:
    """Say what an error of PixyProxy's means for what is `done` so far, with `advice`, and let it pass."""
    from pixyproxy.domain.errors import PixyProxyException

    try:
        yield
    except PixyProxyException:
        _print(terminal, f"Broken off behind {done():,} images. {advice}")
        raise


def _print(terminal: "Console", line: str) -> None:
    terminal.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
