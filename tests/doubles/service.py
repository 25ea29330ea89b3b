"""The service as a user runs it: `pixyproxy serve` in a process of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

START_TIMEOUT = 120.0

# Installations have no other web frameworks; without them each process starts in two thirds of the time.
WITHOUT_FRAMEWORKS = Path(__file__).with_name("without_frameworks")


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def clean_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without its PixyProxy and OpenAI settings, and with `overrides`.

    Without a PYTHONPATH in `overrides`, Python finds no web framework that only tests need.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIXYPROXY_", "OPENAI_"))}
    return {**inherited, "PYTHONPATH": str(WITHOUT_FRAMEWORKS), **overrides}


class Service:
    """A running service; `folder` is its working directory, `output` its output so far."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pixyproxy", "serve", "--port", str(self.port), *arguments],
            cwd=folder,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        """The service's output so far, log lines included."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode()

    @property
    def login(self) -> tuple[str, str]:
        """The login that the first start printed."""
        found = re.search(r"user name +(\S+)\n +password +(\S+)", self.output)
        assert found, self.output
        return found[1], found[2]

    def wait_until_live(self) -> None:
        """Return when the service answers; fail with its output when it ends or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        # A new client would read all certificates at each attempt.
        with httpx.Client(verify=False, timeout=5) as client:  # noqa: S501 -- no TLS on the loopback interface
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health/live").is_success:
                        return
                time.sleep(0.05)
        raise AssertionError(f"the service did not start:\n{self.output}")

    def stop(self, signal_number: int = signal.SIGTERM, *, timeout: float = 30) -> int:
        """Send the signal, wait for the end, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        """Forget its output."""
        self._output.close()


@contextlib.contextmanager
def running_service(folder: Path, environment: Mapping[str, str] | None = None, *arguments: str) -> Iterator[Service]:
    """Start a service in `folder`, wait until it answers, and stop it at the end."""
    service = Service(folder, environment or {}, *arguments)
    try:
        service.wait_until_live()
        yield service
    finally:
        service.stop()
        service.close()
