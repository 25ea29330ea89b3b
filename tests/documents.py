"""The examples in README.md and docs/, so that tests can hold them to what they say."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def section(document: str, heading: str) -> str:
    """Return what a Markdown file of the project has below a heading of the second level."""
    text = (ROOT / document).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{document} has no heading {heading}"
    return rest.partition("\n## ")[0]


def fenced_blocks(markdown: str, language: str) -> list[str]:
    """Return the fenced blocks that are in `language`, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
