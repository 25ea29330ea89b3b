"""A real nginx in front of the service."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests import real_parts
from tests.doubles.service import free_port

DOCUMENTED = Path(__file__).parents[2] / "docs" / "nginx"

_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_REMEDY = "apt-get install -y --no-install-recommends nginx"
_START_SECONDS = 10.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def documented(name: str, replaced: Mapping[str, str]) -> str:
    """Return a configuration from the documentation, with the reader's values filled in."""
    text = (DOCUMENTED / name).read_text(encoding="utf-8")
    for shown, own in replaced.items():
        assert text.count(shown) == 1, f"{shown!r} should be once in {name}"
        text = text.replace(shown, own)
    return text


def for_s3(service_port: int, s3_port: int) -> str:
    """Return the documented configuration for content that a local S3 server has."""
    return documented(
        "s3.conf",
        {
            "listen 80;": "listen {port};",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{service_port};",
            "server 127.0.0.1:8333;": f"server 127.0.0.1:{s3_port};",
            "Host 127.0.0.1:8333;": f"Host 127.0.0.1:{s3_port};",
            "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
        },
    )


class Nginx:
    """An nginx of one's own: its folder, its log, one process that works.

    Takes what stands inside of `http { … }`, in which `{port}` is a free port on the loopback and `{folder}` a folder
    for nginx's files, and settings of `http` itself. A context manager. Where there is no nginx, the test is skipped.
    """

    def __init__(self, configuration: str, *, options: str = "access_log off;") -> None:
        self._program = shutil.which("nginx", path=_SEARCH_PATH) or real_parts.lack("nginx", _REMEDY)
        self.folder = Path(tempfile.mkdtemp(prefix="pixyproxy-nginx-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        places = {"{port}": f"127.0.0.1:{self.port}", "{folder}": str(self.folder)}
        text = "\n".join([self._frame(), "http {", self._defaults(), options, configuration, "}"])
        for place, value in places.items():
            text = text.replace(place, value)
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")

    @property
    def log(self) -> str:
        """The errors and warnings so far."""
        return (self.folder / "error.log").read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        """The process id of the master."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        # So that no server outlives a test run that was killed.
        tether = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        log = self.folder / "error.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*tether, self._program, "-e", log, "-p", self.folder, "-c", self.folder / "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nginx does not start:\n{self.log}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _frame(self) -> str:
        # Started by root, nginx would work as a user who may not read what tests write.
        user = ["user root;"] if os.geteuid() == 0 else []
        return "\n".join(
            [
                *user,
                "daemon off;",
                "worker_processes 1;",
                "pid {folder}/pid;",
                "error_log {folder}/error.log warn;",
                "events { worker_connections 1024; }",
            ]
        )

    def _defaults(self) -> str:
        # As in Debian's nginx.conf, to test its effect on our answers.
        return "\n".join(
            [
                *(f"{kind}_temp_path {{folder}}/{kind};" for kind in _TEMPORARY),
                "include /etc/nginx/mime.types;",
                "default_type application/octet-stream;",
                "sendfile on;",
                "tcp_nopush on;",
                "gzip on;",
            ]
        )
