"""The examples in README.md and docs/, so that tests can hold them to what they say."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def fenced_blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a Markdown file of the project that are in `language`, in their order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
