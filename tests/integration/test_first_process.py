"""Commands as the first process of a container."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import real_parts
from tests.doubles.service import clean_environment, free_port

NAMESPACES = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
SECONDS = 60


@contextlib.contextmanager
def first_process(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in namespaces of its own; the process is its parent, which ends with the same status."""
    if (
        not shutil.which("unshare")
        or subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode
    ):
        real_parts.lack("namespaces of processes", "allow user namespaces, or run as root", may_lack=True)
    command = [*NAMESPACES, sys.executable, "-m", "pixyproxy", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=clean_environment(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def child_of(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + SECONDS
    while not (found := children.read_text(encoding="ascii").split()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(found[0])


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        yield server


@pytest.mark.parametrize("command", [["db", "upgrade"], ["serve"]], ids=" ".join)
def test_sigterm_ends_a_command_that_waits_for_its_database(
    command: list[str], silent_server: socket.socket, tmp_path: Path
) -> None:
    url = f"mysql://ann:secret@127.0.0.1:{silent_server.getsockname()[1]}/pixyproxy"
    environment = {
        "PIXYPROXY_DATABASE_URL": url,
        "PIXYPROXY_MYSQL_CONNECT_TIMEOUT": "600",
        "PIXYPROXY_PORT": str(free_port()),
    }
    with first_process(tmp_path, *command, **environment) as process:
        connection, _ = silent_server.accept()
        with connection:
            os.kill(child_of(process), signal.SIGTERM)
            assert process.wait(SECONDS) == 128 + signal.SIGTERM
