"""The contract of `UploadStore`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import ContentPorts, StoredContent
from tests.contents import (
    KEY,
    MIB,
    OTHER_KEY,
    StuckChunks,
    broken_after,
    content_of,
    digest_of,
    has,
    in_chunks,
    keys_in,
    put,
    read,
)

NOW = timedelta(seconds=-1)


class Accepting:
    """Accepts bytes for a key, and remembers them."""

    def __init__(self, key: ContentKey = KEY) -> None:
        self.key = key
        self.received: list[StoredContent] = []
        self.contents: list[bytes] = []

    async def __call__(self, received: StoredContent) -> ContentKey:
        self.received.append(received)
        self.contents.append(await content_of(received))
        return self.key


async def leftovers(store: ContentPorts) -> Sequence[str]:
    return list(await store.list_orphans(older_than=NOW))


@pytest.mark.parametrize("content", [b"", b"one two", b"x" * (3 * MIB + 5)], ids=["empty", "short", "long"])
async def test_received_bytes_are_stored_under_the_key_of_the_one_who_accepts_them(
    store: ContentPorts, content: bytes
) -> None:
    accepting = Accepting()
    assert await store.receive(in_chunks(content[:4], content[4:]), accepting) == digest_of(content)
    assert accepting.contents == [content]
    (received,) = accepting.received
    assert received.byte_size == len(content)
    assert received.sha256 == digest_of(content).sha256
    assert await read(store) == content
    assert await leftovers(store) == []


async def test_the_whole_is_handed_over_once_and_is_not_visible_before(store: ContentPorts) -> None:
    async def accept(received: StoredContent) -> ContentKey:
        assert await keys_in(store) == []
        assert await content_of(received) == b"one two"
        return KEY

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        assert await keys_in(store) == []
        yield b"two"

    await store.receive(chunks(), accept)
    assert await keys_in(store) == [KEY]


async def test_the_bytes_need_not_be_read_to_be_accepted(store: ContentPorts) -> None:
    async def accept(received: StoredContent) -> ContentKey:
        assert received.sha256 == digest_of(b"content").sha256
        return KEY

    await store.receive(in_chunks(b"content"), accept)
    assert await read(store) == b"content"


async def test_received_bytes_replace_earlier_ones(store: ContentPorts) -> None:
    await put(store, b"old")
    await put(store, b"other", OTHER_KEY)

    async def accept(received: StoredContent) -> ContentKey:
        assert await read(store) == b"old"
        assert await content_of(received) == b"new"
        return KEY

    await store.receive(in_chunks(b"new"), accept)
    assert await read(store) == b"new"
    assert await read(store, OTHER_KEY) == b"other"


async def test_bytes_that_are_not_accepted_leave_nothing(store: ContentPorts) -> None:
    async def refuse(received: StoredContent) -> ContentKey:
        assert received.byte_size == 7
        raise DamagedContentError("no picture")

    with pytest.raises(DamagedContentError, match="no picture"):
        await store.receive(in_chunks(b"content"), refuse)
    assert await keys_in(store) == []
    assert await leftovers(store) == []


@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError("the source's own")], ids=repr)
async def test_chunks_that_fail_leave_nothing_and_their_error_as_it_is(store: ContentPorts, error: Exception) -> None:
    accepting = Accepting()
    with pytest.raises(type(error)) as caught:
        await store.receive(broken_after(b"half a cont", error=error), accepting)
    assert caught.value is error
    assert accepting.received == []
    assert await keys_in(store) == []
    assert await leftovers(store) == []


async def test_a_cancellation_leaves_nothing(store: ContentPorts) -> None:
    chunks = StuckChunks()
    receiving = asyncio.create_task(store.receive(chunks.__aiter__(), Accepting()))
    await chunks.is_stuck.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert not await has(store)
    assert await leftovers(store) == []


async def test_many_are_received_at_once(store: ContentPorts) -> None:
    keys = [ContentKey(f"{number:04x}-key") for number in range(20)]
    await asyncio.gather(*[store.receive(in_chunks(key.encode()), Accepting(key)) for key in keys])
    assert [await read(store, key) for key in keys] == [key.encode() for key in keys]
    await asyncio.gather(*[store.receive(in_chunks(b"same"), Accepting()) for _ in range(20)])
    assert await read(store) == b"same"
    assert await leftovers(store) == []
