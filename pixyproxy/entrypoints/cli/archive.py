"""Output that `pixyproxy export`, `pixyproxy import` and `pixyproxy content copy` share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

    from pixyproxy.application.copy_contents import CopyResult
    from pixyproxy.domain.ports import ArchiveProblem

AGAIN: Final = "Run the same command again to continue."


def print_problem(terminal: "Console", problem: "ArchiveProblem | CopyResult") -> None:
    """Print a line above the progress bar, if there is one."""
    line = f"{problem.name}: {problem.detail}"
    # File names and contents may include terminal control characters.
    _print(terminal, "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line))


@contextmanager
def advice_on_error(
    terminal: "Console", done: Callable[[], int], advice: str, *, what: str = "images"
) -> Iterator[None]:
    """On an error, print how many of `what` are `done` and the `advice`, and re-raise it."""
    from pixyproxy.domain.errors import PixyProxyException

    try:
        yield
    except PixyProxyException:
        _print(terminal, f"Stopped after {done():,} {what}. {advice}")
        raise


def _print(terminal: "Console", line: str) -> None:
    terminal.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
