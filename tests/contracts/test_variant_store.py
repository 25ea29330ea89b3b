"""The contract of `VariantStore`."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import ContentPorts
from pixyproxy.domain.variant import VariantName
from tests.contents import (
    KEY,
    MIB,
    NAME,
    OTHER_KEY,
    OTHER_NAME,
    RANGED,
    StuckChunks,
    broken_after,
    content_of,
    digest_of,
    has,
    in_chunks,
    keys_of_variants_in,
    put,
    put_variant,
    read,
    variant,
)


async def test_a_variant_is_found_and_read_back(store: ContentPorts) -> None:
    assert await variant(store) is None
    assert await put_variant(store, b"variant") == digest_of(b"variant")
    assert await variant(store) == b"variant"
    assert await variant(store, OTHER_NAME) is None
    assert await variant(store, key=OTHER_KEY) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(chunks=st.lists(st.binary(max_size=2_000), max_size=5))
@example(chunks=[])
@example(chunks=[b"x" * MIB, b"", b"y" * 300_000])
async def test_any_variant_comes_back_as_it_went_in(store: ContentPorts, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert await store.put_variant(KEY, NAME, in_chunks(*chunks)) == digest_of(content)
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
    assert await put_variant(store, second) == digest_of(second)
    assert await variant(store) == second
    assert await put_variant(store, b"the first variant") == digest_of(b"the first variant")
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
async def test_a_failed_put_of_a_variant_keeps_the_earlier_one(store: ContentPorts, old: bytes | None) -> None:
    if old is not None:
        await put_variant(store, old)
    error = FileNotFoundError(2, "the source's own")
    with pytest.raises(FileNotFoundError) as caught:
        await store.put_variant(KEY, NAME, broken_after(b"new", error=error))
    assert caught.value is error
    assert await variant(store) == old
    assert await keys_of_variants_in(store) == [KEY] * (old is not None)


async def test_a_cancelled_put_of_a_variant_keeps_the_earlier_one(store: ContentPorts) -> None:
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
    assert digests == [digest_of(content) for content in contents]
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


async def test_quarantining_a_content_removes_its_variants(store: ContentPorts) -> None:
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(start=st.integers(0, len(RANGED) + 10), end=st.none() | st.integers(0, len(RANGED) + 10))
@example(start=0, end=0)
@example(start=0, end=1)
@example(start=len(RANGED) - 1, end=None)
@example(start=len(RANGED), end=None)
@example(start=10, end=5)
@example(start=1, end=256 * 1024 + 1)
@example(start=1, end=256 * 1024 + 2)
async def test_a_range_of_a_variant_is_what_slicing_gives(store: ContentPorts, start: int, end: int | None) -> None:
    await put_variant(store, RANGED)
    stored = await store.open_variant(KEY, NAME, start=start, end=end)
    assert stored.byte_size == len(RANGED)
    assert await content_of(stored) == RANGED[start:end]


async def test_a_file_of_a_variant_holds_it_and_lives_as_long_as_it_is_held(store: ContentPorts) -> None:
    await put_variant(store, b"variant")
    stored = await store.open_variant(KEY, NAME, start=3, end=4)
    assert await content_of(stored) == b"i"
    file = stored.file
    del stored
    if file is not None:
        assert os.pread(file.fileno(), 100, 0) == b"variant"
