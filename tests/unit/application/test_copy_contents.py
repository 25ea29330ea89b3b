"""Copying all contents from one store into another."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.application import CopyContents
from pixyproxy.application.copy_contents import FAULTS_MAX, CopyOutcome, CopyReport, CopyResult
from pixyproxy.application.digest_check import DigestCheck
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import ContentDigest, ContentPorts, FoundContent, Quarantined, StoredContent, chunks_of
from tests.contents import KEY, OTHER_KEY, DigestKeepingStore, content_of, has, in_chunks, keys_in, put, read

FULL = ContentStoreError("The content store is full.")
FULL.add_note("bucket/prefix")


class FaultyStore(DigestKeepingStore):
    """Raises `fault` for the keys in `broken`, or for all once it has taken `room` contents; alters those in `altered`.

    Counts the puts that run at once, and notes which contents it was asked about.
    """

    def __init__(self, *, room: int = 1_000_000) -> None:
        super().__init__()
        self.fault = FULL
        self.room = room
        self.broken: set[ContentKey] = set()
        self.altered: set[ContentKey] = set()
        self.looked_at: set[ContentKey] = set()
        self.running = self.peak = self.puts = 0

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        self.running, self.puts = self.running + 1, self.puts + 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(0.001)
            content = b"".join([chunk async for chunk in chunks])
            if key in self.broken or len(await keys_in(self)) >= self.room:
                raise self.fault
            return await super().put(key, chunks_of(content[::-1] if key in self.altered else content))
        finally:
            self.running -= 1

    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        content = b"".join([chunk async for chunk in chunks])
        if key in self.broken:
            raise self.fault
        return await super().put_quarantined(key, chunks_of(content[::-1] if key in self.altered else content))

    async def find_content(self, key: ContentKey) -> FoundContent | None:
        self.looked_at.add(key)
        return await super().find_content(key)

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        stored = await super().open(key, start=start, end=end)
        if key not in self.broken:
            return stored
        return StoredContent(stored.byte_size, self._broken_chunks(stored.chunks))

    async def _broken_chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield await anext(chunks)
        raise self.fault


class Copying:
    """Copies from a source into a target, and keeps what it was told."""

    def __init__(self, source: ContentPorts, target: ContentPorts) -> None:
        self.source = source
        self.target = target
        self.progress: list[int] = []
        self.problems: dict[str, str] = {}

    async def __call__(
        self, *, digests: DigestCheck = DigestCheck.KEPT, new_only: bool = False, at_once: int = 4
    ) -> dict[str, int]:
        """Return the outcomes, having checked what is reported with them."""
        self.progress, self.problems = [], {}
        copy_contents = CopyContents(pairs=[(self.source, self.target)], at_once=at_once)
        report = await copy_contents(
            digests=digests, new_only=new_only, on_progress=self._note, on_problem=self._refuse
        )
        assert report.not_copied == len(self.problems)
        assert self.progress == sorted(self.progress)
        assert not self.progress or self.progress[-1] == sum(report.outcomes.values())
        return {outcome.value: number for outcome, number in report.outcomes.items()}

    def _note(self, report: CopyReport) -> None:
        self.progress.append(sum(report.outcomes.values()))

    def _refuse(self, result: CopyResult) -> None:
        assert result.outcome in {CopyOutcome.FAILED, CopyOutcome.REFUSED}
        self.problems[result.name] = result.detail


@pytest.fixture
def source() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def target() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def copying(source: FaultyStore, target: FaultyStore) -> Copying:
    return Copying(source, target)


async def fill(store: ContentPorts, count: int) -> Sequence[ContentKey]:
    keys = [ContentKey(f"{number:04x}-content") for number in range(count)]
    for key in keys:
        await put(store, key.encode(), key)
    return keys


async def all_in(store: ContentPorts) -> dict[str, bytes]:
    return {key: await read(store, key) for key in await keys_in(store)}


async def quarantine_of(store: ContentPorts) -> list[tuple[str | None, bytes]]:
    """Return key and bytes of each item, in an order that does not depend on the names."""
    items = await store.list_quarantine()
    return sorted([(item.key, await content_of(await store.open_quarantined(item.name))) for item in items])


async def test_contents_and_the_quarantine_are_copied_and_the_source_is_as_it_was(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    await fill(source, 30)
    await put(source, b"", KEY)
    for content in (b"one", b"two", b"one"):
        await source.put_quarantined(KEY, in_chunks(content))
    await source.put_quarantined(OTHER_KEY, in_chunks(b"three"))
    before = await all_in(source), await quarantine_of(source)
    assert await copying() == {"copied": 35}
    assert (await all_in(source), await quarantine_of(source)) == before
    assert (await all_in(target), await quarantine_of(target)) == before


async def test_the_pairs_are_copied_each_into_its_own_target() -> None:
    stores = [InMemoryContentStore() for _ in range(4)]
    await put(stores[0], b"image")
    await put(stores[2], b"upload")
    report = await CopyContents(pairs=[(stores[0], stores[1]), (stores[2], stores[3])])()
    assert (report.outcomes, report.byte_size) == ({CopyOutcome.COPIED: 2}, 11)
    assert (await read(stores[1]), await read(stores[3])) == (b"image", b"upload")


async def test_an_empty_source_leaves_an_empty_target(copying: Copying, target: FaultyStore) -> None:
    assert await copying() == {}
    assert await keys_in(target) == []


@pytest.mark.parametrize("digests", DigestCheck)
async def test_a_second_copy_skips_what_is_there_and_adds_what_is_new(
    copying: Copying, source: FaultyStore, target: FaultyStore, digests: DigestCheck
) -> None:
    await fill(source, 10)
    for content in (b"one", b"one"):
        await source.put_quarantined(KEY, in_chunks(content))
    await copying(digests=digests)
    assert await copying(digests=digests) == {"unchanged": 12}
    assert target.puts == 10
    await put(source, b"new", OTHER_KEY)
    await source.put_quarantined(KEY, in_chunks(b"one"))
    assert await copying(digests=digests) == {"unchanged": 12, "copied": 2}
    assert await quarantine_of(target) == [(KEY, b"one")] * 3
    assert await all_in(target) == await all_in(source)


async def test_what_the_target_lists_is_not_looked_at_where_only_new_contents_are_wanted(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    keys = await fill(source, 12)
    for key in (*keys[3:5], keys[9], ContentKey("0000-before"), ContentKey("0007-between"), ContentKey("zzzz-behind")):
        await put(target, b"other bytes", key)
    await source.put_quarantined(KEY, in_chunks(b"one"))
    there = {*keys[3:5], keys[9]}
    assert await copying(new_only=True) == {"copied": 10, "unchanged": 3}
    assert target.looked_at == set(keys) - there
    assert {await read(target, key) for key in there} == {b"other bytes"}
    assert await copying(new_only=True) == {"unchanged": 13}


async def test_variants_are_left_out(copying: Copying, source: FaultyStore, target: FaultyStore) -> None:
    await put(source, b"content")
    await source.put_variant(KEY, "0123-320x.webp", in_chunks(b"variant"))  # type: ignore[arg-type]
    assert await copying() == {"copied": 1}
    assert [key async for key in target.keys_of_variants()] == []


async def test_other_bytes_in_the_target_are_reported_and_left_as_they_are(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    for key, ours, theirs in ((KEY, b"one", b"another"), (OTHER_KEY, b"one", b"two")):
        await put(source, ours, key)
        await put(target, theirs, key)
    assert await copying() == {"refused": 2}
    assert set(copying.problems) == {KEY, OTHER_KEY}
    assert await all_in(target) == {KEY: b"another", OTHER_KEY: b"two"}
    assert await copying(digests=DigestCheck.NONE) == {"refused": 1, "unchanged": 1}


async def test_digests_that_the_stores_keep_are_trusted_unless_all_is_to_be_read(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    await put(source, b"one")
    await put(target, b"two")
    target.kept_digest_of[KEY] = source.kept_digest_of[KEY]
    assert await copying() == {"unchanged": 1}
    assert source.opened == target.opened == []
    assert await copying(digests=DigestCheck.READ) == {"refused": 1}


async def test_bytes_are_read_where_a_store_keeps_no_digest(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    await put(source, b"one")
    await put(target, b"two")
    source.kept_digest_of[KEY] = target.kept_digest_of[KEY] = None
    assert await copying() == {"refused": 1}
    assert source.opened == target.opened == [KEY]


@pytest.mark.parametrize("digests", DigestCheck)
async def test_a_target_that_stores_other_bytes_than_it_was_given_is_found_out(
    copying: Copying, source: FaultyStore, target: FaultyStore, digests: DigestCheck
) -> None:
    keys = await fill(source, 3)
    await source.put_quarantined(keys[1], in_chunks(b"no picture"))
    target.altered.add(keys[1])
    assert await copying(digests=digests) == {"copied": 2, "failed": 2}
    detail = "Target: The copy is not what was written."
    assert copying.problems == {keys[1]: detail, f"{keys[1]} in quarantine": detail}


async def test_a_target_that_keeps_the_right_digest_of_other_bytes_is_found_out_by_reading_all(
    source: FaultyStore,
) -> None:
    class LyingStore(FaultyStore):
        async def find_content(self, key: ContentKey) -> FoundContent | None:
            found = await super().find_content(key)
            return None if found is None else FoundContent(found.byte_size, source.kept_digest_of[key])

    target = LyingStore()
    target.altered.add(KEY)
    await put(source, b"content")
    copying = Copying(source, target)
    assert await copying(digests=DigestCheck.READ) == {"failed": 1}
    assert await copying() == {"unchanged": 1}
    assert await copying(digests=DigestCheck.READ) == {"refused": 1}


async def test_a_content_that_is_not_what_the_source_stored_is_not_copied(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    await put(source, b"content")
    source.kept_digest_of[KEY] = "0" * 64
    assert await copying() == {"failed": 1}
    assert copying.problems == {KEY: "Source: The content is not what was stored."}
    assert not await has(target)


async def test_a_content_that_the_source_can_not_read_is_reported_and_the_others_are_copied(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    keys = await fill(source, 10)
    source.fault = ContentStoreError("The content breaks off before its end.")
    source.broken.add(keys[4])
    assert await copying() == {"copied": 9, "failed": 1}
    assert copying.problems == {keys[4]: "Source: The content breaks off before its end."}
    assert not await has(target, keys[4])
    source.broken.clear()
    assert await copying() == {"copied": 1, "unchanged": 9}


async def test_a_target_that_is_full_stops_the_copy_after_some_faults_and_the_next_one_goes_on(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    await fill(source, 100)
    target.room = 30
    with pytest.raises(ContentStoreError, match=r"^20 contents in a row could not be copied\.$"):
        await copying()
    assert len(copying.problems) == FAULTS_MAX
    assert set(copying.problems.values()) == {"Target: The content store is full. bucket/prefix"}
    assert len(await keys_in(target)) == 30
    assert target.puts <= 30 + FAULTS_MAX + 4
    target.room = 1_000
    assert await copying() == {"copied": 70, "unchanged": 30}
    assert await all_in(target) == await all_in(source)


async def test_faults_that_are_not_in_a_row_do_not_stop_the_copy(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    keys = await fill(source, 4 * FAULTS_MAX)
    target.broken.update(keys[::2])
    assert await copying() == {"copied": 2 * FAULTS_MAX, "failed": 2 * FAULTS_MAX}


async def test_an_item_of_the_quarantine_that_can_not_be_written_is_reported(
    copying: Copying, source: FaultyStore, target: FaultyStore
) -> None:
    for key in (KEY, OTHER_KEY):
        await source.put_quarantined(key, in_chunks(b"no picture"))
    target.broken.add(KEY)
    assert await copying() == {"copied": 1, "failed": 1}
    assert copying.problems == {f"{KEY} in quarantine": "Target: The content store is full. bucket/prefix"}


async def test_an_item_of_the_quarantine_without_a_key_is_reported(target: FaultyStore) -> None:
    class StoreWithForeignItem(InMemoryContentStore):
        async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
            return [Quarantined(name="€.png", key=None, byte_size=3), *await super().list_quarantine(key)]

    source = StoreWithForeignItem()
    await source.put_quarantined(KEY, in_chunks(b"no picture"))
    copying = Copying(source, target)
    assert await copying() == {"copied": 1, "refused": 1}
    assert list(copying.problems) == ["€.png in quarantine"]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_than_allowed_are_copied_at_once_and_as_many_as_allowed_are(
    copying: Copying, source: FaultyStore, target: FaultyStore, at_once: int
) -> None:
    await fill(source, 20)
    await copying(at_once=at_once)
    assert target.peak == at_once


class BusyStore(InMemoryContentStore):
    """Runs a step of another process after it has listed the first key, and after each quarantine."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def keys(self) -> AsyncIterator[ContentKey]:
        async for key in super().keys():
            await self._meanwhile()
            yield key

    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        items = await super().list_quarantine(key)
        await self._meanwhile()
        return items


async def test_what_is_deleted_meanwhile_is_no_problem(target: FaultyStore) -> None:
    async def delete() -> None:
        await store.delete(OTHER_KEY)

    store = BusyStore(delete)
    for key in (KEY, OTHER_KEY):
        await put(store, b"content", key)
    assert await Copying(store, target)() == {"copied": 1, "gone": 1}
    await store.delete(KEY)
    await store.put_quarantined(OTHER_KEY, in_chunks(b"no picture"))
    assert await Copying(store, target)() == {"gone": 1}


async def test_a_source_that_can_not_be_listed_stops_the_copy(target: FaultyStore) -> None:
    async def fail() -> None:
        raise ContentStoreError("The content store does not answer.")

    source = BusyStore(fail)
    await put(source, b"content")
    with pytest.raises(ContentStoreError, match=r"^Source: The content store does not answer\.$"):
        await Copying(source, target)()
