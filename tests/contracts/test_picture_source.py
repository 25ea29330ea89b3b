"""The contract of `PictureSource`."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from pixyproxy.adapters.http.picture_source import HTTPPictureSource
from pixyproxy.adapters.memory.picture_source import InMemoryPictureSource
from pixyproxy.domain.errors import PictureUnavailableError
from pixyproxy.domain.ports import PictureSource
from tests.contents import MIB
from tests.doubles.picture_server import PictureServer, Served

CONTENTS = {"/empty.png": b"", "/short.png": b"one two", "/long.png": bytes(range(256)) * (12 << 10)}

URLOf = Callable[[str], str]


@pytest.fixture
async def server() -> AsyncIterator[PictureServer]:
    async with PictureServer({path: Served(content) for path, content in CONTENTS.items()}) as server:
        yield server


@pytest.fixture(params=["memory", "http"])
def source(request: pytest.FixtureRequest, server: PictureServer) -> PictureSource:
    """A source that has the contents, and nothing else."""
    if request.param == "http":
        return HTTPPictureSource([server.origin()])
    return InMemoryPictureSource({f"{server.origin()}{path}": content for path, content in CONTENTS.items()})


@pytest.fixture
def url_of(server: PictureServer) -> URLOf:
    return lambda path: f"{server.origin()}{path}"


async def fetched(source: PictureSource, url: str) -> bytes:
    async with source.open(url) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("path", CONTENTS)
async def test_the_bytes_at_a_url_are_fetched(source: PictureSource, url_of: URLOf, path: str) -> None:
    assert await fetched(source, url_of(path)) == CONTENTS[path]


async def test_many_bytes_come_in_chunks(source: PictureSource, url_of: URLOf) -> None:
    async with source.open(url_of("/long.png")) as chunks:
        sizes = [len(chunk) async for chunk in chunks]
    assert len(sizes) > 1
    assert max(sizes) <= MIB


async def test_a_picture_is_fetched_as_often_as_it_is_asked_for_and_by_many_at_once(
    source: PictureSource, url_of: URLOf
) -> None:
    contents = await asyncio.gather(*[fetched(source, url_of("/short.png")) for _ in range(5)])
    assert contents == [CONTENTS["/short.png"]] * 5


async def test_a_transfer_may_be_left_at_any_time(source: PictureSource, url_of: URLOf) -> None:
    async with source.open(url_of("/long.png")):
        pass
    async with source.open(url_of("/long.png")) as chunks:
        assert await anext(chunks)
    assert await fetched(source, url_of("/long.png")) == CONTENTS["/long.png"]


@pytest.mark.parametrize(
    "error", [RuntimeError("own"), ValueError("own"), OSError("own"), TimeoutError("own")], ids=repr
)
async def test_an_error_of_the_reader_stays_as_it_is(source: PictureSource, url_of: URLOf, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:  # noqa: PT012 -- the reader is in the context
        async with source.open(url_of("/long.png")) as chunks:
            await anext(chunks)
            raise error
    assert caught.value is error


async def test_a_url_with_nothing_is_not_available(source: PictureSource, url_of: URLOf) -> None:
    with pytest.raises(PictureUnavailableError, match=r"^[A-Z].*\.$"):
        await fetched(source, url_of("/missing.png"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "/short.png",
        "//127.0.0.1/short.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1/short.png",
        "gopher://127.0.0.1/_GET",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://",
        "http://[::1",
        "http://127.0.0.1:x/",
        "http://a\r\nb/",
        "http://\ud800/",
        "x" * 90_000,
    ],
    ids=lambda url: ascii(url[:40]),
)
async def test_what_is_no_url_of_the_web_is_not_available(source: PictureSource, url: str) -> None:
    with pytest.raises(PictureUnavailableError):
        await fetched(source, url)
