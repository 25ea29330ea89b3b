"""The contract of `ContentStore`."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.ports import ContentDigest, ContentStore
from tests.contents import (
    KEY,
    MIB,
    OTHER_KEY,
    RANGED,
    StuckChunks,
    broken_after,
    content_of,
    has,
    in_chunks,
    put,
    read,
)


@pytest.fixture(params=["memory", "filesystem", "area", "seaweedfs", "moto", "host"])
def store(request: pytest.FixtureRequest) -> ContentStore:
    """An empty content store of each kind, the one in docs/embedding.md included."""
    store: ContentStore = request.getfixturevalue(f"{request.param}_store")
    return store


async def test_a_stored_content_is_read_back(store: ContentStore) -> None:
    await store.put(KEY, in_chunks(b"one ", b"two ", b"three"))
    assert await read(store) == b"one two three"


async def test_content_can_be_opened_again_and_again(store: ContentStore) -> None:
    await put(store, b"content")
    assert [await read(store) for _ in range(3)] == [b"content"] * 3


async def test_the_digest_has_the_size_and_the_digest(store: ContentStore) -> None:
    digest = await store.put(KEY, in_chunks(b"one ", b"", b"two"))
    assert digest == ContentDigest(7, hashlib.sha256(b"one two").hexdigest())


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
async def test_empty_content_is_content(store: ContentStore, chunks: list[bytes]) -> None:
    assert await store.put(KEY, in_chunks(*chunks)) == ContentDigest(0, hashlib.sha256().hexdigest())
    assert await read(store) == b""


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
async def test_chunks_have_at_most_1_mib_however_they_came_in(store: ContentStore, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    await put(store, content[:size])
    sizes = [len(chunk) async for chunk in (await store.open(KEY)).chunks]
    assert sum(sizes) == size
    assert max(sizes) <= MIB
    assert min(sizes) >= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(chunks=st.lists(st.binary(max_size=2_000), max_size=5))
@example(chunks=[b"x" * MIB, b"", b"y" * 300_000])
async def test_any_content_comes_back_as_it_went_in(store: ContentStore, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert await store.put(KEY, in_chunks(*chunks)) == ContentDigest(len(content), hashlib.sha256(content).hexdigest())
    assert await read(store) == content


async def test_each_key_has_its_own_content(store: ContentStore) -> None:
    await put(store, b"one")
    await put(store, b"two", OTHER_KEY)
    assert await read(store) == b"one"
    assert await read(store, OTHER_KEY) == b"two"


@pytest.mark.parametrize("second", [b"", b"short", b"something that is longer than the first"])
async def test_a_second_put_replaces_the_first(store: ContentStore, second: bytes) -> None:
    await put(store, b"the first content")
    await put(store, second)
    assert await read(store) == second


async def test_nothing_is_visible_before_the_last_chunk(store: ContentStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"chunk"
            assert not await has(store)

    await store.put(KEY, chunks())
    assert await has(store)


async def test_the_old_content_is_read_until_the_new_one_is_whole(store: ContentStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"new"
            assert await read(store) == b"old"

    await put(store, b"old")
    await store.put(KEY, chunks())
    assert await read(store) == b"newnewnew"


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), OSError("the source's own"), TimeoutError(), FileNotFoundError(2, "x")], ids=repr
)
@pytest.mark.parametrize("chunks", [[], [b"half a cont"], [b"x" * MIB, b"y" * MIB]], ids=["at once", "half", "late"])
async def test_chunks_that_fail_leave_nothing_and_their_error_as_it_is(
    store: ContentStore, error: Exception, chunks: list[bytes]
) -> None:
    with pytest.raises(type(error)) as caught:
        await store.put(KEY, broken_after(*chunks, error=error))
    assert caught.value is error
    assert not await has(store)


async def test_chunks_that_fail_leave_the_old_content(store: ContentStore) -> None:
    await put(store, b"old")
    with pytest.raises(RuntimeError):
        await store.put(KEY, broken_after(b"new", error=RuntimeError()))
    assert await read(store) == b"old"


@pytest.mark.parametrize("old", [None, b"old"])
async def test_a_cancelled_put_keeps_the_earlier_content(store: ContentStore, old: bytes | None) -> None:
    if old:
        await put(store, old)
    chunks = StuckChunks()
    running = asyncio.create_task(store.put(KEY, chunks))
    await chunks.is_stuck.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await has(store) == (old is not None)
    if old:
        assert await read(store) == old


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_put_that_is_cancelled_at_any_moment_leaves_all_or_nothing(store: ContentStore, turns: int) -> None:
    await put(store, b"old")
    running = asyncio.create_task(store.put(KEY, in_chunks(*[b"new"] * 5)))
    for _ in range(turns):
        await asyncio.sleep(0.0002)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await read(store) in {b"old", b"new" * 5}


async def test_content_can_be_put_after_a_put_that_failed(store: ContentStore) -> None:
    with pytest.raises(RuntimeError):
        await store.put(KEY, broken_after(b"first", error=RuntimeError()))
    await put(store, b"second")
    assert await read(store) == b"second"


async def test_missing_content_is_not_found(store: ContentStore) -> None:
    await put(store, b"content", OTHER_KEY)
    with pytest.raises(ContentNotFoundError) as caught:
        await store.open(KEY)
    assert caught.value.__cause__ is None


async def test_deleted_content_is_not_found_and_no_other_is_gone(store: ContentStore) -> None:
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.delete(KEY)
    assert not await has(store)
    assert await read(store, OTHER_KEY) == b"other"


async def test_deleting_a_missing_content_is_no_error(store: ContentStore) -> None:
    await store.delete(KEY)
    await put(store, b"content")
    await store.delete(KEY)
    await store.delete(KEY)
    assert not await has(store)


async def test_deleted_content_can_be_put_again(store: ContentStore) -> None:
    await put(store, b"one")
    await store.delete(KEY)
    await put(store, b"two")
    assert await read(store) == b"two"


async def test_many_keys_can_be_put_at_once(store: ContentStore) -> None:
    keys = [ContentKey(f"{number:08x}-5d0e-4a39-9f43-5c8d3f6f2b11") for number in range(50)]
    digests = await asyncio.gather(*(put(store, key.encode(), key) for key in keys))
    assert [digest.sha256 for digest in digests] == [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    assert [await read(store, key) for key in keys] == [key.encode() for key in keys]


async def test_of_many_puts_of_one_key_one_wins_as_a_whole(store: ContentStore) -> None:
    contents = [bytes([number]) * 5_000 for number in range(20)]

    def pieces(content: bytes) -> Iterable[bytes]:
        return (content[start : start + 1_000] for start in range(0, len(content), 1_000))

    await put(store, contents[0])
    is_over = asyncio.Event()
    seen: set[bytes] = set()

    async def watch() -> None:
        while not is_over.is_set():
            seen.add(await read(store))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(store.put(KEY, in_chunks(*pieces(content))) for content in contents))
    is_over.set()
    await watching
    assert await read(store) in contents
    assert seen <= set(contents)


async def test_content_that_is_open_stays_whole_when_it_is_replaced_or_deleted(store: ContentStore) -> None:
    await put(store, b"x" * 600_000)
    opened = [await store.open(KEY) for _ in range(3)]
    first = await anext(opened[0].chunks)
    await put(store, b"new")
    second = b"".join([chunk async for chunk in opened[1].chunks])
    await store.delete(KEY)
    third = b"".join([chunk async for chunk in opened[2].chunks])
    rest = b"".join([chunk async for chunk in opened[0].chunks])
    assert [first + rest, second, third] == [b"x" * 600_000] * 3
    assert {stored.byte_size for stored in opened} == {600_000}


async def test_content_can_be_read_by_many_at_once(store: ContentStore) -> None:
    await put(store, b"x" * 600_000)
    assert await asyncio.gather(*(read(store) for _ in range(20))) == [b"x" * 600_000] * 20


async def test_a_reader_that_stops_early_disturbs_no_other(store: ContentStore) -> None:
    await put(store, b"x" * 600_000)
    stored = await store.open(KEY)
    await anext(stored.chunks)
    await store.delete(KEY)
    del stored
    assert not await has(store)


async def test_a_store_that_works_passes_its_check_and_the_check_leaves_no_trace(store: ContentStore) -> None:
    await put(store, b"content")
    for _ in range(2):
        await store.check()
    assert await read(store) == b"content"


async def test_preparing_again_loses_nothing(store: ContentStore) -> None:
    await put(store, b"content")
    await store.prepare()
    assert await read(store) == b"content"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(start=st.integers(0, len(RANGED) + 10), end=st.none() | st.integers(0, len(RANGED) + 10))
@example(start=0, end=0)
@example(start=0, end=1)
@example(start=len(RANGED) - 1, end=None)
@example(start=len(RANGED), end=None)
@example(start=10, end=5)
@example(start=1, end=256 * 1024 + 1)
@example(start=1, end=256 * 1024 + 2)
async def test_a_range_is_what_slicing_gives(store: ContentStore, start: int, end: int | None) -> None:
    await put(store, RANGED)
    stored = await store.open(KEY, start=start, end=end)
    assert stored.byte_size == len(RANGED)
    assert await content_of(stored) == RANGED[start:end]


async def test_a_range_of_an_empty_content_is_empty(store: ContentStore) -> None:
    await put(store, b"")
    for start, end in ((0, None), (0, 1), (1, 2), (5, None)):
        stored = await store.open(KEY, start=start, end=end)
        assert (stored.byte_size, await content_of(stored)) == (0, b"")


async def test_a_file_that_is_offered_holds_the_content_and_lives_as_long_as_it_is_held(store: ContentStore) -> None:
    await put(store, b"content")
    stored = await store.open(KEY, start=3, end=4)
    assert await content_of(stored) == b"t"
    file = stored.file
    del stored
    if file is not None:
        assert os.pread(file.fileno(), 100, 0) == b"content"


async def test_a_store_that_is_closed_can_be_closed_again(store: ContentStore) -> None:
    await put(store, b"content")
    await store.close()
    await store.close()
