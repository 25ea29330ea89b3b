"""How the packages of clients are pinned and installed."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.environments import InstallationError, PythonEnvironment
from tests.documents import ROOT
from tests.doubles.processes import run_at_once

INSTALL = """
from dataclasses import dataclass
from pathlib import Path
import sys
from tests.clients import environments
"""
AT_ONCE = """
@dataclass
class Slow:
    name: str
    folder: Path
    def build(self, folder):
        with (self.folder.parent / "builds").open("a") as file:
            file.write("built\\n")
        (folder / "client").write_text("here")

environments.install([Slow("a client", Path(sys.argv[1]))])
"""


@dataclass
class Unavailable:
    """A client that can't be installed."""

    name: str
    folder: Path

    def build(self, folder: Path) -> None:
        """Begin, and fail."""
        (folder / "half").touch()
        raise InstallationError("no such package")


async def test_an_environment_is_made_once_however_many_processes_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "pixyproxy" / "clients" / "a-client"
    output = await run_at_once(INSTALL, AT_ONCE, str(folder))
    assert "".join(output) == "Installing a client\n"
    assert (folder.parent / "builds").read_text() == "built\n"
    assert (folder / "client").read_text() == "here"


def test_what_can_not_be_installed_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    environments.install([Unavailable("a client", tmp_path / "a-client")])
    assert capsys.readouterr().err == "Not installed (no such package): a client\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a-client.lock"]


def test_what_an_installer_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.txt").write_text("no requirement at all\n")
    environment = PythonEnvironment(name="a client", requirements=str(tmp_path / "wrong.txt"))
    with pytest.raises(InstallationError, match="nvalid requirement"):
        environment.build(tmp_path / "made")


def test_a_missing_client_is_a_missing_real_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = Unavailable("a client", tmp_path / "missing")
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match=f"no a client; to test it: {environments.REMEDY}"):
        environments.require(missing)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        environments.require(missing)


def test_no_lock_file_names_a_registry() -> None:
    for path in ROOT.glob("requirements/*.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path
    lock = json.loads((environments.NODE_PACKAGES.source / "package-lock.json").read_text(encoding="utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert len(packages) > 4
    assert all("integrity" in package and "resolved" not in package for package in packages)


def test_each_client_is_pinned_to_one_version() -> None:
    package = json.loads((environments.NODE_PACKAGES.source / "package.json").read_text(encoding="utf-8"))
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    for environment in environments.ALL:
        if isinstance(environment, PythonEnvironment):
            assert "--hash=sha256:" in (ROOT / "requirements" / environment.requirements).read_text(encoding="utf-8")
