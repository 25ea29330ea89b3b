"""What every content store keeps to."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import ContentDigest, ContentPorts, StoredContent
from pixyproxy.domain.variant import VariantName

KEY = ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
OTHER_KEY = ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b12")
NAME = VariantName("0123456789abcdef-320x-contain-80.webp")
OTHER_NAME = VariantName("0123456789abcdef-320x-contain-80.avif")
MIB = 1 << 20


@pytest.fixture(params=["memory", "filesystem"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentPorts:
    is_memory = request.param == "memory"
    store: ContentPorts = InMemoryContentStore() if is_memory else FilesystemContentStore(tmp_path / "images")
    await store.prepare()
    return store


async def in_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def broken_after(*chunks: bytes, error: BaseException) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise error


class StuckChunks:
    """Yields one chunk and then never another; `is_stuck` tells when."""

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"half a cont"
        self.is_stuck.set()
        await asyncio.Event().wait()


async def put(store: ContentPorts, content: bytes, key: ContentKey = KEY) -> ContentDigest:
    return await store.put(key, in_chunks(content))


async def read(store: ContentPorts, key: ContentKey = KEY) -> bytes:
    """Return the whole content, having checked that its size is the one announced."""
    stored = await store.open(key)
    content = b"".join([chunk async for chunk in stored.chunks])
    assert len(content) == stored.byte_size
    return content


async def has(store: ContentPorts, key: ContentKey = KEY) -> bool:
    try:
        await read(store, key)
    except ContentNotFoundError:
        return False
    return True


async def keys_in(store: ContentPorts) -> Sequence[ContentKey]:
    keys = store.keys()
    return [key async for key in keys]


async def content_of(stored: StoredContent) -> bytes:
    return b"".join([chunk async for chunk in stored.chunks])


async def put_variant(
    store: ContentPorts, content: bytes, name: VariantName = NAME, key: ContentKey = KEY
) -> ContentDigest:
    return await store.put_variant(key, name, in_chunks(content))


async def variant(store: ContentPorts, name: VariantName = NAME, key: ContentKey = KEY) -> bytes | None:
    """Return the whole variant, or None, having checked that it is found as it is."""
    digest = await store.find_variant(key, name)
    try:
        stored = await store.open_variant(key, name)
    except ContentNotFoundError:
        assert digest is None
        return None
    content = await content_of(stored)
    assert digest == receipt_for(content)
    assert stored.byte_size == len(content)
    return content


def receipt_for(content: bytes) -> ContentDigest:
    return ContentDigest(len(content), hashlib.sha256(content).hexdigest())


async def keys_of_variants_in(store: ContentPorts) -> Sequence[ContentKey]:
    keys = store.keys_of_variants()
    return [key async for key in keys]


async def test_what_was_put_is_read_back(store: ContentPorts) -> None:
    await store.put(KEY, in_chunks(b"one ", b"two ", b"three"))
    assert await read(store) == b"one two three"


async def test_content_can_be_opened_again_and_again(store: ContentPorts) -> None:
    await put(store, b"content")
    assert [await read(store) for _ in range(3)] == [b"content"] * 3


async def test_the_receipt_has_the_size_and_the_digest(store: ContentPorts) -> None:
    digest = await store.put(KEY, in_chunks(b"one ", b"", b"two"))
    assert digest == ContentDigest(7, hashlib.sha256(b"one two").hexdigest())


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
async def test_empty_content_is_content(store: ContentPorts, chunks: list[bytes]) -> None:
    assert await store.put(KEY, in_chunks(*chunks)) == ContentDigest(0, hashlib.sha256().hexdigest())
    assert await read(store) == b""


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
async def test_chunks_have_at_most_1_mib_however_they_came_in(store: ContentPorts, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    await put(store, content[:size])
    sizes = [len(chunk) async for chunk in (await store.open(KEY)).chunks]
    assert sum(sizes) == size
    assert max(sizes) <= MIB
    assert min(sizes) >= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(chunks=st.lists(st.binary(max_size=2_000), max_size=5))
@example(chunks=[b"x" * MIB, b"", b"y" * 300_000])
async def test_any_content_comes_back_as_it_went_in(store: ContentPorts, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert await store.put(KEY, in_chunks(*chunks)) == ContentDigest(len(content), hashlib.sha256(content).hexdigest())
    assert await read(store) == content


async def test_each_key_has_its_own_content(store: ContentPorts) -> None:
    await put(store, b"one")
    await put(store, b"two", OTHER_KEY)
    assert await read(store) == b"one"
    assert await read(store, OTHER_KEY) == b"two"


@pytest.mark.parametrize("second", [b"", b"short", b"something that is longer than the first"])
async def test_a_second_put_replaces_the_first(store: ContentPorts, second: bytes) -> None:
    await put(store, b"the first content")
    await put(store, second)
    assert await read(store) == second


async def test_nothing_is_visible_before_the_last_chunk(store: ContentPorts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"chunk"
            assert not await has(store)

    await store.put(KEY, chunks())
    assert await has(store)


async def test_the_old_content_is_read_until_the_new_one_is_whole(store: ContentPorts) -> None:
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
    store: ContentPorts, error: Exception, chunks: list[bytes]
) -> None:
    with pytest.raises(type(error)) as caught:
        await store.put(KEY, broken_after(*chunks, error=error))
    assert caught.value is error
    assert not await has(store)


async def test_chunks_that_fail_leave_the_old_content(store: ContentPorts) -> None:
    await put(store, b"old")
    with pytest.raises(RuntimeError):
        await store.put(KEY, broken_after(b"new", error=RuntimeError()))
    assert await read(store) == b"old"


@pytest.mark.parametrize("old", [None, b"old"])
async def test_a_cancelled_put_leaves_what_was_there(store: ContentPorts, old: bytes | None) -> None:
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
async def test_a_put_that_is_cancelled_at_any_moment_leaves_all_or_nothing(store: ContentPorts, turns: int) -> None:
    await put(store, b"old")
    running = asyncio.create_task(store.put(KEY, in_chunks(*[b"new"] * 5)))
    for _ in range(turns):
        await asyncio.sleep(0.0002)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await read(store) in {b"old", b"new" * 5}


async def test_content_can_be_put_after_a_put_that_failed(store: ContentPorts) -> None:
    with pytest.raises(RuntimeError):
        await store.put(KEY, broken_after(b"first", error=RuntimeError()))
    await put(store, b"second")
    assert await read(store) == b"second"


async def test_missing_content_is_not_found(store: ContentPorts) -> None:
    await put(store, b"content", OTHER_KEY)
    with pytest.raises(ContentNotFoundError) as caught:
        await store.open(KEY)
    assert caught.value.__cause__ is None


async def test_deleted_content_is_not_found_and_no_other_is_gone(store: ContentPorts) -> None:
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.delete(KEY)
    assert not await has(store)
    assert await read(store, OTHER_KEY) == b"other"


async def test_deleting_what_is_not_there_is_no_error(store: ContentPorts) -> None:
    await store.delete(KEY)
    await put(store, b"content")
    await store.delete(KEY)
    await store.delete(KEY)
    assert not await has(store)


async def test_deleted_content_can_be_put_again(store: ContentPorts) -> None:
    await put(store, b"one")
    await store.delete(KEY)
    await put(store, b"two")
    assert await read(store) == b"two"


async def test_many_keys_can_be_put_at_once(store: ContentPorts) -> None:
    keys = [ContentKey(f"{number:08x}-5d0e-4a39-9f43-5c8d3f6f2b11") for number in range(50)]
    digests = await asyncio.gather(*(put(store, key.encode(), key) for key in keys))
    assert [digest.sha256 for digest in digests] == [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    assert [await read(store, key) for key in keys] == [key.encode() for key in keys]


async def test_of_many_puts_of_one_key_one_wins_as_a_whole(store: ContentPorts) -> None:
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


async def test_content_that_is_open_stays_whole_when_it_is_replaced_or_deleted(store: ContentPorts) -> None:
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


async def test_content_can_be_read_by_many_at_once(store: ContentPorts) -> None:
    await put(store, b"x" * 600_000)
    assert await asyncio.gather(*(read(store) for _ in range(20))) == [b"x" * 600_000] * 20


async def test_a_reader_that_stops_early_disturbs_nobody(store: ContentPorts) -> None:
    await put(store, b"x" * 600_000)
    stored = await store.open(KEY)
    await anext(stored.chunks)
    await store.delete(KEY)
    del stored
    assert not await has(store)


async def test_a_store_that_works_passes_its_check_and_the_check_leaves_no_trace(store: ContentPorts) -> None:
    await put(store, b"content")
    for _ in range(2):
        await store.check()
    assert await read(store) == b"content"


async def test_preparing_again_loses_nothing(store: ContentPorts) -> None:
    await put(store, b"content")
    await store.prepare()
    assert await read(store) == b"content"


async def test_an_empty_store_has_no_keys(store: ContentPorts) -> None:
    assert await keys_in(store) == []


async def test_the_keys_are_those_of_all_contents_in_the_order_of_their_texts(store: ContentPorts) -> None:
    texts = ["ffff-1", "0b6f-2", "0b6f-1", "0b70-1", "1a00-9", "0b6f", "0a6f-3", "0a6f-3-", "0A6f-4", "ZZ6f-4", "9-9-1"]
    for text in texts:
        await put(store, b"content", ContentKey(text))
    assert await keys_in(store) == sorted(texts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(guids=st.lists(st.uuids(), max_size=20))
async def test_guids_come_in_the_order_of_their_texts(store: ContentPorts, guids: list[UUID]) -> None:
    for key in await keys_in(store):
        await store.delete(key)
    for guid in guids:
        await put(store, b"", ContentKey(str(guid)))
    assert await keys_in(store) == sorted({str(guid) for guid in guids})


async def test_what_is_not_whole_has_no_key(store: ContentPorts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"chunk"
        assert await keys_in(store) == []

    await store.put(KEY, chunks())
    assert await keys_in(store) == [KEY]


async def test_deleted_content_has_no_key(store: ContentPorts) -> None:
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.delete(KEY)
    assert await keys_in(store) == [OTHER_KEY]


async def test_every_key_comes_once_while_contents_come_and_go(store: ContentPorts) -> None:
    staying = [ContentKey(f"{number:02x}00-5d0e") for number in range(0, 256, 16)]
    for key in staying:
        await put(store, b"stays", key)
    seen = []
    async for key in store.keys():
        seen.append(key)
        await put(store, b"new", ContentKey(f"{key}-new"))
        await store.delete(ContentKey(f"{key}-new"))
    assert seen == staying


async def test_content_that_was_set_aside_is_not_in_the_store_and_all_other_is(store: ContentPorts) -> None:
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.move_to_quarantine(KEY)
    assert not await has(store)
    assert await keys_in(store) == [OTHER_KEY]
    assert await read(store, OTHER_KEY) == b"other"


async def test_contents_can_be_set_aside_while_the_keys_are_walked(store: ContentPorts) -> None:
    keys = [ContentKey(f"0b6f-{number:04}") for number in range(10)]
    for key in keys:
        await put(store, b"content", key)
    seen = []
    async for key in store.keys():
        seen.append(key)
        await store.move_to_quarantine(key)
    assert seen == keys
    assert await keys_in(store) == []


async def test_a_key_can_be_put_and_set_aside_again_and_again(store: ContentPorts) -> None:
    for content in (b"one", b"two", b"three"):
        await put(store, content)
        assert await read(store) == content
        await store.move_to_quarantine(KEY)
        assert not await has(store)


async def test_setting_aside_what_is_not_there_is_no_error(store: ContentPorts) -> None:
    await store.move_to_quarantine(KEY)
    await put(store, b"content")
    await store.move_to_quarantine(KEY)
    await store.move_to_quarantine(KEY)
    assert await keys_in(store) == []


async def test_content_that_is_open_stays_whole_when_it_is_set_aside(store: ContentPorts) -> None:
    await put(store, b"x" * 600_000)
    stored = await store.open(KEY)
    await store.move_to_quarantine(KEY)
    assert b"".join([chunk async for chunk in stored.chunks]) == b"x" * 600_000


async def test_uploads_that_ended_leave_nothing_behind(store: ContentPorts) -> None:
    await put(store, b"content")
    with pytest.raises(RuntimeError):
        await store.put(OTHER_KEY, broken_after(b"half", error=RuntimeError()))
    await store.check()
    assert list(await store.list_orphans(older_than=timedelta())) == []


async def test_removing_a_leftover_that_is_not_there_is_no_error(store: ContentPorts) -> None:
    await put(store, b"content")
    await store.quarantine_orphan("0b6f-unknown.0123456789abcdef")
    await store.quarantine_orphan(KEY)
    assert await read(store) == b"content"


RANGED = bytes(range(256)) * 2_400


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(start=st.integers(0, len(RANGED) + 10), end=st.none() | st.integers(0, len(RANGED) + 10))
@example(start=0, end=0)
@example(start=0, end=1)
@example(start=len(RANGED) - 1, end=None)
@example(start=len(RANGED), end=None)
@example(start=10, end=5)
@example(start=1, end=256 * 1024 + 1)
@example(start=1, end=256 * 1024 + 2)
async def test_a_range_is_what_slicing_gives(store: ContentPorts, start: int, end: int | None) -> None:
    await put(store, RANGED)
    await put_variant(store, RANGED)
    for stored in (
        await store.open(KEY, start=start, end=end),
        await store.open_variant(KEY, NAME, start=start, end=end),
    ):
        assert stored.byte_size == len(RANGED)
        assert await content_of(stored) == RANGED[start:end]


async def test_a_range_of_an_empty_content_is_empty(store: ContentPorts) -> None:
    await put(store, b"")
    for start, end in ((0, None), (0, 1), (1, 2), (5, None)):
        stored = await store.open(KEY, start=start, end=end)
        assert (stored.byte_size, await content_of(stored)) == (0, b"")


async def test_a_file_that_is_offered_holds_the_content_and_lives_as_long_as_it_is_held(store: ContentPorts) -> None:
    await put(store, b"content")
    await put_variant(store, b"variant")
    for stored, expected in (
        (await store.open(KEY, start=3, end=4), b"content"),
        (await store.open_variant(KEY, NAME, start=3, end=4), b"variant"),
    ):
        assert await content_of(stored) == expected[3:4]
        file = stored.file
        del stored
        if file is not None:
            assert os.pread(file.fileno(), 100, 0) == expected


async def test_a_variant_is_found_and_read_back(store: ContentPorts) -> None:
    assert await variant(store) is None
    assert await put_variant(store, b"variant") == receipt_for(b"variant")
    assert await variant(store) == b"variant"
    assert await variant(store, OTHER_NAME) is None
    assert await variant(store, key=OTHER_KEY) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(chunks=st.lists(st.binary(max_size=2_000), max_size=5))
@example(chunks=[])
@example(chunks=[b"x" * MIB, b"", b"y" * 300_000])
async def test_any_variant_comes_back_as_it_went_in(store: ContentPorts, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert await store.put_variant(KEY, NAME, in_chunks(*chunks)) == receipt_for(content)
    assert await variant(store) == content


async def test_a_content_and_its_variants_are_not_each_others(store: ContentPorts) -> None:
    await put_variant(store, b"variant")
    assert not await has(store)
    await put(store, b"content")
    await put_variant(store, b"other variant", OTHER_NAME)
    assert await read(store) == b"content"
    assert [await variant(store), await variant(store, OTHER_NAME)] == [b"variant", b"other variant"]


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a-b", "a" * 128, "a." + "0" * 64, "9..9", "a."])
async def test_a_plain_name_is_a_variants_name(store: ContentPorts, name: str) -> None:
    assert await variant(store, VariantName(name)) is None
    await put_variant(store, name.encode(), VariantName(name))
    assert await variant(store, VariantName(name)) == name.encode()


async def test_names_that_begin_alike_are_names_of_different_variants(store: ContentPorts) -> None:
    names = [VariantName(name) for name in ("a", "a.b", "a." + "0" * 64, f"a.{'0' * 64}.b", "ab", "a-")]
    for name in names:
        await put_variant(store, name.encode(), name)
    assert [await variant(store, name) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/x", "a/b", "a\0", "a\n", ".a", "-a", "A", "a_b", "ä", "a" * 129, "\ud800"]
)
async def test_a_name_that_is_no_plain_name_is_refused(store: ContentPorts, name: str) -> None:
    for call in (
        store.find_variant(KEY, VariantName(name)),
        store.open_variant(KEY, VariantName(name)),
        store.put_variant(KEY, VariantName(name), in_chunks(b"x")),
    ):
        with pytest.raises(ContentStoreError, match="name is malformed"):
            await call
    assert await keys_of_variants_in(store) == []


@pytest.mark.parametrize("second", [b"", b"short", b"the first variant", b"something longer than the first variant"])
async def test_a_second_put_of_a_variant_replaces_the_first(store: ContentPorts, second: bytes) -> None:
    await put_variant(store, b"the first variant")
    assert await variant(store) == b"the first variant"
    assert await put_variant(store, second) == receipt_for(second)
    assert await variant(store) == second
    assert await put_variant(store, b"the first variant") == receipt_for(b"the first variant")
    assert await variant(store) == b"the first variant"


async def test_a_variant_is_not_visible_before_its_last_chunk(store: ContentPorts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"chunk"
            assert await variant(store) is None
            assert await keys_of_variants_in(store) == []

    await store.put_variant(KEY, NAME, chunks())
    assert await variant(store) == b"chunk" * 3


@pytest.mark.parametrize("old", [None, b"old"])
async def test_chunks_of_a_variant_that_fail_leave_what_was_there(store: ContentPorts, old: bytes | None) -> None:
    if old is not None:
        await put_variant(store, old)
    error = FileNotFoundError(2, "the source's own")
    with pytest.raises(FileNotFoundError) as caught:
        await store.put_variant(KEY, NAME, broken_after(b"new", error=error))
    assert caught.value is error
    assert await variant(store) == old
    assert await keys_of_variants_in(store) == [KEY] * (old is not None)


async def test_a_cancelled_put_of_a_variant_leaves_what_was_there(store: ContentPorts) -> None:
    await put_variant(store, b"old")
    chunks = StuckChunks()
    running = asyncio.create_task(store.put_variant(KEY, NAME, chunks))
    await chunks.is_stuck.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await variant(store) == b"old"


async def test_of_many_puts_of_one_variant_one_wins_as_a_whole(store: ContentPorts) -> None:
    contents = [bytes([number]) * 5_000 for number in range(20)]
    await put_variant(store, contents[0])
    is_over = asyncio.Event()
    seen: set[bytes | None] = set()

    async def watch() -> None:
        while not is_over.is_set():
            seen.add(await content_of(await store.open_variant(KEY, NAME)))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    digests = await asyncio.gather(*(put_variant(store, content) for content in contents))
    is_over.set()
    await watching
    assert digests == [receipt_for(content) for content in contents]
    assert await variant(store) in contents
    assert seen <= set(contents)


async def test_deleting_a_content_deletes_its_variants_and_no_others(store: ContentPorts) -> None:
    await put(store, b"content")
    await put_variant(store, b"one")
    await put_variant(store, b"two", OTHER_NAME)
    await put_variant(store, b"three", key=OTHER_KEY)
    assert await variant(store) == b"one"
    await store.delete(KEY)
    assert not await has(store)
    assert [await variant(store), await variant(store, OTHER_NAME)] == [None, None]
    assert await variant(store, key=OTHER_KEY) == b"three"
    assert await keys_of_variants_in(store) == [OTHER_KEY]


async def test_deleting_a_content_that_is_not_there_deletes_its_variants(store: ContentPorts) -> None:
    await put_variant(store, b"variant")
    await store.delete(KEY)
    assert await variant(store) is None
    await put_variant(store, b"again")
    assert await variant(store) == b"again"


async def test_a_variant_that_is_put_beside_a_deletion_is_there_as_a_whole_or_not_at_all(store: ContentPorts) -> None:
    for _ in range(30):
        await put(store, b"content")
        await put_variant(store, b"old", OTHER_NAME)
        names = [VariantName(f"{number}.webp") for number in range(5)]
        await asyncio.gather(store.delete(KEY), *(put_variant(store, b"variant", name) for name in names))
        assert not await has(store)
        assert await variant(store, OTHER_NAME) is None
        found = [await variant(store, name) for name in names]
        assert set(found) <= {b"variant", None}
        assert await keys_of_variants_in(store) == [KEY] * any(found)
        await store.delete(KEY)
        assert await keys_of_variants_in(store) == []


async def test_variants_can_be_deleted_without_the_content(store: ContentPorts) -> None:
    await put(store, b"original")
    await put_variant(store, b"variant")
    await put_variant(store, b"another's", key=OTHER_KEY)

    await store.delete_variants(KEY)
    await store.delete_variants(KEY)

    assert await read(store) == b"original"
    assert await keys_of_variants_in(store) == [OTHER_KEY]


async def test_setting_a_content_aside_removes_its_variants(store: ContentPorts) -> None:
    await put(store, b"content")
    await put_variant(store, b"variant")
    await put_variant(store, b"other", key=OTHER_KEY)
    await store.move_to_quarantine(KEY)
    assert await variant(store) is None
    assert await keys_of_variants_in(store) == [OTHER_KEY]
    await store.move_to_quarantine(OTHER_KEY)
    assert await keys_of_variants_in(store) == []


async def test_a_variant_that_is_open_stays_whole_when_it_is_replaced_or_deleted(store: ContentPorts) -> None:
    await put_variant(store, b"x" * 600_000)
    opened = [await store.open_variant(KEY, NAME) for _ in range(2)]
    first = await anext(aiter(opened[0].chunks))
    await put_variant(store, b"new")
    second = await content_of(opened[1])
    await store.delete(KEY)
    assert [first + await content_of(opened[0]), second] == [b"x" * 600_000] * 2


async def test_keys_of_contents_and_keys_of_variants_are_two_lists(store: ContentPorts) -> None:
    texts = ["ffff-1", "0b6f-2", "0b6f-1", "0b70-1", "1a00-9", "0b6f", "0a6f-3", "0a6f-3-", "0A6f-4", "ZZ6f-4", "9-9-1"]
    assert await keys_of_variants_in(store) == []
    for text in texts:
        await put_variant(store, b"one", NAME, ContentKey(text))
        await put_variant(store, b"two", OTHER_NAME, ContentKey(text))
    await put(store, b"content", KEY)
    assert await keys_in(store) == [KEY]
    assert await keys_of_variants_in(store) == sorted(texts)


async def test_variants_can_be_removed_while_their_keys_are_walked(store: ContentPorts) -> None:
    keys = [ContentKey(f"0b{number:02x}-key") for number in range(20)]
    for key in keys:
        await put_variant(store, b"variant", key=key)
    seen = []
    async for key in store.keys_of_variants():
        seen.append(key)
        await store.move_to_quarantine(key)
    assert seen == keys
    assert await keys_of_variants_in(store) == []


async def quarantined(store: ContentPorts, key: ContentKey | None = None) -> dict[str, bytes]:
    """Return what is in quarantine, by name, having checked the keys and the sizes."""
    found = {}
    for item in await store.list_quarantine(key):
        found[item.name] = await content_of(await store.open_quarantined(item.name))
        assert item.byte_size == len(found[item.name])
        assert item.key is not None
        assert item.name.startswith(item.key)
    return found


async def test_an_empty_store_has_nothing_in_quarantine(store: ContentPorts) -> None:
    assert await quarantined(store) == {}
    assert await quarantined(store, KEY) == {}


async def test_what_is_quarantined_is_read_back_and_is_no_content(store: ContentPorts) -> None:
    digest = await store.put_quarantined(KEY, in_chunks(b"no ", b"picture"))
    assert digest == receipt_for(b"no picture")
    assert await quarantined(store) == {KEY: b"no picture"}
    assert not await has(store)
    assert await keys_in(store) == []
    assert await keys_of_variants_in(store) == []


async def test_quarantine_and_content_of_one_key_leave_each_other_alone(store: ContentPorts) -> None:
    await put(store, b"content")
    await put_variant(store, b"variant")
    await store.put_quarantined(KEY, in_chunks(b"no picture"))
    await put(store, b"other content")
    assert (await read(store), await variant(store)) == (b"other content", b"variant")
    assert await quarantined(store) == {KEY: b"no picture"}


async def test_nothing_in_quarantine_is_replaced(store: ContentPorts) -> None:
    for content in (b"one", b"two", b"two"):
        await store.put_quarantined(KEY, in_chunks(content))
    await put(store, b"three")
    await store.move_to_quarantine(KEY)
    assert sorted((await quarantined(store)).values()) == [b"one", b"three", b"two", b"two"]
    assert (await quarantined(store))[KEY] == b"one"


async def test_the_quarantine_of_a_key_is_told_from_that_of_others(store: ContentPorts) -> None:
    for key in (OTHER_KEY, KEY, ContentKey(KEY[:-1]), ContentKey(f"{KEY}-more")):
        for _ in range(2):
            await store.put_quarantined(key, in_chunks(key.encode()))
    assert list((await quarantined(store, KEY)).values()) == [KEY.encode()] * 2
    names = [item.name for item in await store.list_quarantine()]
    assert len(names) == 8
    assert names == sorted(names)


async def test_a_content_that_was_set_aside_is_in_quarantine(store: ContentPorts) -> None:
    await put(store, b"content")
    await store.move_to_quarantine(KEY)
    assert await quarantined(store, KEY) == {KEY: b"content"}


async def test_deleting_removes_the_quarantine_of_the_key_and_of_no_other(store: ContentPorts) -> None:
    await put(store, b"content")
    for key in (KEY, KEY, OTHER_KEY):
        await store.put_quarantined(key, in_chunks(b"no picture"))
    await store.delete_variants(KEY)
    assert len(await quarantined(store, KEY)) == 2
    await store.delete(KEY)
    assert await quarantined(store) == {OTHER_KEY: b"no picture"}
    await store.delete(OTHER_KEY)
    assert await quarantined(store) == {}


async def test_one_thing_can_be_deleted_from_quarantine(store: ContentPorts) -> None:
    for content in (b"one", b"two"):
        await store.put_quarantined(KEY, in_chunks(content))
    await store.delete_quarantined(KEY)
    await store.delete_quarantined(KEY)
    assert list((await quarantined(store)).values()) == [b"two"]
    with pytest.raises(ContentNotFoundError):
        await store.open_quarantined(KEY)


async def test_what_is_empty_is_not_listed_in_quarantine_and_deleted_with_its_key(store: ContentPorts) -> None:
    await put(store, b"")
    await store.move_to_quarantine(KEY)
    await store.put_quarantined(KEY, in_chunks(b"no picture"))
    assert list((await quarantined(store)).values()) == [b"no picture"]
    await store.delete(KEY)
    await store.put_quarantined(KEY, in_chunks(b"another"))
    assert await quarantined(store) == {KEY: b"another"}


@pytest.mark.parametrize("chunks", [[], [b"half a cont"], [b"x" * MIB, b"y" * MIB]], ids=["at once", "half", "late"])
async def test_chunks_that_fail_leave_nothing_in_quarantine(store: ContentPorts, chunks: list[bytes]) -> None:
    error = RuntimeError("broken")
    with pytest.raises(RuntimeError) as caught:
        await store.put_quarantined(KEY, broken_after(*chunks, error=error))
    assert caught.value is error
    assert await quarantined(store) == {}
    assert list(await store.list_orphans(older_than=timedelta(hours=-1))) == []


async def test_what_is_not_whole_is_not_in_quarantine(store: ContentPorts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"chunk"
        assert await quarantined(store) == {}

    await store.put_quarantined(KEY, chunks())
    assert await quarantined(store) == {KEY: b"chunk"}
