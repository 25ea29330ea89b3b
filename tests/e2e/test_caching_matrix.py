"""How caches handle pictures: a real nginx with the documented configuration, and one that caches carelessly.

The careless one is also in front of services whose content is on S3, one for each way of delivery.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest

from pixyproxy.domain.image import Image, Visibility
from tests.doubles.library import Painting, content_path, fill, paint, png
from tests.doubles.nginx import Nginx, documented, for_s3
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS
from tests.doubles.service import Service, free_port, running_service

PAGE: Final = Path(__file__).parents[2] / "docs" / "caching.md"

# Long enough for concurrent answers to be still fresh on a busy machine.
MAX_AGE: Final = 4

LOGINS: Final = {"anonymous": None, "author": ("ann", "ann's password"), "another user": ("ben", "ben's password")}
ROUTES: Final = ("public", "private", "link")
DOCUMENTED, CARELESS = "documented", "careless"

# How the service sends content: files by itself, or objects of S3 in one of three ways.
FILES: Final = "files"
S3: Final[Mapping[str, Mapping[str, str]]] = {
    "proxy": {},
    "x-accel": {"PIXYPROXY_CONTENT_DELIVERY": "x-accel:/s3/"},
    # The most that an operator can allow.
    "redirect": {"PIXYPROXY_CONTENT_DELIVERY": "redirect", "PIXYPROXY_REDIRECT_PRIVATE": "true"},
}

# Caches every cacheable answer for all users, by its address alone.
CARELESS_SERVER: Final = """
server {
    listen 127.0.0.1:%d;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    location / {
        proxy_pass http://%s;
        proxy_cache careless;
        proxy_cache_key $http_host$request_uri;
        proxy_cache_revalidate on;
        add_header X-Cache-Status $upstream_cache_status always;
    }
}
proxy_cache_path {folder}/careless keys_zone=careless:1m;
"""


class World(msgspec.Struct, frozen=True):
    """A service that runs, and the addresses of the caches in front of it."""

    folder: Path
    service: Service
    caches: Mapping[str, str]


class State(msgspec.Struct, frozen=True):
    """An image's first state, its change after the first request, and the client that asks then."""

    name: str
    visibility: Visibility = Visibility.PUBLIC
    before: Callable[[World, Image], None] | None = None
    change: Callable[[World, Image], None] | None = None
    is_known: bool = True


class Cell(msgspec.Struct, frozen=True):
    """One combination of an image and its first client."""

    delivery: str
    cache: str
    state: str
    route: str
    who: str


class Answer(msgspec.Struct, frozen=True):
    """The answer to a client through a cache, and the service's own answer, if the cache asked it.

    If the client was redirected, `did` is what the cache did with the redirect, and all else is the store's answer.
    """

    who: str
    status: int
    cache_control: str | None
    vary: str | None
    etag: str | None
    is_picture: bool
    did: str | None
    origin: int | None

    @property
    def summary(self) -> str:
        """It in a few words, as in the documentation."""
        return f"{self.status}{f' {self.did}' if self.did else ''} ({self.origin or 'not asked'})"


class Answers(msgspec.Struct, frozen=True):
    """The answers to the first client, and to it and others right after the change and after the max-age."""

    first: Answer
    again: Answer
    others: Sequence[Answer]
    later: Answer
    others_later: Sequence[Answer]

    @property
    def all(self) -> Sequence[Answer]:
        """All of them."""
        return [self.first, self.again, *self.others, self.later, *self.others_later]


Matrix = Mapping[Cell, Answers]


def make_private(world: World, image: Image) -> None:
    change_as_author(world, "PATCH", image, {"visibility": "private"})


def delete(world: World, image: Image) -> None:
    change_as_author(world, "DELETE", image)


def change_as_author(world: World, method: str, image: Image, body: object = None) -> None:
    url = f"{world.service.url}/private/image/{image.guid}"
    httpx.request(method, url, json=body, auth=LOGINS["author"]).raise_for_status()


def lose(world: World, image: Image) -> None:
    path = content_path(world.folder, image)
    path.rename(path.with_suffix(".lost"))


def find_again(world: World, image: Image) -> None:
    path = content_path(world.folder, image)
    path.with_suffix(".lost").rename(path)


STATES: Final = (
    State("public"),
    State("private", Visibility.PRIVATE),
    State("public, then private", change=make_private),
    State("public, then deleted", change=delete),
    State("private, then deleted", Visibility.PRIVATE, change=delete),
    State("public; its file is lost, then found", before=lose, change=find_again),
    State("private; its file is lost, then found", Visibility.PRIVATE, before=lose, change=find_again),
    State("unknown", is_known=False),
)
DATA: Final = png("one picture", width=400, height=300)
CELLS: Final = [
    Cell(delivery, cache, state.name, route, who)
    for delivery, cache, state, route, who in itertools.product(
        (FILES, *S3), (DOCUMENTED, CARELESS), STATES, ROUTES, LOGINS
    )
    # An image that never existed has no link.
    if (state.is_known or route != "link")
    and (
        delivery == FILES
        or (cache == CARELESS and state.name in {"private", "public, then private", "public, then deleted"})
    )
]


def filled(folder: Path, paintings: Iterable[Painting], *, content_url: str | None = None) -> Path:
    """Return the folder with users and images for services that work in it."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        fill(folder, paintings, dict(login for login in LOGINS.values() if login), content_url=content_url)
    return folder


@contextmanager
def running_world(
    folder: Path, *, delivery: str = FILES, s3: SeaweedFS | None = None, content_url: str = ""
) -> Iterator[World]:
    settings = {
        "PIXYPROXY_PUBLIC_MAX_AGE": str(MAX_AGE),
        "PIXYPROXY_LOG_FORMAT": "json",
        "PIXYPROXY_CONTENT_URL": content_url,
        **CREDENTIALS,
        **S3.get(delivery, {}),
    }
    careless = free_port()
    with running_service(folder, settings) as service:
        if s3 is not None and delivery == "x-accel":
            behind, configuration = "{port}", for_s3(service.port, s3.port)
        else:
            behind = f"127.0.0.1:{service.port}"
            configuration = documented(
                "caching.conf",
                {
                    "listen 80;": "listen {port};",
                    "127.0.0.1:8000": behind,
                    "/var/cache/pixyproxy": "{folder}/cache",
                    "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
                },
            )
        with Nginx(configuration + CARELESS_SERVER % (careless, behind)) as nginx:
            yield World(folder, service, {DOCUMENTED: nginx.url, CARELESS: f"http://127.0.0.1:{careless}"})


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, _seaweedfs: SeaweedFS) -> Matrix:
    """All that was answered, each cell with an image of its own."""
    states = {state.name: state for state in STATES}
    paintings = {cell: paint("ann", states[cell.state].visibility, data=png(cell)) for cell in CELLS}
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(follow_redirects=True))
        folder = filled(tmp_path_factory.mktemp("files"), known_in(paintings, [FILES]))
        worlds = {FILES: stack.enter_context(running_world(folder))}
        url = _seaweedfs.url(public_endpoint=f"http://localhost:{_seaweedfs.port}")
        folder = filled(tmp_path_factory.mktemp("s3"), known_in(paintings, S3), content_url=url)
        for delivery in S3:
            worlds[delivery] = stack.enter_context(
                running_world(folder, delivery=delivery, s3=_seaweedfs, content_url=url)
            )
        asked = {
            cell: Asking(worlds[cell.delivery], client, cell, states[cell.state], paintings[cell]) for cell in CELLS
        }
        for asking in asked.values():
            asking.ask_at_once()
        time.sleep(MAX_AGE + 1.1)
        for asking in asked.values():
            asking.ask_later()
        origin: dict[str, int] = {}
        for world in worlds.values():
            world.service.stop()
            origin |= statuses_by_request(world.service.output)
    return {cell: asking.answers(origin) for cell, asking in asked.items()}


def known_in(paintings: Mapping[Cell, Painting], deliveries: Collection[str]) -> list[Painting]:
    known = {state.name for state in STATES if state.is_known}
    return [each for cell, each in paintings.items() if cell.delivery in deliveries and cell.state in known]


class Asking:
    """The requests of one cell."""

    def __init__(self, world: World, client: httpx.Client, cell: Cell, state: State, painting: Painting) -> None:
        self._world = world
        self._client = client
        self._cell = cell
        self._state = state
        self._image, self._data = painting
        self._answers: list[tuple[str, Answer]] = []
        self._path = ""

    def ask_at_once(self) -> None:
        self._path = self._find_path()
        if self._state.before:
            self._state.before(self._world, self._image)
        self._ask(self._cell.who)
        if self._state.change:
            self._state.change(self._world, self._image)
        self._ask_all()

    def ask_later(self) -> None:
        self._ask_all()

    def answers(self, origin: Mapping[str, int]) -> Answers:
        """Return the answers, with the service's own answers by request id."""
        first, again, *others = (
            msgspec.structs.replace(answer, origin=origin.get(request_id)) for request_id, answer in self._answers
        )
        count = len(LOGINS) - 1
        return Answers(first, again, others[:count], others[count], others[count + 1 :])

    def _find_path(self) -> str:
        path = f"/image/{self._image.guid}/content"
        if self._cell.route == "public":
            return path
        if self._cell.route == "private":
            return f"/private{path}"
        url = f"{self._world.service.url}/private/image/{self._image.guid}/link"
        link = httpx.post(url, json={}, auth=LOGINS["author"]).raise_for_status().json()["url"]
        return httpx.URL(link).raw_path.decode()

    def _ask_all(self) -> None:
        """Let the first client ask again, and then the others."""
        self._ask(self._cell.who)
        for who in LOGINS:
            if who != self._cell.who:
                self._ask(who)

    def _ask(self, who: str) -> None:
        # The service logs the id that it is sent, so that each of its answers can be told from the others.
        request_id = f"request-{id(self)}-{len(self._answers)}"
        answer = self._client.get(
            self._world.caches[self._cell.cache] + self._path,
            auth=LOGINS[who],
            headers={"X-Request-ID": request_id},
        )
        self._answers.append((request_id, answer_to(who, answer, self._data)))


def answer_to(who: str, answer: httpx.Response, data: bytes) -> Answer:
    headers = answer.headers
    return Answer(
        who=who,
        status=answer.status_code,
        cache_control=headers.get("Cache-Control"),
        vary=headers.get("Vary"),
        etag=headers.get("ETag"),
        is_picture=answer.content == data,
        did=[*answer.history, answer][0].headers.get("X-Cache-Status"),
        origin=None,
    )


def statuses_by_request(output: str) -> Mapping[str, int]:
    """Return the status of each answer that the service has logged, by the id of its request."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line["request_id"]: line["status"] for line in lines if line["event"] == "request finished"}


def cells(
    *,
    delivery: str | None = None,
    cache: str | None = None,
    states: Collection[str] = (),
    routes: Collection[str] = ROUTES,
) -> list[Cell]:
    return [
        cell
        for cell in CELLS
        if cell.delivery == (delivery or cell.delivery)
        and cell.cache == (cache or cell.cache)
        and (not states or cell.state in states)
        and cell.route in routes
    ]


def by_name(cell: Cell) -> str:
    return "-".join(msgspec.structs.astuple(cell))


@pytest.mark.parametrize(
    "cell", cells(states=("private", "private, then deleted"), routes=["public", "private"]), ids=by_name
)
def test_a_private_picture_is_for_its_author_alone(matrix: Matrix, cell: Cell) -> None:
    for answer in matrix[cell].all:
        if answer.who != "author" or cell.route == "public":
            assert not answer.is_picture
            assert answer.status in {401, 404}
    is_shown = cell.route == "private" and cell.who == "author"
    assert matrix[cell].first.is_picture == is_shown


@pytest.mark.parametrize("cell", cells(routes=["private", "link"]), ids=by_name)
def test_private_answers_are_not_cached(matrix: Matrix, cell: Cell) -> None:
    for answer in matrix[cell].all:
        is_redirect = cell.delivery == "redirect" and answer.is_picture
        assert answer.origin == (307 if is_redirect else answer.status)
        assert answer.did in {None, "MISS"}


@pytest.mark.parametrize("cell", cells(states=["public"], routes=["public"]), ids=by_name)
def test_a_public_picture_costs_one_request_and_later_one_304(matrix: Matrix, cell: Cell) -> None:
    answers = matrix[cell]
    assert all(answer.is_picture and answer.status == 200 for answer in answers.all)
    assert [answer.origin for answer in answers.all] == [200, None, None, None, 304, None, None]
    assert [answer.did for answer in answers.all] == ["MISS", "HIT", "HIT", "HIT", "REVALIDATED", "HIT", "HIT"]


@pytest.mark.parametrize("cell", cells(states=["public, then private", "public, then deleted"]), ids=by_name)
def test_a_once_public_answer_is_gone_after_its_max_age(matrix: Matrix, cell: Cell) -> None:
    answers = matrix[cell]
    later = [answers.later, *answers.others_later]
    if cell.route == "public":
        assert answers.first.is_picture
        assert [(answer.status, answer.is_picture, answer.origin) for answer in later] == [(404, False, 404)] * 3
    elif cell.state.endswith("deleted"):
        assert not any(answer.is_picture for answer in [answers.again, *answers.others, *later])
    elif cell.route == "private":
        assert {answer.who for answer in answers.all if answer.is_picture} == {"author"}


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_earlier_requests_of_others_make_no_difference(matrix: Matrix, cell: Cell) -> None:
    answers = matrix[cell]
    for other, later in zip(answers.others, answers.others_later, strict=True):
        as_first = matrix[msgspec.structs.replace(cell, who=other.who)]
        assert (other.status, other.is_picture) == (as_first.again.status, as_first.again.is_picture)
        assert (later.status, later.is_picture) == (as_first.later.status, as_first.later.is_picture)


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_errors_are_not_cached(matrix: Matrix, cell: Cell) -> None:
    for answer in matrix[cell].all:
        if answer.status >= 400:
            assert answer.origin == answer.status
            assert (answer.cache_control, answer.etag) == ("no-store", None)


@pytest.mark.parametrize("cell", cells(states=["public; its file is lost, then found"], routes=["public"]), ids=by_name)
def test_a_picture_is_there_again_at_once(matrix: Matrix, cell: Cell) -> None:
    assert matrix[cell].first.status == 503
    assert matrix[cell].again.is_picture


def test_the_documentation_shows_what_was_answered(matrix: Matrix) -> None:
    answered = "\n\n".join([headers_table(matrix), answers_table(matrix)])
    page = PAGE.read_text(encoding="utf-8")
    assert answered in page, f"docs/caching.md should have these tables:\n\n{answered}"


def headers_table(matrix: Matrix) -> str:
    """Return a table of the answers' headers, which depend only on the route and the status."""
    said: dict[tuple[str, int], set[str]] = {}
    for cell in cells(delivery=FILES):
        for answer in matrix[cell].all:
            headers = [code(answer.cache_control), code(answer.vary), "yes" if answer.etag else ""]
            said.setdefault((cell.route, answer.status), set()).add(" | ".join(headers))
    lines = ["| route | status | `Cache-Control` | `Vary` | `ETag` |", "| --- | --- | --- | --- | --- |"]
    for route, status in sorted(said, key=lambda key: (ROUTES.index(key[0]), key[1])):
        (same,) = said[route, status]
        lines.append(f"| {route} | {status} | {same} |")
    return "\n".join(lines)


def answers_table(matrix: Matrix) -> str:
    """Return a table of the answers through the documented cache; clients with equal answers share a line."""
    lines = [
        "| image | route | who asks | first | again at once | after the max-age |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells(delivery=FILES, cache=DOCUMENTED):
        found = matrix[cell]
        summaries = " | ".join([found.first.summary, found.again.summary, found.later.summary])
        rows.setdefault((cell.state, cell.route, summaries), []).append(cell.who)
    for (state, route, summaries), who in rows.items():
        names = "anyone" if len(who) == len(LOGINS) else ", ".join(who)
        lines.append(f"| {state} | {route} | {names} | {summaries} |")
    return "\n".join(lines)


def code(text: str | None) -> str:
    return f"`{text}`" if text else ""


@pytest.fixture(scope="module")
def paintings() -> list[Painting]:
    return [paint("ann", data=DATA) for _ in range(8)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, paintings: list[Painting]) -> Iterator[World]:
    with running_world(filled(tmp_path_factory.mktemp("pictures"), paintings)) as world:
        yield world


@pytest.fixture
def url(world: World, paintings: list[Painting]) -> str:
    """The address of a new picture, through the documented cache."""
    image, _ = paintings.pop()
    return f"{world.caches[DOCUMENTED]}/image/{image.guid}/content"


def test_a_head_is_answered_from_the_cache(url: str) -> None:
    first, got, again = httpx.head(url), httpx.get(url), httpx.head(url)

    assert [answer.headers["X-Cache-Status"] for answer in (first, got, again)] == ["MISS", "HIT", "HIT"]
    assert [answer.content for answer in (first, got, again)] == [b"", DATA, b""]
    for name in ("ETag", "Cache-Control", "Content-Length", "Content-Type", "Repr-Digest", "Last-Modified"):
        assert first.headers[name] == got.headers[name] == again.headers[name]


def test_a_range_is_answered_from_the_cache(url: str) -> None:
    first = httpx.get(url, headers={"Range": "bytes=10-99"})
    again = httpx.get(url, headers={"Range": "bytes=-50"})
    whole = httpx.get(url)

    assert [answer.status_code for answer in (first, again, whole)] == [206, 206, 200]
    assert [answer.headers["X-Cache-Status"] for answer in (first, again, whole)] == ["MISS", "HIT", "HIT"]
    assert [first.content, again.content, whole.content] == [DATA[10:100], DATA[-50:], DATA]


def test_a_part_of_another_version_is_the_whole(url: str) -> None:
    etag = httpx.get(url).headers["ETag"]

    same = httpx.get(url, headers={"Range": "bytes=10-99", "If-Range": etag})
    other = httpx.get(url, headers={"Range": "bytes=10-99", "If-Range": '"another"'})

    assert [same.status_code, other.status_code] == [206, 200]
    assert other.content == DATA


def test_an_unsatisfiable_range_is_not_cached(url: str) -> None:
    assert httpx.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert httpx.get(url).content == DATA


def test_a_browser_that_has_it_gets_a_304_from_the_cache(url: str) -> None:
    etag = httpx.get(url).headers["ETag"]

    answer = httpx.get(url, headers={"If-None-Match": etag})

    assert (answer.status_code, answer.headers["X-Cache-Status"]) == (304, "HIT")


def test_concurrent_requests_cost_one_request_to_the_service(url: str) -> None:
    together = threading.Barrier(16)
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(16) as threads:

        def ask(_: int) -> httpx.Response:
            together.wait(30)
            # It takes a while to make.
            return client.get(f"{url}?format=avif&quality=90")

        answers = list(threads.map(ask, range(16)))

    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted(answer.headers["X-Cache-Status"] for answer in answers) == ["HIT"] * 15 + ["MISS"]


def test_a_variant_is_cached_for_clients_with_the_same_accept_header(url: str) -> None:
    kept = []
    for accept in ("image/avif,image/webp", "image/webp", "image/avif,image/webp", "image/webp", "image/png"):
        answer = httpx.get(f"{url}?width=64&format=auto", headers={"Accept": accept})
        assert answer.headers["Vary"] == "Accept"
        kept.append((answer.headers["Content-Type"], answer.headers["X-Cache-Status"]))

    assert kept == [
        ("image/avif", "MISS"),
        ("image/webp", "MISS"),
        ("image/avif", "HIT"),
        ("image/webp", "HIT"),
        ("image/png", "MISS"),
    ]


def test_a_variant_in_one_format_is_the_same_for_all_clients(url: str) -> None:
    answers = [httpx.get(f"{url}?width=64&format=webp", headers={"Accept": accept}) for accept in ("image/avif", "*/*")]

    assert [answer.headers["X-Cache-Status"] for answer in answers] == ["MISS", "HIT"]
    assert "Vary" not in answers[0].headers
