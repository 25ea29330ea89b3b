"""Pictures as base64 in a body."""

import os
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import StoredContent, chunks_of
from pixyproxy.entrypoints.http.openai.body import Body, base64_of
from tests.streams import pieces


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 191, 192, 3 * 65_536, 3 * 65_536 + 1, 1_000_000])
@pytest.mark.parametrize("chunk", [1_000, 65_536, 262_144])
async def test_chunks_of_any_size_become_the_base64_of_the_whole(size: int, chunk: int) -> None:
    data = os.urandom(size)

    assert await joined(base64_of(StoredContent(size, pieces(data, chunk)))) == b64encode(data)


async def test_chunks_of_one_byte_become_the_base64_of_the_whole() -> None:
    data = os.urandom(100)

    assert await joined(base64_of(StoredContent(len(data), pieces(data, 1)))) == b64encode(data)


@pytest.mark.parametrize("told", [99, 101])
async def test_a_content_of_another_size_is_an_error(told: int) -> None:
    with pytest.raises(ContentStoreError):
        await joined(base64_of(StoredContent(told, chunks_of(bytes(100)))))


async def test_a_body_knows_its_size_and_yields_small_parts_together() -> None:
    parts: list[bytes | StoredContent] = [
        b"a",
        StoredContent(4, chunks_of(b"1234")),
        b"b",
        StoredContent(3, chunks_of(b"567")),
        b"c",
    ]
    body = Body(parts)

    assert body.byte_size == len(b"aMTIzNA==bNTY3c")
    assert [chunk async for chunk in body.chunks()] == [b"aMTIzNA==bNTY3c"]


async def test_a_body_is_yielded_in_small_chunks() -> None:
    size = 5_000_000
    body = Body([b"[", StoredContent(size, chunks_of(os.urandom(size))), b"]"])

    sizes = [len(chunk) async for chunk in body.chunks()]

    assert sum(sizes) == body.byte_size
    assert max(sizes) <= 512 * 1024
