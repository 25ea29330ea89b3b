"""Many machines on one: a database cluster, a bucket, replicas behind nginx, and the stand-in for OpenAI."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.doubles.galera import GaleraCluster
from tests.doubles.mariadb import Rows
from tests.doubles.nginx import Nginx, documented
from tests.doubles.openai_server import KEY
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS
from tests.doubles.service import START_TIMEOUT, Service, clean_environment, free_port

AUTHORS: Final = ("ann", "ben", "eve", "kit")
PASSWORD: Final = "correct horse battery staple"
PICTURE_SIZE: Final = "256x256"
RUNNING: Final = 5
"""The images that a replica generates at once."""

_SETTINGS: Final = {
    "PIXYPROXY_GENERATOR": "openai",
    "PIXYPROXY_OPENAI_SIZE": PICTURE_SIZE,
    "PIXYPROXY_OPENAI_TIMEOUT": "30",
    "PIXYPROXY_LEASE": "3",
    "PIXYPROXY_MAX_GENERATIONS": str(RUNNING),
    "PIXYPROXY_MAX_WAIT": "60",
    # Longer than nginx keeps an idle connection here.
    "PIXYPROXY_DRAIN_DELAY": "2",
    "PIXYPROXY_SHUTDOWN_TIMEOUT": "30",
    "PIXYPROXY_LOG_FORMAT": "json",
}
_SECONDS_OF_A_GENERATION: Final = "0.3"


class Replica:
    """A service that starts again on the same port."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._service: Service | None = None
        self._output = ""

    @property
    def output(self) -> str:
        """The output so far, of all its processes."""
        return self._output + (self._service.output if self._service else "")

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._service is not None
        return self._service.process.pid

    def launch(self) -> None:
        """Start a process, and return at once."""
        self._service = Service(self._folder, self.environment, port=self.port)

    def wait(self) -> None:
        """Return when it answers."""
        assert self._service is not None
        self._service.wait_until_live()

    def start(self) -> None:
        """Start a process, and return when it answers."""
        self.launch()
        self.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to its process, if there is one, and return when it has ended."""
        if self._service is not None:
            self._service.stop(number, timeout=60)
            self._output += self._service.output
            self._service.close()
            self._service = None


class OpenAI:
    """The stand-in for OpenAI, in a process of its own: a context manager."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.doubles.openai_server", "--api-key", KEY]
        self._process = subprocess.Popen(
            [*command, "--delay", _SECONDS_OF_A_GENERATION], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def times_billed(self) -> Counter[str]:
        """Return how often each prompt was billed."""
        return Counter(self._call()["times_billed"])

    def open_gate(self, name: str) -> None:
        """Let go of the answers that are held at a gate."""
        self._call(f"/open/{name}", method="POST")

    def _call(self, path: str = "", *, method: str = "GET") -> Mapping[str, Mapping[str, int]]:
        request = urllib.request.Request(f"{self.url.removesuffix('/v1')}/stand-in{path}", method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 -- our own server
            account: Mapping[str, Mapping[str, int]] = json.load(response)
            return account


class World:
    """All of it. Make one with `running_world`; `heal` undoes whatever was done to it."""

    def __init__(self, folder: Path, cluster: GaleraCluster, s3: SeaweedFS, openai: OpenAI) -> None:
        self.folder = folder
        self.cluster = cluster
        self.s3 = s3
        self.openai = openai
        self.database = cluster.create_database()
        self.environment = {
            **_SETTINGS,
            **CREDENTIALS,
            "PIXYPROXY_DATABASE_URL": cluster.url(self.database),
            "PIXYPROXY_CONTENT_URL": s3.url(),
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": openai.url,
        }
        self.replicas: Sequence[Replica] = ()
        self.url = ""

    def start(self, stack: ExitStack, count: int) -> None:
        """Create the schema and the users, and start the replicas and nginx, which end with the stack."""
        asyncio.run(_prepare(self.environment, self.folder))
        self.replicas = [Replica(self.folder, self.environment) for _ in range(count)]
        for replica in self.replicas:
            stack.callback(replica.end, signal.SIGKILL)
        self.restart({replica: {} for replica in self.replicas})
        self.url = stack.enter_context(nginx_before(self.replicas)).url

    def restart(self, settings: Mapping[Replica, Mapping[str, str]]) -> None:
        """Start replicas anew, all at once, with these settings besides."""
        for replica, its_own in settings.items():
            replica.end(signal.SIGKILL)
            replica.environment = {**self.environment, **its_own}
            replica.launch()
        for replica in settings:
            replica.wait()

    def heal(self) -> None:
        """Have all parts run, and return when all images are final."""
        self.cluster.heal()
        self.wait_until_settled()

    def wait_until_settled(self) -> None:
        """Return when no image waits or is generated."""
        deadline = time.monotonic() + START_TIMEOUT
        while rows := self.query("SELECT prompt, status FROM images WHERE status IN ('pending', 'generating')"):
            assert time.monotonic() < deadline, rows
            time.sleep(0.1)

    def query(self, sql: str) -> Rows:
        """Ask the database, not the service."""
        return self.cluster.usable_node().execute(sql, database=self.database)

    def running(self, replica: Replica) -> int:
        """Return the number of images that a replica generates now."""
        return self._count(f"status = 'generating' AND lease_owner LIKE '%:{replica.pid}:%'")

    def waiting(self) -> int:
        """Return the number of images that wait in the queue."""
        return self._count("status = 'pending'")

    def _count(self, condition: str) -> int:
        ((count,),) = self.query(f"SELECT COUNT(*) FROM images WHERE {condition}")  # noqa: S608
        return int(count)

    def doctor(self) -> "subprocess.CompletedProcess[str]":
        """Run `pixyproxy doctor`."""
        return subprocess.run(
            [sys.executable, "-m", "pixyproxy", "doctor"],
            cwd=self.folder,
            env=clean_environment(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )


def nginx_before(replicas: Sequence[Replica]) -> Nginx:
    """Return an nginx in front of the replicas, with the documented configuration."""
    servers = "".join(f"server 127.0.0.1:{replica.port} max_fails=0;" for replica in replicas)
    return Nginx(
        documented(
            "replicas.conf",
            {
                "listen 80;": "listen {port};",
                "keepalive_timeout 4s;": "keepalive_timeout 1s;",
                "server pixyproxy-1:8000 max_fails=0;": servers,
                "server pixyproxy-2:8000 max_fails=0;": "",
                "/var/log/nginx/access.log": "{folder}/access.log",
            },
        )
    )


async def _prepare(environment: Mapping[str, str], folder: Path) -> None:
    """Create the schema and the users."""
    # Without the bucket, whose credentials this process lacks.
    settings = load_settings({**environment, "PIXYPROXY_CONTENT_URL": f"file:{folder}"})
    async with opened(Container(settings=settings)) as container:
        await container.schema().upgrade()
        for author in AUTHORS:
            await container.add_user()(author, PASSWORD)


@contextmanager
def running_world(replicas: int = 3) -> Iterator[World]:
    """Give a world with three database nodes and this number of replicas, and take it down at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pixyproxy-cluster-")))
        cluster = stack.enter_context(GaleraCluster())
        s3 = stack.enter_context(SeaweedFS())
        openai = stack.enter_context(OpenAI())
        world = World(folder, cluster, s3, openai)
        world.start(stack, replicas)
        yield world
