"""Another S3 server than SeaweedFS: moto, which keeps everything in memory and checks no signatures."""

import importlib.util
import shutil
import subprocess
import sys
import time
from typing import Self
from urllib.parse import urlencode
from uuid import uuid4

from tests import real_parts
from tests.doubles.seaweedfs import REGION, status_of
from tests.doubles.service import free_port

_REMEDY = "pip install 'moto[s3]' flask flask-cors, which are in requirements/dev.txt"
_START_SECONDS = 60.0
# One request after the other: moto's dictionaries break when two threads put an object under one key.
_SERVE = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


class Moto:
    """A server of one's own with one bucket. A context manager; where there is no moto, the test is skipped."""

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None:
            real_parts.lack("moto", _REMEDY)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.bucket = "pixyproxy"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, prefix: str | None = None, **options: str) -> str:
        """Return the URL of a content store below `prefix`, or below one that no other test has."""
        query = urlencode({"endpoint": self.endpoint, "region": REGION, **options}, safe=":/")
        return f"s3://{self.bucket}/{uuid4().hex if prefix is None else prefix}?{query}"

    def __enter__(self) -> Self:
        tether = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen(
            [*tether, sys.executable, "-c", _SERVE, str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._make_bucket()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def _make_bucket(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while status_of(f"{self.endpoint}/{self.bucket}", method="PUT") != 200:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("moto does not start.")
            time.sleep(0.05)
