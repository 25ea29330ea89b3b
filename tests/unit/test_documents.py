"""The documents keep their promises; the packaging tests run the embedding page, e2e the session."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from pixyproxy.domain import ports
from pixyproxy.entrypoints.http.problems import problem_types
from pixyproxy.entrypoints.settings import Settings, environment_name
from tests.documents import ROOT, fenced_blocks, section
from tests.doubles.container import in_memory_container

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


def test_the_settings_page_has_every_setting_once_and_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| .+ \|$", page, re.MULTILINE)
    assert sorted(documented) == sorted(
        (environment_name(field.name), shown(field.default)) for field in msgspec.structs.fields(Settings)
    )


def test_the_settings_page_and_the_example_have_the_same_order() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == re.findall(r"^#([A-Z]\w+)=", example, re.MULTILINE)


def test_the_api_page_has_every_kind_of_problem_and_its_status() -> None:
    documented = {kind: int(status) for kind, status, _ in table_rows("docs/api.md", "Problems")}
    assert documented == {
        problem_types.kebab_case(error.__name__): int(status)
        for error, (status, _) in problem_types.PROBLEM_TYPES.items()
    }


def test_the_embedding_page_has_the_methods_of_each_port_of_images_and_contents() -> None:
    rows = table_rows("docs/embedding.md", "The ports")
    assert {getattr(ports, name) for name, *_ in rows} >= {
        port
        for bundle in (ports.ImagePorts, ports.ContentPorts)
        for port in bundle.__mro__
        if port.__module__.startswith(ports.__name__) and port.__module__ != bundle.__module__
    }
    for name, methods, _ in rows:
        own = vars(getattr(ports, name)).items()
        assert re.findall(r"\w+", methods) == [
            method for method, of in own if getattr(of, "__isabstractmethod__", False)
        ]


def test_the_embedding_page_names_providers_and_their_ports() -> None:
    rows = table_rows("docs/embedding.md", "Adapters of one's own in the service")
    container = in_memory_container(Settings())
    for provider, port in rows:
        adapter = getattr(container, provider)()
        if provider == "database":
            members = re.findall(r"`([a-z_]+)`", f"`{port}`")
            assert len(members) > 2
            assert all(hasattr(adapter, member) for member in members)
        else:
            assert getattr(ports, port) in type(adapter).__mro__, provider


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8"))
    assert [(path, anchor) for path, anchor in links if not leads_somewhere(page, path, anchor)] == []


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    """Return whether a link's file exists and, if it has an anchor, the heading that GitHub derives it from."""
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_architecture_page_names_what_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (tree,) = fenced_blocks(section("docs/architecture.md", "The rooms"), "text")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]+)`", page)
    assert len(named) > 20
    missing = [path for path in named if not any((folder / path).exists() for folder in (ROOT, ROOT / "pixyproxy"))]
    assert missing + [path for path in paths_of(tree) if not (ROOT / path).exists()] == []


def test_the_architecture_page_shows_every_room() -> None:
    (tree,) = fenced_blocks(section("docs/architecture.md", "The rooms"), "text")
    for layer in ("adapters", "entrypoints", "entrypoints/http"):
        folders = {path for path in (ROOT / "pixyproxy" / layer).iterdir() if (path / "__init__.py").exists()}
        assert folders <= {ROOT / path for path in paths_of(tree)}


def paths_of(tree: str) -> list[Path]:
    """Return the paths of a tree whose levels are indented by two spaces."""
    paths: list[Path] = []
    above: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        above[(len(line) - len(line.lstrip())) // 2 :] = [name]
        paths.append(Path(*above))
    return paths


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("0*.md"))
    assert all(int(after[:4]) - int(before[:4]) == 1 for before, after in pairwise(names))
    listed = re.findall(r"\((0.*?\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == names
