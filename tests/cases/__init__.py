"""Cases that more than one test has to agree on."""

from pathlib import Path

_ROWS = (Path(__file__).parent / "search.tsv").read_text(encoding="utf-8").splitlines()[1:]

SEARCHES: list[tuple[str, str, bool]] = [
    (prompt, query, wanted == "found") for prompt, query, wanted in (row.split("\t") for row in _ROWS)
]
"""Prompts, queries, and whether the query finds the prompt."""
