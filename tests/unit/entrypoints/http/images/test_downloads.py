"""Downloading many images as a zip over HTTP."""

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import pytest
from dependency_injector import providers
from httpx import USE_CLIENT_DEFAULT, Response
from litestar.types import Message

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.application.pack_images import ImagePack
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.content.zip_response import ZipResponse
from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login
from tests.unit.entrypoints.http.problem_bodies import problem

PATH = "/private/image/bulk/content"


def create(client: Client, auth: Login = ANN, **fields: Any) -> dict[str, Any]:
    created: dict[str, Any] = client.post("/private/image", json={"prompt": "a red fox", **fields}, auth=auth).json()
    return created


def download(client: Client, *guids: str, auth: Login | None = ANN) -> Response:
    return client.post(PATH, json={"guids": guids}, auth=auth or USE_CLIENT_DEFAULT)


def files_of(response: Response) -> dict[str, bytes]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Length"] == str(len(response.content))
    with ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_has_the_bytes_of_each_image(client: Client) -> None:
    images = [create(client), create(client, auth=BOB, visibility="public"), create(client, prompt="snow")]
    guids = [image["guid"] for image in images]

    response = download(client, *guids)

    assert list(files_of(response).items()) == [
        (image["filename"], client.get(f"/private/image/{image['guid']}/content", auth=auth).content)
        for image, auth in zip(images, (ANN, BOB, ANN), strict=True)
    ]
    assert response.headers["Content-Type"] == "application/zip"
    assert (
        response.headers["Content-Disposition"] == f'attachment; filename="pixyproxy-{datetime.now(UTC):%Y-%m-%d}.zip"'
    )
    assert response.headers["Cache-Control"] == "no-store"


def test_an_image_of_others_is_named_like_an_unknown_one(client: Client) -> None:
    mine, foreign, unknown = create(client), create(client, auth=BOB)["guid"], str(uuid4())

    files = files_of(download(client, foreign, mine["guid"], unknown))

    assert list(files) == [mine["filename"], "missing.txt"]
    assert files["missing.txt"].decode().splitlines() == [
        f"{foreign}: There is no such image.",
        f"{unknown}: There is no such image.",
    ]
    problem(download(client, foreign), 404)
    problem(download(client, unknown), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"guids": []}, "guids"),
        ({"guids": [str(uuid4())] * 2}, "guids"),
        ({"guids": [str(uuid4()) for _ in range(1001)]}, "guids"),
        ({"guids": ["1"]}, "guids[0]"),
        ({}, "guids"),
        ({"guids": [str(uuid4())], "format": "tar"}, "format"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(client: Client, body: Any, field: str) -> None:
    problem(client.post(PATH, json=body, auth=ANN), 400, field)


def test_it_needs_a_login_and_json(client: Client) -> None:
    guid = create(client, visibility="public")["guid"]
    problem(download(client, guid, auth=None), 401)
    problem(download(client, guid, auth=("ann", "wrong password")), 401)
    problem(client.post(PATH, content=b"a", auth=ANN), 415)
    problem(client.get(PATH, auth=ANN), 405)
    assert client.head(PATH, auth=ANN).status_code == 405
    assert client.options(PATH, auth=ANN).headers["Allow"] == "OPTIONS, POST"


class FailingContentStore(InMemoryContentStore):
    """Fails to open content after `left` times."""

    left = 1_000

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        if self.left == 0:
            raise ContentStoreError("The disk is gone.")
        self.left -= 1
        return await super().open(key, start=start, end=end)


class TestFailingContentStore:
    @pytest.fixture
    def contents(self, container: Container) -> FailingContentStore:
        contents = FailingContentStore()
        container.contents.override(providers.Object(contents))
        return contents

    @pytest.fixture
    def client(self, settings: Settings, container: Container, contents: FailingContentStore) -> Iterator[Client]:
        with Client(create_app(settings, container), raise_server_exceptions=False) as client:
            yield client

    def test_a_failure_before_the_first_byte_is_a_problem(self, client: Client, contents: FailingContentStore) -> None:
        guid = create(client)["guid"]
        contents.left = 0
        problem(download(client, guid), 503)

    def test_a_failure_after_it_breaks_the_zip_off_and_is_logged(
        self, client: Client, contents: FailingContentStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        guids = [create(client)["guid"] for _ in range(2)]
        # Both are looked up, and one is read.
        contents.left = 3
        response = download(client, *guids)
        assert len(response.content) < int(response.headers["Content-Length"])
        (record,) = [each for each in caplog.records if each.message == "content broken off"]
        assert vars(record)["detail"] == f"Image {guids[1]}: The disk is gone."
        assert vars(record)["request_id"] == response.headers["X-Request-ID"]


class Zip:
    """A zip of endless chunks, which notes how many were read and whether it was closed."""

    def __init__(self) -> None:
        self.read = 0
        self.is_closed = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                self.read += 1
                yield b"x"
                await asyncio.sleep(0)
        finally:
            self.is_closed = True

    async def answer(self, receive: Any, send: Any, *, send_timeout: float = 60.0) -> None:
        pack = ImagePack(filename="images.zip", byte_size=1 << 40, chunks=self.chunks())
        scope: Any = {"type": "http", "state": {"request_id": "abc"}}
        await ZipResponse(pack, send_timeout)(scope, receive, send)


async def test_nothing_more_is_read_for_a_client_that_has_left() -> None:
    zipped, left = Zip(), asyncio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        # As servers do, it takes what it is given when the client is gone.
        if zipped.read == 3:
            left.set()

    async with asyncio.timeout(10):
        await zipped.answer(receive, send)
    assert zipped.is_closed
    assert zipped.read < 10


async def test_a_client_that_does_not_read_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    zipped = Zip()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING):
        await zipped.answer(receive, send, send_timeout=0.01)
    assert zipped.is_closed
    assert zipped.read == 1
    assert [(each.message, vars(each)["request_id"]) for each in caplog.records] == [("content broken off", "abc")]
