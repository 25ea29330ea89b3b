"""The examples in README.md and docs/, for tests that run or check them."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent


def section(document: str, heading: str) -> str:
    """Return the part of a project's Markdown file below a heading of the second level."""
    text = (ROOT / document).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{document} has no heading {heading}"
    return rest.partition("\n## ")[0]


def fenced_blocks(markdown: str, language: str) -> list[str]:
    """Return the fenced blocks that are in `language`, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def examples(document: str) -> dict[str, str]:
    """Return the Python files that a Markdown file shows, by their names without the suffix."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [*fenced_blocks(text, "python"), *fenced_blocks(text, "py")]
    return {block.partition("\n")[0].removeprefix("# ").removesuffix(".py"): block for block in blocks}


def load_example(document: str, name: str) -> Any:
    """Return a Python file that a Markdown file shows, as a module."""
    module = ModuleType(name)
    exec(compile(examples(document)[name], f"{name}.py", "exec"), module.__dict__)  # noqa: S102 -- the project's own
    return module
