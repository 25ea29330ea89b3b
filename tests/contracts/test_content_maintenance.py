"""The contract of `ContentMaintenance`."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports import ContentPorts, FoundContent, StoredContent
from tests.contents import (
    KEY,
    MIB,
    NAME,
    OTHER_KEY,
    OTHER_NAME,
    broken_after,
    in_chunks,
    keys_in,
    keys_of_variants_in,
    put,
    put_variant,
    read,
)


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


@pytest.mark.parametrize("content", [b"", b"content", b"x" * MIB + b"y"], ids=len)
async def test_a_content_is_found_with_its_size_and_no_wrong_digest(store: ContentPorts, content: bytes) -> None:
    await put(store, b"earlier content")
    digest = await put(store, content)
    found = await store.find_content(KEY)
    assert found in {FoundContent(digest.byte_size), FoundContent(digest.byte_size, digest.sha256)}


async def test_a_received_content_is_found(store: ContentPorts) -> None:
    async def accept(_: StoredContent) -> ContentKey:
        return KEY

    digest = await store.receive(in_chunks(b"one ", b"two"), accept)
    found = await store.find_content(KEY)
    assert found in {FoundContent(digest.byte_size), FoundContent(digest.byte_size, digest.sha256)}


async def test_a_content_that_is_missing_deleted_or_in_quarantine_is_not_found(store: ContentPorts) -> None:
    assert await store.find_content(KEY) is None
    await put(store, b"content")
    await put_variant(store, b"variant")
    assert await store.find_content(OTHER_KEY) is None
    await store.move_to_quarantine(KEY)
    assert await store.find_content(KEY) is None
    await put(store, b"content")
    await store.delete(KEY)
    assert await store.find_content(KEY) is None


async def test_an_incomplete_content_has_no_key(store: ContentPorts) -> None:
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


async def test_contents_can_be_quarantined_during_a_scan_of_the_keys(store: ContentPorts) -> None:
    keys = [ContentKey(f"0b6f-{number:04}") for number in range(10)]
    for key in keys:
        await put(store, b"content", key)
    seen = []
    async for key in store.keys():
        seen.append(key)
        await store.move_to_quarantine(key)
    assert seen == keys
    assert await keys_in(store) == []


async def test_finished_uploads_leave_no_orphans(store: ContentPorts) -> None:
    await put(store, b"content")
    with pytest.raises(RuntimeError):
        await store.put(OTHER_KEY, broken_after(b"half", error=RuntimeError()))
    await store.check()
    assert list(await store.list_orphans(older_than=timedelta())) == []


async def test_removing_an_orphan_that_is_not_there_is_no_error(store: ContentPorts) -> None:
    await put(store, b"content")
    await store.quarantine_orphan("0b6f-unknown.0123456789abcdef")
    await store.quarantine_orphan(KEY)
    assert await read(store) == b"content"


async def test_keys_of_contents_and_keys_of_variants_are_two_lists(store: ContentPorts) -> None:
    texts = ["ffff-1", "0b6f-2", "0b6f-1", "0b70-1", "1a00-9", "0b6f", "0a6f-3", "0a6f-3-", "0A6f-4", "ZZ6f-4", "9-9-1"]
    assert await keys_of_variants_in(store) == []
    for text in texts:
        await put_variant(store, b"one", NAME, ContentKey(text))
        await put_variant(store, b"two", OTHER_NAME, ContentKey(text))
    await put(store, b"content", KEY)
    assert await keys_in(store) == [KEY]
    assert await keys_of_variants_in(store) == sorted(texts)


async def test_variants_can_be_removed_during_a_scan_of_their_keys(store: ContentPorts) -> None:
    keys = [ContentKey(f"0b{number:02x}-key") for number in range(20)]
    for key in keys:
        await put_variant(store, b"variant", key=key)
    seen = []
    async for key in store.keys_of_variants():
        seen.append(key)
        await store.move_to_quarantine(key)
    assert seen == keys
    assert await keys_of_variants_in(store) == []
