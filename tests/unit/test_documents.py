"""The documents hold what they promise; the embedding page is run by the packaging tests, the session by e2e."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from pixyproxy.entrypoints.http.problems import problem_types
from pixyproxy.entrypoints.settings import Settings, environment_name
from tests.documents import ROOT, fenced_blocks, section

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def table_rows(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head, and without the code marks."""
    table = re.search(r"(?:^\|.*\n?)+", section(document, heading), re.MULTILINE)
    assert table, f"{document} has no table below {heading}"
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table[0].strip().splitlines()[2:]
    ]


def shown(value: object) -> str:
    """Return how a table shows a default."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def test_the_embedding_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = fenced_blocks(section("README.md", "Embed it"), "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"a-red-fox-in-the-snow-[0-9a-f-]{36}\.png image/png\n", done.stdout)


def test_the_readme_has_every_setting_and_its_default() -> None:
    documented = {name: default for name, default, _ in table_rows("README.md", "Settings")}
    assert documented == {
        environment_name(field.name): shown(field.default) for field in msgspec.structs.fields(Settings)
    }


def test_the_api_page_has_every_kind_of_problem_and_its_status() -> None:
    documented = {kind: int(status) for kind, status, _ in table_rows("docs/api.md", "Problems")}
    assert documented == {
        problem_types.kebab_case(error.__name__): int(status)
        for error, (status, _) in problem_types.PROBLEM_TYPES.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("0*.md"))
    assert all(int(after[:4]) - int(before[:4]) == 1 for before, after in pairwise(names))
    listed = re.findall(r"\((0.*?\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == names
