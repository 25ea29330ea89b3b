"""The servers of `delivery.py`, on one processor, and their pictures in a database and in files."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.entrypoints.server.sendfile_protocol import SendfileProtocol
from tests.doubles.nginx import Nginx, documented
from tests.doubles.service import clean_environment, free_port, running_service

# Both are the same on a machine with one processor, which is enough to see whether a bench works.
SERVERS_CORE, CLIENTS_CORE, *_ = sorted(os.sched_getaffinity(0)) * 2

SMALL: Final = "50 KB"
MIDDLE: Final = "1.5 MB"
LARGE: Final = "8 MB"
SIZES: Final[Mapping[str, int]] = {SMALL: 50_000, MIDDLE: 1_500_000, LARGE: 8_000_000}
# More large pictures than are read at once, so that each has left the page cache before its next turn.
LARGE_COUNT: Final = 64

NGINX: Final = "nginx"
PIXYPROXY: Final = "PixyProxy"
X_ACCEL: Final = "nginx with `X-Accel-Redirect` from PixyProxy"
HTTPTOOLS: Final = "PixyProxy on plain uvicorn"
H11: Final = "PixyProxy on plain uvicorn with h11"
TLS: Final = "PixyProxy on plain uvicorn with TLS"
BARE: Final = "bare handlers"

STATIC: Final = "server { listen {port}; location / { alias %s/; } }"
LOGGED: Final = "access_log {folder}/access.log;"
ON_UVICORN: Final[Mapping[str, Sequence[str]]] = {
    HTTPTOOLS: ("--http", "httptools"),
    H11: ("--http", "h11"),
    TLS: ("--http", "httptools", "--ssl-keyfile", "key.pem", "--ssl-certfile", "certificate.pem"),
}

FLOORS: Final[Mapping[str, str]] = {
    "the server alone": "",
    "with the log": "log",
    "with the database": "database",
    "with both": "log database",
}


class Pictures(msgspec.Struct, frozen=True):
    """Public images by their size, the folder of their contents, and the settings of a service that serves them."""

    by_size: Mapping[str, Sequence[Image]]
    folder: Path
    settings: Mapping[str, str]

    def file(self, image: Image) -> Path:
        """Return the file of an image's content."""
        key = image.content_key
        return self.folder / key[:2] / key[2:4] / key


class Server(msgspec.Struct, frozen=True):
    """A server that runs."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let this thread, and the processes that are started within, run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[None]:
    """Keep both processors from falling asleep, by processes that run only when the processor is idle.

    On a virtual machine, a processor that has fallen asleep comes back when its host finds the time: after up to a
    millisecond. The speed of small answers would depend on how often the client sleeps, and on the host's other
    guests.
    """
    script = """if True:
        import os
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        parent = os.getppid()
        while os.getppid() == parent:
            for _ in range(1_000_000):
                pass
    """
    idlers = []
    try:
        for core in (SERVERS_CORE, CLIENTS_CORE):
            with on_core(core):
                idlers.append(subprocess.Popen([sys.executable, "-c", script]))  # noqa: S603 -- our own command
        yield
    finally:
        for idler in idlers:
            idler.kill()
            idler.wait()


async def store_pictures(url: str, folder: Path) -> Pictures:
    """Write the schema, the images and their contents."""
    database = MySQLDatabase(url)
    await database.open()
    await database.schema.upgrade()
    images, contents = database.images, FilesystemContentStore(folder)
    await contents.prepare()
    by_size: dict[str, list[Image]] = {}
    for size, byte_size in SIZES.items():
        for _ in range(LARGE_COUNT if size == LARGE else 1):
            data = random.randbytes(byte_size)  # noqa: S311 -- no secret
            image = _image_of(data)
            await contents.put(image.content_key, _only(data))
            await images.add(image)
            by_size.setdefault(size, []).append(image)
    await database.close()
    settings = {"PIXYPROXY_DATABASE_URL": url, "PIXYPROXY_CONTENT_URL": f"file://{folder}"}
    return Pictures(by_size, folder, settings)


def _image_of(data: bytes) -> Image:
    guid, prompt = UUID(int=random.getrandbits(128), version=4), "a lighthouse"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Image(
        guid=guid,
        filename=filename_for(prompt, guid, MediaType.PNG),
        request=GenerationRequest(prompt=prompt),
        author=None,
        visibility=Visibility.PUBLIC,
        status=ImageStatus.READY,
        model="gpt-image-2",
        created_at=at,
        updated_at=at,
        content=ContentInfo(
            media_type=MediaType.PNG,
            byte_size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=1024,
            height=1024,
        ),
    )


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data


@contextmanager
def all_servers(pictures: Pictures) -> Iterator[Mapping[str, Server]]:
    """Run everything that is compared, on one processor; give the servers by name."""
    with ExitStack() as stack, on_core(SERVERS_CORE):
        nginx = stack.enter_context(Nginx(STATIC % pictures.folder, options=LOGGED))
        servers = {
            NGINX: Server(nginx.url, nginx.pid),
            PIXYPROXY: stack.enter_context(pixyproxy(pictures)),
            X_ACCEL: stack.enter_context(_offloading(pictures)),
            BARE: stack.enter_context(_uvicorn(pictures, "bare_handlers:app", "--app-dir", str(Path(__file__).parent))),
        }
        for name in ON_UVICORN:
            servers[name] = stack.enter_context(on_uvicorn(pictures, name))
        yield servers


@contextmanager
def pixyproxy(pictures: Pictures, **settings: str) -> Iterator[Server]:
    """Run PixyProxy as a user does, on the processor of the servers."""
    with on_core(SERVERS_CORE), running_service(pictures.folder.parent, {**pictures.settings, **settings}) as service:
        yield Server(service.url, service.process.pid)


@contextmanager
def on_uvicorn(pictures: Pictures, name: str) -> Iterator[Server]:
    """Run PixyProxy on uvicorn as it comes, on the processor of the servers."""
    if name == TLS:
        _make_certificate(pictures.folder.parent)
    application = ("--factory", "pixyproxy.entrypoints.cli.serve:application")
    with on_core(SERVERS_CORE), _uvicorn(pictures, *application, *ON_UVICORN[name]) as server:
        yield msgspec.structs.replace(server, url=server.url.replace("http:", "https:")) if name == TLS else server


@contextmanager
def on_floor(pictures: Pictures, parts: str) -> Iterator[Server]:
    """Run `floor_app.py` with these of PixyProxy's parts, on the processor of the servers."""
    protocol = f"{SendfileProtocol.__module__}:{SendfileProtocol.__name__}"
    settings = {**pictures.settings, "FLOOR": parts, "PYTHONPATH": os.environ["PYTHONPATH"]}
    application = ("floor_app:app", "--app-dir", str(Path(__file__).parent), "--http", protocol)
    with on_core(SERVERS_CORE), _uvicorn(msgspec.structs.replace(pictures, settings=settings), *application) as server:
        yield server


@contextmanager
def _offloading(pictures: Pictures) -> Iterator[Server]:
    with pixyproxy(pictures, PIXYPROXY_CONTENT_OFFLOAD="x-accel:/internal/") as service:
        replaced = {
            "listen 80;": "listen {port};",
            "127.0.0.1:8000": f"127.0.0.1:{service.port}",
            "/srv/pixyproxy/data/images/": f"{pictures.folder}/",
            "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
        }
        with Nginx(documented("offload.conf", replaced)) as nginx:
            yield Server(nginx.url, nginx.pid)


def _uvicorn(pictures: Pictures, *arguments: str) -> AbstractContextManager[Server]:
    return uvicorn_server(pictures.folder.parent, pictures.settings, *arguments)


@contextmanager
def uvicorn_server(folder: Path, settings: Mapping[str, str], *arguments: str) -> Iterator[Server]:
    """Run an application on uvicorn in its quickest configuration, in `folder`, without an access log."""
    port = free_port()
    log_path = folder / f"log-{port}"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 -- our own command
            [
                *(sys.executable, "-m", "uvicorn", *arguments, "--loop", "uvloop", "--lifespan", "on"),
                *("--no-access-log", "--no-server-header", "--log-level", "warning"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=folder,
            env=clean_environment({"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **settings}),
            stdout=log,
            stderr=log,
        )
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise SystemExit(log_path.read_text(encoding="utf-8"))
            time.sleep(0.05)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _make_certificate(folder: Path) -> None:
    subprocess.run(  # noqa: S603 -- our own command
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )
