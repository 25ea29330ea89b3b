"""The distributions: sdist, the wheel built from it, and that wheel in a fresh virtual environment.

The environment is given the distributions that the wheel declares, those that they declare in turn, and nothing else.
They are linked from the environment that runs the tests, so no index is asked, and a dependency that was used and not
declared is an ImportError.
"""

import ast
import email
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable, Iterator
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pixyproxy
from tests.documents import ROOT, fenced_blocks
from tests.doubles.service import clean_environment

PACKAGE = ROOT / "pixyproxy"

IMPORT_EVERYTHING = """
import importlib, pkgutil, pixyproxy
names = [module.name for module in pkgutil.walk_packages(pixyproxy.__path__, "pixyproxy.")]
for name in names:
    # The driver asyncmy is an extra.
    if not name.endswith((".__main__", ".asyncmy_connection")):
        importlib.import_module(name)
print(pixyproxy.__file__, len(names))
"""


class Built(NamedTuple):
    """The two files that a release consists of."""

    sdist: Path
    wheel: Path

    @property
    def names(self) -> set[str]:
        """The files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}

    def read(self, name: str) -> bytes:
        """Return a file of the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(name)

    def dist_info(self, name: str) -> str:
        """Return a file of the wheel's own folder of metadata."""
        return self.read(f"pixyproxy-{pixyproxy.__version__}.dist-info/{name}").decode()

    @property
    def metadata(self) -> Message:
        """The wheel's metadata."""
        return email.message_from_string(self.dist_info("METADATA"))

    @property
    def requirements(self) -> list[Requirement]:
        """The wheel's declared dependencies."""
        return [Requirement(line) for line in self.metadata.get_all("Requires-Dist", [])]


class Installed(NamedTuple):
    """A virtual environment with the wheel and its declared dependencies."""

    folder: Path

    def run(self, command: str, *arguments: str, cwd: Path) -> str:
        """Run a command of the environment and return what it prints; fail with its errors if it fails."""
        environment = clean_environment({"PYTHONDONTWRITEBYTECODE": "1"})
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [self.folder / "bin" / command, *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    # Without --sdist and --wheel, the wheel is built from the sdist.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    pip(folder, "install", "--quiet", "--no-deps", "--no-index", str(built.wheel))
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for distribution in closure(built.requirements).values():
        link(distribution, site_packages)
    return Installed(folder)


def pip(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def closure(requirements: Iterable[Requirement]) -> dict[str, metadata.Distribution]:
    """Return the distributions that fulfil the requirements, with those that these require."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[str] = set()
    todo = [(requirement, "") for requirement in requirements]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if f"{requirement} for {extra}" in seen:
            continue
        seen.add(f"{requirement} for {extra}")
        distribution = metadata.distribution(requirement.name)
        found[canonicalize_name(requirement.name)] = distribution
        required = [Requirement(line) for line in distribution.requires or []]
        todo += [(inner, wanted) for inner in required for wanted in ("", *requirement.extras)]
    return found


def link(distribution: metadata.Distribution, site_packages: Path) -> None:
    for file in distribution.files or []:
        if ".." not in file.parts:
            target = site_packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(Path(os.fspath(file.locate())))


def files_below(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (str((Path(parent) / name).relative_to(folder)) for name in names)


def imported_names() -> Iterator[tuple[str, str]]:
    """Yield each file of the package and the top-level name of each module that it imports."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((str(path), alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield str(path), node.module.partition(".")[0]


def test_the_wheel_has_one_top_level_name(built: Built) -> None:
    assert {name.partition("/")[0] for name in built.names} == {
        "pixyproxy",
        f"pixyproxy-{pixyproxy.__version__}.dist-info",
    }


def test_the_wheel_has_every_file_of_the_package_and_no_other(built: Built) -> None:
    shipped = {name.removeprefix("pixyproxy/") for name in built.names if name.startswith("pixyproxy/")}
    assert shipped == set(files_below(PACKAGE))
    gallery = "entrypoints/http/gallery"
    assert {
        "py.typed",
        "entrypoints/http/openapi/swagger_ui/swagger-ui-bundle.js",
        f"{gallery}/templates/base.html",
        f"{gallery}/static/gallery.js",
        f"{gallery}/static/gallery.css",
    } <= shipped


def test_the_schema_scripts_are_shipped_byte_by_byte(built: Built) -> None:
    scripts = sorted(files_below(ROOT / "sql"))
    assert {name.partition("/")[0] for name in scripts} >= {"mysql", "sqlite"}
    assert sorted(name for name in built.names if name.startswith("pixyproxy/sql/")) == [
        f"pixyproxy/sql/{name}" for name in scripts
    ]
    for name in scripts:
        assert built.read(f"pixyproxy/sql/{name}") == (ROOT / "sql" / name).read_bytes()


def test_the_sdist_needs_no_links(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        assert not [member.name for member in archive if not (member.isfile() or member.isdir())]


def test_the_sdist_has_what_a_deployment_is_made_of(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        shipped = {member.name.partition("/")[2] for member in archive}
    deployment = {f"{folder}/{name}" for folder in ("deploy", "docs", "sql") for name in files_below(ROOT / folder)}
    assert {"Dockerfile", ".dockerignore", "compose.yaml", ".env.example", "requirements/runtime.txt"} <= shipped
    assert deployment <= shipped


def test_the_license_is_part_of_the_wheel(built: Built) -> None:
    assert built.dist_info("licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert built.metadata["License-Expression"] == "MIT"


def test_every_library_that_is_imported_is_declared(built: Built) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in built.requirements}
    providers = metadata.packages_distributions()
    undeclared = {
        f"{name} in {path}"
        for path, name in imported_names()
        if name not in sys.stdlib_module_names
        and name != "pixyproxy"
        and declared.isdisjoint(canonicalize_name(provider) for provider in providers.get(name, []))
    }
    assert not undeclared


def test_the_lock_file_pins_all_that_the_wheel_needs(built: Built) -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", lock, re.MULTILINE)}
    assert closure(built.requirements).keys() <= pinned


def test_the_wheels_metadata_is_consistent(installed: Installed) -> None:
    assert "No broken requirements found" in pip(installed.folder, "check")


def test_every_module_can_be_imported_with_the_declared_dependencies(installed: Installed, tmp_path: Path) -> None:
    file, count = installed.run("python", "-I", "-c", IMPORT_EVERYTHING, cwd=tmp_path).rsplit(maxsplit=1)
    assert Path(file).is_relative_to(installed.folder)
    assert int(count) > 50


def test_help_and_version_answer(installed: Installed, tmp_path: Path) -> None:
    assert "serve" in installed.run("pixyproxy", "--help", cwd=tmp_path)
    assert installed.run("pixyproxy", "--version", cwd=tmp_path).split()[-1] == pixyproxy.__version__


def test_the_installed_command_finds_its_schema_scripts(installed: Installed, tmp_path: Path) -> None:
    applied = installed.run("pixyproxy", "db", "upgrade", cwd=tmp_path).splitlines()
    assert len(applied) == len(list((ROOT / "sql" / "sqlite").glob("*.sql"))) + 1
    installed.run("pixyproxy", "generate", "a red fox", "--out", "fox.png", cwd=tmp_path)
    assert (tmp_path / "fox.png").read_bytes().startswith(b"\x89PNG")


def test_the_embedding_page_does_what_it_says(installed: Installed, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    for block in fenced_blocks(page, "python"):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block, encoding="utf-8")
    # A package, as most hosts have one, and not only a folder.
    (tmp_path / "domain" / "__init__.py").touch()
    applications = sorted(tmp_path.glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
    printed = [installed.run("python", "-X", "dev", path.name, cwd=tmp_path) for path in applications]

    assert printed == fenced_blocks(page, "text")
    assert len(list(tmp_path.glob("*.png"))) == 3
