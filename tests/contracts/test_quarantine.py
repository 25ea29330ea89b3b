"""The contract of `Quarantine`."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.ports import ContentPorts
from tests.contents import (
    KEY,
    MIB,
    OTHER_KEY,
    broken_after,
    content_of,
    digest_of,
    has,
    in_chunks,
    keys_in,
    keys_of_variants_in,
    put,
    put_variant,
    read,
    variant,
)


async def quarantined(store: ContentPorts, key: ContentKey | None = None) -> dict[str, bytes]:
    """Return the items in quarantine by name, after a check of their keys and sizes."""
    found = {}
    for item in await store.list_quarantine(key):
        found[item.name] = await content_of(await store.open_quarantined(item.name))
        assert item.byte_size == len(found[item.name])
        assert item.key is not None
        assert item.name.startswith(item.key)
    return found


async def test_content_that_was_quarantined_is_not_in_the_store_and_all_other_is(store: ContentPorts) -> None:
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.move_to_quarantine(KEY)
    assert not await has(store)
    assert await keys_in(store) == [OTHER_KEY]
    assert await read(store, OTHER_KEY) == b"other"


async def test_a_key_can_be_put_and_quarantined_again_and_again(store: ContentPorts) -> None:
    for content in (b"one", b"two", b"three"):
        await put(store, content)
        assert await read(store) == content
        await store.move_to_quarantine(KEY)
        assert not await has(store)


async def test_quarantining_a_missing_content_is_no_error(store: ContentPorts) -> None:
    await store.move_to_quarantine(KEY)
    await put(store, b"content")
    await store.move_to_quarantine(KEY)
    await store.move_to_quarantine(KEY)
    assert await keys_in(store) == []


async def test_content_that_is_open_stays_whole_when_it_is_quarantined(store: ContentPorts) -> None:
    await put(store, b"x" * 600_000)
    stored = await store.open(KEY)
    await store.move_to_quarantine(KEY)
    assert b"".join([chunk async for chunk in stored.chunks]) == b"x" * 600_000


async def test_an_empty_store_has_nothing_in_quarantine(store: ContentPorts) -> None:
    assert await quarantined(store) == {}
    assert await quarantined(store, KEY) == {}


async def test_a_quarantined_item_is_read_back_and_is_no_content(store: ContentPorts) -> None:
    digest = await store.put_quarantined(KEY, in_chunks(b"no ", b"picture"))
    assert digest == digest_of(b"no picture")
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


async def test_a_content_that_was_quarantined_is_in_quarantine(store: ContentPorts) -> None:
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


async def test_an_empty_item_is_not_listed_in_quarantine_and_deleted_with_its_key(store: ContentPorts) -> None:
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


async def test_an_incomplete_item_is_not_in_quarantine(store: ContentPorts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"chunk"
        assert await quarantined(store) == {}

    await store.put_quarantined(KEY, chunks())
    assert await quarantined(store) == {KEY: b"chunk"}
