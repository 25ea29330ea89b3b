"""The servers of `reads.py`, PixyProxy and its peers on one processor, and their images and thumbnails."""

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from delivery_servers import CLIENTS_CORE, LOGGED, SERVERS_CORE, STATIC, Server, on_core, uvicorn_server
from library_images import CHUNK, make_chunk

from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.user import UserName
from tests.doubles.image_rows import Rows, rows_of, write_rows
from tests.doubles.mariadb import MySQLServer, ThrowawayServer
from tests.doubles.nginx import Nginx
from tests.doubles.service import running_service

PIXYPROXY: Final = "PixyProxy"
TWO_WORKERS: Final = "PixyProxy, two workers"
ASYNCMY: Final = "PixyProxy with asyncmy"
WITH_LOGIN: Final = "PixyProxy, private route with Basic"
BARE: Final = "bare Litestar handler"
NGINX: Final = "nginx"
FASTAPI: Final = "FastAPI + aiomysql"
FASTAPI_SHORT: Final = "FastAPI + aiomysql, 5 columns"
ORIGINAL: Final = "the original design, 5 columns"
ORIGINAL_PURE: Final = "the original design without C extension, 5 columns"

# Each needs a package that may be missing.
OPTIONAL: Final = (ASYNCMY, ORIGINAL, ORIGINAL_PURE)

SERVER_OPTIONS: Final = ("--innodb-buffer-pool-size=512M",)
TAGS: Final = 2
THUMBNAIL: Final = "width=256&format=webp"
# Images per thumbnail: 20,000 to 100.
IMAGES_PER_THUMBNAIL: Final = 200
SIZES: Final[Mapping[str, int]] = {"50 KB": 50_000, "0.9 MB": 900_000, "1.5 MB": 1_500_000, "8 MB": 8_000_000}

PEER_SCHEMA: Final = (
    """CREATE TABLE images (
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, guid CHAR(36) CHARACTER SET ascii NOT NULL UNIQUE,
        filename VARCHAR(255) NOT NULL, status VARCHAR(16) NOT NULL, prompt TEXT NOT NULL, author VARCHAR(64),
        visibility VARCHAR(16) NOT NULL, created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NOT NULL,
        media_type VARCHAR(64), byte_size BIGINT, sha256 CHAR(64) CHARACTER SET ascii, width INT, height INT,
        model VARCHAR(255) NOT NULL, batch CHAR(36) CHARACTER SET ascii, size VARCHAR(64), quality VARCHAR(64),
        background VARCHAR(64), output_format VARCHAR(64), KEY (visibility, status, created_at, guid)
    ) CHARACTER SET utf8mb4""",
    """CREATE TABLE image_tags (
        image_id INT NOT NULL, position INT NOT NULL, tag VARCHAR(64) NOT NULL, PRIMARY KEY (image_id, position),
        KEY (tag), FOREIGN KEY (image_id) REFERENCES images (id)
    ) CHARACTER SET utf8mb4""",
)
PEER_COLUMNS: Final = (
    *("guid", "filename", "status", "prompt", "author", "visibility", "created_at", "updated_at", "media_type"),
    *("byte_size", "sha256", "width", "height", "model", "batch"),
)
# PixyProxy keeps them in one column, as JSON.
PEER_OPTIONS: Final = ("size", "quality", "background", "output_format")


class Library(msgspec.Struct, frozen=True):
    """The same images in a database for PixyProxy and in one for its peers, and pictures with thumbnails."""

    guids: Sequence[str]
    login: tuple[str, str]
    folder: Path
    settings: Mapping[str, str]
    peer_settings: Mapping[str, str]
    thumbnails: Sequence[str]
    contents: Mapping[str, str]

    def file(self, guid: str) -> str:
        """Return the path of an image's content below the folder of contents."""
        return f"{guid[:2]}/{guid[2:4]}/{guid}"


def make_images(count: int, author: str) -> Sequence[Image]:
    """Return public images of one author, with two tags each, newer than all pictures that are made meanwhile."""
    chunks = -(-count * 2 // CHUNK)
    made = itertools.chain.from_iterable(make_chunk(number, chunks) for number in range(chunks))
    ready = (image for image in made if image.status is ImageStatus.READY)
    begin = datetime.now(UTC) + timedelta(days=1)
    images = []
    for number, image in enumerate(itertools.islice(ready, count)):
        at = begin + timedelta(seconds=number, microseconds=1)
        images.append(
            msgspec.structs.replace(
                image,
                author=UserName(author),
                visibility=Visibility.PUBLIC,
                tags=image.tags[:TAGS],
                created_at=at,
                updated_at=at,
            )
        )
    return images


def peer_rows_of(images: Sequence[Image]) -> Rows:
    """Return the rows of images for the peers' tables."""
    return {
        "images": [
            {name: row[name] for name in ("id", *PEER_COLUMNS)}
            | {name: getattr(image.request, name) for name in PEER_OPTIONS}
            for image, row in zip(images, rows_of(images)["images"], strict=True)
        ],
        "image_tags": [
            {"image_id": image.id, "position": position, "tag": tag}
            for image in images
            for position, tag in enumerate(image.tags)
        ],
    }


@contextmanager
def library(server: MySQLServer, folder: Path, count: int) -> Iterator[Library]:
    """Make the databases and the pictures."""
    with (
        server.new_database() as url,
        server.new_database() as peer_url,
        on_core(CLIENTS_CORE),
        uvicorn_server(folder, {}, "instant_openai:app", "--app-dir", _peers()) as openai,
    ):
        contents = folder / "images"
        settings = {
            "PIXYPROXY_DATABASE_URL": url,
            "PIXYPROXY_CONTENT_URL": f"file://{contents}",
            "PIXYPROXY_AUTO_UPGRADE": "true",
            "OPENAI_API_KEY": "sk-any",
            "OPENAI_BASE_URL": f"{openai.url}/v1",
        }
        with running_service(folder, settings) as service:
            login = service.login
            thumbnails = [
                create(service.url, login, f"lighthouse {n}") for n in range(-(-count // IMAGES_PER_THUMBNAIL))
            ]
            (folder / "thumbnails").mkdir()
            for guid in thumbnails:
                thumbnail = httpx.get(f"{service.url}/image/{guid}/content?{THUMBNAIL}").raise_for_status()
                # nginx has it in a file of its own.
                (folder / "thumbnails" / guid).write_bytes(thumbnail.content)
            stored = {name: create(service.url, login, f"noise [[big {size}]]") for name, size in SIZES.items()}
        images = [msgspec.structs.replace(image, id=1_000 + n) for n, image in enumerate(make_images(count, login[0]))]
        write_rows(url, rows_of(images))
        server.execute_all(PEER_SCHEMA, database=_name(peer_url))
        write_rows(peer_url, peer_rows_of(images))
        for database in (url, peer_url):
            server.execute("ANALYZE TABLE images, image_tags", database=_name(database))
        yield Library(
            [str(image.guid) for image in images],
            login,
            folder,
            settings,
            {"PEER_DATABASE_URL": peer_url},
            thumbnails,
            stored,
        )


def create(url: str, login: tuple[str, str], prompt: str) -> str:
    """Create an image; return its guid."""
    body = {"prompt": prompt, "tags": ["lighthouse", "draft"]}
    answer = httpx.post(f"{url}/image", json=body, auth=login, timeout=60).raise_for_status()
    return str(answer.json()["guid"])


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _peers() -> str:
    return str(Path(__file__).parent / "peers")


@contextmanager
def pixyproxy(library: Library, *, workers: int = 1, **settings: str) -> Iterator[Server]:
    """Run PixyProxy as a user does, on the processor of the servers."""
    with (
        on_core(SERVERS_CORE),
        running_service(library.folder, {**library.settings, **settings}, "--workers", str(workers)) as service,
    ):
        # The first worker answers before the second one has started.
        while service.output.count("Application startup complete.") < workers:
            time.sleep(0.05)
        yield Server(service.url, service.process.pid)


@contextmanager
def pixyproxy_on_asyncmy(library: Library) -> Iterator[Server]:
    """Run PixyProxy with the other driver."""
    url = library.settings["PIXYPROXY_DATABASE_URL"].replace("mysql:", "mysql+asyncmy:", 1)
    with pixyproxy(library, PIXYPROXY_DATABASE_URL=url) as server:
        yield server


@contextmanager
def peer(library: Library, name: str, **settings: str) -> Iterator[Server]:
    """Run an application of `bench/peers`, on the processor of the servers."""
    with (
        on_core(SERVERS_CORE),
        uvicorn_server(
            library.folder, {**library.peer_settings, **settings}, f"{name}:app", "--app-dir", _peers()
        ) as server,
    ):
        yield server


@contextmanager
def run_servers(library: Library, names: Collection[str]) -> Iterator[Mapping[str, Server]]:
    """Run the servers of these names on one processor. Servers that are not installed are left out."""
    starts: Mapping[str, Callable[[], AbstractContextManager[Server]]] = {
        PIXYPROXY: lambda: pixyproxy(library),
        TWO_WORKERS: lambda: pixyproxy(library, workers=2),
        ASYNCMY: lambda: pixyproxy_on_asyncmy(library),
        BARE: lambda: peer(library, "bare"),
        FASTAPI: lambda: peer(library, "fastapi_aiomysql"),
        ORIGINAL: lambda: peer(library, "original"),
        ORIGINAL_PURE: lambda: peer(library, "original", PEER_PURE="true"),
        NGINX: lambda: nginx(library),
    }
    servers = {}
    with ExitStack() as stack:
        for name, start in starts.items():
            if name in names:
                try:
                    servers[name] = stack.enter_context(start())
                except (AssertionError, SystemExit) as exc:
                    if name not in OPTIONAL:
                        raise
                    print(f"Not measured: {name}, which does not start: {str(exc).strip().splitlines()[-1]}")
        yield servers


@contextmanager
def nginx(library: Library) -> Iterator[Server]:
    """Run nginx on the processor of the servers, with an access log."""
    with on_core(SERVERS_CORE), Nginx(STATIC % library.folder, options=LOGGED) as server:
        yield Server(server.url, server.pid)


@contextmanager
def database() -> Iterator[MySQLServer]:
    """Run a database on the processor of the clients."""
    with on_core(CLIENTS_CORE), ThrowawayServer(*SERVER_OPTIONS) as server:
        yield server


def cpu_seconds(pid: int) -> float:
    """Return the time that a process and its children have worked so far."""
    ticks = 0
    for member in process_tree(pid):
        fields = Path(f"/proc/{member}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def process_tree(pid: int) -> Sequence[int]:
    """Return the ids of a process and its children, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *itertools.chain.from_iterable(process_tree(int(child)) for child in children)]


def rss_mib(pid: int) -> float:
    """Return the memory that a process has, in MiB."""
    status: dict[str, Any] = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    )
    return int(status["VmRSS"].split()[0]) / 1024
