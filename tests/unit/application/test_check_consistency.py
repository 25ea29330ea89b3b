"""The consistency check, and its repairs."""

import dataclasses
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CheckConsistency, FinishDeletions
from pixyproxy.application.check_consistency import (
    FINDINGS_MAX_COUNT,
    PAGE_SIZE,
    ConsistencyReport,
    Finding,
    FindingKind,
)
from pixyproxy.application.correct_sizes import CorrectSizes, exchanged
from pixyproxy.application.digest_check import DigestCheck
from pixyproxy.application.generate_image import QUARANTINE_NOTE
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.domain.content import ContentInfo, ContentKey, MediaType, partial_key_of
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import ContentDigest, ContentPorts, DamagedRecord, Lease, StoredContent
from pixyproxy.domain.variant import VariantName
from tests import odd_pictures
from tests.contents import DigestKeepingStore
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.images import OTHER, held
from tests.streams import pieces

NAME = VariantName("0123456789abcdef-320x-contain-80.webp")
NO_GUIDS = ["0000-first", "9999-in-the-midst", "zzzz-last", "0B6F1C1E-5D0E-4A39-9F43-5C8D3F6F2B11"]


class ContentStoreWithOrphans(InMemoryContentStore):
    """Has the orphans it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.orphans: dict[str, timedelta] = {}

    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
        return [name for name, age in self.orphans.items() if age > older_than]

    async def quarantine_orphan(self, name: str) -> None:
        self.orphans.pop(name, None)


class BrokenContentStore(InMemoryContentStore):
    """Can't open the contents in `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[ContentKey] = set()

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        if key in self.broken:
            raise ContentStoreError("The content store does not work.")
        return await super().open(key, start=start, end=end)


class BusyContentStore(InMemoryContentStore):
    """Runs a step of another process when a content is opened for the first time, after the check has seen it."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = [meanwhile]

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        try:
            return await super().open(key, start=start, end=end)
        finally:
            if self._meanwhile:
                await self._meanwhile.pop()()


class Recovery:
    """Brings abandoned images to an end, and counts how often it was asked to."""

    def __init__(self, images: InMemoryImageRepository, clock: InMemoryClock) -> None:
        self._images = images
        self._clock = clock
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        failure = UnknownImageFactory.build().generation_error
        assert failure is not None
        for lease in await self._images.list_leases(limit=10_000):
            image = await self._images.get(lease.guid)
            started = image.started(at=self._clock.now()) if image.status is ImageStatus.PENDING else image
            await self._images.update(started.failed(failure, at=self._clock.now()), expected=image.status)


async def quarantined(contents: ContentPorts) -> dict[str, bytes]:
    """Return the items in quarantine by name."""
    opened = {item.name: await contents.open_quarantined(item.name) for item in await contents.list_quarantine()}
    return {name: b"".join([chunk async for chunk in stored.chunks]) for name, stored in opened.items()}


@pytest.fixture
def recovery(images: InMemoryImageRepository, clock: InMemoryClock) -> Recovery:
    return Recovery(images, clock)


@pytest.fixture
def check_consistency(
    images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock, recovery: Recovery
) -> CheckConsistency:
    return checker(images, contents, clock, recovery)


class Renewed(LeaseWatch):
    """Sees each lease renewed."""

    def over(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        return [lease for lease in leases if lease.owner is None]


def checker(
    images: InMemoryImageRepository, contents: ContentPorts, clock: InMemoryClock, recovery: Recovery
) -> CheckConsistency:
    return CheckConsistency(
        lease_watch=Renewed(),
        images=images,
        leases=images,
        deletions=images,
        image_maintenance=images,
        contents=contents,
        variants=contents,
        quarantine=contents,
        content_maintenance=contents,
        inspector=PillowContentInspector(),
        clock=clock,
        correct_size=CorrectSizes(
            image_maintenance=images, contents=contents, inspector=PillowContentInspector(), clock=clock
        ).correct,
        recover=recovery,
        finish_deletions=FinishDeletions(deletions=images, contents=contents),
    )


@pytest.fixture
async def picture(generator: InMemoryImageGenerator) -> bytes:
    return (await generator.generate(GenerationRequest(prompt="a lighthouse"))).data


async def put(contents: ContentPorts, key: str, data: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await contents.put(ContentKey(key), chunks())


async def put_variant(contents: ContentPorts, key: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"variant"

    await contents.put_variant(ContentKey(key), NAME, chunks())


async def keys_of_variants_in(contents: ContentPorts) -> list[ContentKey]:
    keys = contents.keys_of_variants()
    return [key async for key in keys]


async def keys_in(contents: ContentPorts) -> list[ContentKey]:
    keys = contents.keys()
    return [key async for key in keys]


async def read(contents: ContentPorts, key: str) -> bytes:
    return b"".join([chunk async for chunk in (await contents.open(ContentKey(key))).chunks])


def ready(data: bytes, guid: UUID | None = None) -> Image:
    info = ContentInfoFactory.build(byte_size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return ImageFactory.build(content=info, **({} if guid is None else {"guid": guid}))


async def keep(images: InMemoryImageRepository, contents: ContentPorts, *, count: int) -> Sequence[Image]:
    """Add images that nothing is wrong with."""
    kept = []
    for number in range(count):
        data = b"content %d" % number
        image = await images.add(ready(data))
        await put(contents, image.content_key, data)
        kept.append(image)
    return kept


def found(report: ConsistencyReport) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.name) for finding in report.findings]


class TestNothingWrong:
    async def test_an_empty_service_has_no_findings(self, check_consistency: CheckConsistency) -> None:
        report = await check_consistency(repair=True)
        assert (report.images, report.contents, report.remaining) == (0, 0, 0)

    @pytest.mark.parametrize("count", [1, PAGE_SIZE, PAGE_SIZE + 1])
    async def test_every_image_and_every_content_is_looked_at(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        count: int,
    ) -> None:
        await keep(images, contents, count=count)
        report = await check_consistency()
        assert found(report) == []
        assert (report.images, report.contents, report.remaining) == (count, count, 0)

    async def test_images_that_ended_without_content_are_no_findings(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository
    ) -> None:
        for factory in (FailedImageFactory, UnknownImageFactory):
            await images.add(factory.build())
        report = await check_consistency(repair=True)
        assert found(report) == []
        assert (report.images, report.contents) == (2, 0)

    @pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
    @pytest.mark.parametrize("has_content", [False, True])
    async def test_images_that_are_being_made_right_now_are_no_findings(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        recovery: Recovery,
        *,
        factory: type[PendingImageFactory],
        has_content: bool,
    ) -> None:
        image = await held(images, factory.build())
        if has_content:
            await put(contents, image.content_key, b"content")
        assert found(await check_consistency(repair=True)) == []
        assert await images.get(image.guid) == image
        assert await keys_in(contents) == [image.content_key] * has_content
        assert recovery.calls == 0

    async def test_progress_is_told_image_by_image(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        await keep(images, contents, count=3)
        await put(contents, "0000-no-image", b"content")
        told: list[int] = []
        await check_consistency(on_progress=told.append)
        assert told == [1, 2, 3]


class TestReportedOnly:
    """Findings that can't be repaired without guessing."""

    async def findings_are_the_same_each_time(self, check_consistency: CheckConsistency, expected: Finding) -> None:
        for repair in (False, True, False):
            report = await check_consistency(repair=repair)
            assert report.findings == [expected]
            assert report.found == {expected.kind: 1}
            assert report.repaired == {}
            assert report.remaining == 1

    async def test_a_ready_image_without_content(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        await keep(images, contents, count=3)
        image = await images.add(ImageFactory.build())
        expected = Finding(kind=FindingKind.CONTENT_MISSING, name=str(image.guid), is_repaired=False)
        await self.findings_are_the_same_each_time(check_consistency, expected)
        assert await images.get(image.guid) == image

    async def test_a_content_of_another_size(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        image, *_ = await keep(images, contents, count=3)
        await put(contents, image.content_key, b"cont")
        expected = Finding(kind=FindingKind.SIZE_DIFFERS, name=str(image.guid), is_repaired=False)
        await self.findings_are_the_same_each_time(check_consistency, expected)
        assert await read(contents, image.content_key) == b"cont"

    async def test_a_content_of_the_same_size_with_other_bytes(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        image, *_ = await keep(images, contents, count=3)
        await put(contents, image.content_key, b"CONTENT 0")
        expected = Finding(kind=FindingKind.DIGEST_DIFFERS, name=str(image.guid), is_repaired=False)
        await self.findings_are_the_same_each_time(check_consistency, expected)
        assert found(await check_consistency(digests=DigestCheck.NONE)) == []

    async def test_a_content_whose_digest_the_store_keeps_is_read_only_on_demand(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        contents = DigestKeepingStore()
        image, *_ = await keep(images, contents, count=3)
        check_consistency = checker(images, contents, clock, recovery)
        await put(contents, image.content_key, b"CONTENT 0")
        expected = ("digest-differs", str(image.guid))
        assert found(await check_consistency()) == [expected]
        assert contents.opened == []
        contents.kept_digest_of[image.content_key] = hashlib.sha256(b"content 0").hexdigest()
        assert found(await check_consistency()) == []
        assert contents.opened == []
        assert found(await check_consistency(digests=DigestCheck.READ)) == [expected]

    async def test_a_content_without_a_kept_digest_is_read(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        contents = DigestKeepingStore()
        image, other, _ = await keep(images, contents, count=3)
        await put(contents, image.content_key, b"CONTENT 0")
        contents.kept_digest_of[image.content_key] = contents.kept_digest_of[other.content_key] = None
        report = await checker(images, contents, clock, recovery)()
        assert found(report) == [("digest-differs", str(image.guid))]
        assert set(contents.opened) == {image.content_key, other.content_key}

    async def test_a_content_that_can_not_be_read(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        contents = BrokenContentStore()
        image, *_ = await keep(images, contents, count=3)
        contents.broken.add(image.content_key)
        expected = Finding(kind=FindingKind.CONTENT_UNREADABLE, name=str(image.guid), is_repaired=False)
        await self.findings_are_the_same_each_time(checker(images, contents, clock, recovery), expected)

    @pytest.mark.parametrize("data", [b"", b"no picture"])
    async def test_an_unknown_image_whose_content_is_no_whole_picture(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        data: bytes,
    ) -> None:
        image = await images.add(UnknownImageFactory.build())
        await put(contents, image.content_key, data)
        expected = Finding(kind=FindingKind.UNKNOWN_WITH_CONTENT, name=str(image.guid), is_repaired=False)
        await self.findings_are_the_same_each_time(check_consistency, expected)
        assert await images.get(image.guid) == image


class TestRepaired:
    """Findings that `repair` repairs, so that the next check is clean."""

    async def is_found_and_repaired(
        self,
        check_consistency: CheckConsistency,
        *expected: tuple[FindingKind, str],
        digests: DigestCheck = DigestCheck.KEPT,
    ) -> None:
        kinds = {kind for kind, _ in expected}
        first = await check_consistency(digests=digests)
        assert {(finding.kind, finding.name, finding.is_repaired) for finding in first.findings} == {
            (kind, name, False) for kind, name in expected
        }
        assert first.remaining == len(expected)
        second = await check_consistency(repair=True, digests=digests)
        assert {(finding.kind, finding.name, finding.is_repaired) for finding in second.findings} == {
            (kind, name, True) for kind, name in expected
        }
        assert set(second.found) == set(second.repaired) == kinds
        assert second.remaining == 0
        third = await check_consistency()
        assert third.findings == []
        assert third.found == third.repaired == {}

    @pytest.mark.parametrize("digests", DigestCheck)
    async def test_an_unknown_image_with_a_whole_picture_becomes_ready(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        picture: bytes,
        digests: DigestCheck,
    ) -> None:
        await keep(images, contents, count=3)
        image = await images.add(UnknownImageFactory.build())
        await put(contents, image.content_key, picture)
        await self.is_found_and_repaired(
            check_consistency, (FindingKind.UNKNOWN_WITH_CONTENT, str(image.guid)), digests=digests
        )
        repaired = await images.get(image.guid)
        assert repaired.status is ImageStatus.READY
        assert repaired.failure is None
        assert repaired.updated_at != image.updated_at
        assert repaired.content == ContentInfo(
            media_type=MediaType.PNG,
            byte_size=len(picture),
            sha256=hashlib.sha256(picture).hexdigest(),
            width=8,
            height=8,
        )
        assert await read(contents, image.content_key) == picture

    @pytest.mark.parametrize("key", [*NO_GUIDS, "0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11"])
    async def test_a_content_without_an_image_is_set_aside(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        key: str,
    ) -> None:
        kept = await keep(images, contents, count=3)
        await put(contents, key, b"orphaned bytes")
        await self.is_found_and_repaired(check_consistency, (FindingKind.CONTENT_WITHOUT_IMAGE, key))
        assert await keys_in(contents) == sorted(image.content_key for image in kept)
        assert await quarantined(contents) == {key: b"orphaned bytes"}

    async def test_a_guid_in_capitals_is_not_the_key_of_its_image(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        image = await images.add(ready(b"content", UUID("abcdef1e-5d0e-4a39-9f43-5c8d3f6f2b11")))
        await put(contents, image.content_key, b"content")
        capitals = image.content_key.upper()
        await put(contents, capitals, b"content")
        await self.is_found_and_repaired(check_consistency, (FindingKind.CONTENT_WITHOUT_IMAGE, capitals))
        assert await read(contents, image.content_key) == b"content"

    async def test_a_content_of_an_image_that_failed_is_set_aside_and_the_image_stays(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        image = await images.add(FailedImageFactory.build())
        await put(contents, image.content_key, b"bytes that were paid for")
        await self.is_found_and_repaired(check_consistency, (FindingKind.CONTENT_UNCLAIMED, str(image.guid)))
        assert await images.get(image.guid) == image
        assert await quarantined(contents) == {image.content_key: b"bytes that were paid for"}

    @pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
    async def test_abandoned_images_are_recovered(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        recovery: Recovery,
        factory: type[PendingImageFactory],
    ) -> None:
        check_consistency = dataclasses.replace(check_consistency, lease_watch=LeaseWatch(seconds=0))
        abandoned = [await held(images, factory.build()) for _ in range(3)]
        await images.add(PendingImageFactory.build())
        expected = [(FindingKind.ABANDONED, str(image.guid)) for image in abandoned]
        await self.is_found_and_repaired(check_consistency, *expected)
        assert recovery.calls == 1

    async def test_orphans_of_more_than_an_hour_are_removed(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        contents = ContentStoreWithOrphans()
        contents.orphans = {"old": timedelta(minutes=61), "new": timedelta(minutes=59)}
        await self.is_found_and_repaired(checker(images, contents, clock, recovery), (FindingKind.ORPHAN, "old"))
        assert set(contents.orphans) == {"new"}

    async def test_all_of_them_at_once(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery, picture: bytes
    ) -> None:
        contents = ContentStoreWithOrphans()
        contents.orphans = {"old": timedelta(days=1)}
        kept = await keep(images, contents, count=50)
        unknown, failed = await images.add(UnknownImageFactory.build()), await images.add(FailedImageFactory.build())
        abandoned = await images.add(GeneratingImageFactory.build())
        for key in (unknown.content_key, failed.content_key, *NO_GUIDS):
            await put(contents, key, picture)
        check_consistency = checker(images, contents, clock, recovery)
        assert (await check_consistency()).contents == 50 + 2 + 4
        await self.is_found_and_repaired(
            check_consistency,
            (FindingKind.UNKNOWN_WITH_CONTENT, str(unknown.guid)),
            (FindingKind.CONTENT_UNCLAIMED, str(failed.guid)),
            (FindingKind.ABANDONED, str(abandoned.guid)),
            (FindingKind.ORPHAN, "old"),
            *((FindingKind.CONTENT_WITHOUT_IMAGE, key) for key in NO_GUIDS),
        )
        report = await check_consistency()
        assert (report.images, report.contents) == (53, 52)
        assert [await images.get(image.guid) for image in kept] == list(kept)


class TestRepairThatFails:
    async def test_an_abandoned_image_that_is_not_recovered_stays_a_finding(
        self, images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock
    ) -> None:
        async def recover_nothing() -> None:
            return

        image = await images.add(GeneratingImageFactory.build())
        check_consistency = CheckConsistency(
            images=images,
            leases=images,
            deletions=images,
            image_maintenance=images,
            contents=contents,
            variants=contents,
            quarantine=contents,
            content_maintenance=contents,
            inspector=PillowContentInspector(),
            clock=clock,
            correct_size=CorrectSizes(
                image_maintenance=images, contents=contents, inspector=PillowContentInspector(), clock=clock
            ).correct,
            recover=recover_nothing,
            finish_deletions=FinishDeletions(deletions=images, contents=contents),
        )
        report = await check_consistency(repair=True)
        assert report.findings == [Finding(kind=FindingKind.ABANDONED, name=str(image.guid), is_repaired=False)]

    async def test_a_content_that_can_not_be_set_aside_stays_a_finding(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class ReadOnlyContentStore(InMemoryContentStore):
            async def move_to_quarantine(self, key: ContentKey) -> None:
                raise ContentStoreError("The content store is read-only.")

        contents = ReadOnlyContentStore()
        await put(contents, "0000-no-image", b"content")
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert [finding.is_repaired for finding in report.findings] == [False]
        assert report.remaining == 1


class TestWhileOthersAreAtWork:
    """The second look decides."""

    @pytest.mark.parametrize("repair", [False, True])
    async def test_a_content_that_is_put_back_meanwhile_is_not_missing(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery, repair: bool
    ) -> None:
        image = await images.add(ready(b"content"))
        contents = BusyContentStore(lambda: put(contents, image.content_key, b"content"))
        report = await checker(images, contents, clock, recovery)(repair=repair)
        assert found(report) == []

    async def test_a_content_whose_image_appears_meanwhile_is_not_quarantined(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        image = ready(b"content")
        contents = BusyContentStore(lambda: images.add(image))
        await put(contents, image.content_key, b"content")
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert found(report) == []
        assert await read(contents, image.content_key) == b"content"

    async def test_an_unknown_image_that_another_process_completes_is_no_finding(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery, picture: bytes
    ) -> None:
        image = await images.add(UnknownImageFactory.build())
        content = ready(picture).ready_content
        completed = image.completed(content, at=clock.now())
        contents = BusyContentStore(lambda: images.update(completed, expected=ImageStatus.UNKNOWN))
        await put(contents, image.content_key, picture)
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert found(report) == []
        assert await images.get(image.guid) == completed

    async def test_an_image_whose_process_renews_its_lease_in_time_is_not_abandoned(
        self, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class RenewedRepository(InMemoryImageRepository):
            async def list_leases(self, *, limit: int) -> Sequence[Lease]:
                await self.renew(image.guid, OTHER)
                return await super().list_leases(limit=limit)

        images, contents = RenewedRepository(), InMemoryContentStore()
        image = await held(images, GeneratingImageFactory.build())
        report = await dataclasses.replace(
            checker(images, contents, clock, recovery), lease_watch=LeaseWatch(seconds=0.05)
        )(repair=True)
        assert found(report) == []
        assert recovery.calls == 0

    async def test_an_orphan_that_disappears_by_itself_is_no_finding(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class ClearedContentStore(ContentStoreWithOrphans):
            async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
                names = await super().list_orphans(older_than=older_than)
                self.orphans.clear()
                return names

        contents = ClearedContentStore()
        contents.orphans = {"old": timedelta(days=1)}
        assert found(await checker(images, contents, clock, recovery)()) == []


class TestStrayVariants:
    """Variants whose image and content are gone."""

    async def test_they_are_found_and_removed(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        kept = [image.content_key for image in await keep(images, contents, count=3)]
        orphan_variants = [*NO_GUIDS, "0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11", kept[0].upper()]
        for key in (*kept, *orphan_variants):
            await put_variant(contents, key)
        for repair in (False, True):
            report = await check_consistency(repair=repair)
            assert report.findings == [
                Finding(kind=FindingKind.ORPHAN_VARIANTS, name=key, is_repaired=repair)
                for key in sorted(orphan_variants)
            ]
            assert report.remaining == len(orphan_variants) * (not repair)
            assert (report.images, report.contents) == (3, 3)
        assert (await check_consistency()).findings == []
        assert await keys_of_variants_in(contents) == sorted(kept)
        assert await keys_in(contents) == sorted(kept)
        assert await quarantined(contents) == {}

    @pytest.mark.parametrize("factory", [ImageFactory, FailedImageFactory, UnknownImageFactory, GeneratingImageFactory])
    async def test_variants_of_an_image_are_none_whatever_became_of_its_content(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        factory: type[ImageFactory],
    ) -> None:
        image = await images.add(factory.build())
        await put_variant(contents, image.content_key)
        report = await check_consistency(repair=True)
        assert FindingKind.ORPHAN_VARIANTS not in report.found
        assert await keys_of_variants_in(contents) == [image.content_key]

    async def test_variants_of_a_damaged_record_are_none(
        self, contents: InMemoryContentStore, clock: InMemoryClock
    ) -> None:
        images = DamagedImageRepository()
        for guid in images.damaged:
            await put_variant(contents, guid)
        report = await checker(images, contents, clock, Recovery(images, clock))(repair=True)
        assert list(report.found) == [FindingKind.RECORD_DAMAGED]
        assert await keys_of_variants_in(contents) == list(images.damaged)

    async def test_variants_of_a_content_without_an_image_go_when_it_is_set_aside(
        self, check_consistency: CheckConsistency, contents: InMemoryContentStore
    ) -> None:
        await put(contents, NO_GUIDS[0], b"content")
        await put_variant(contents, NO_GUIDS[0])
        report = await check_consistency(repair=True)
        assert found(report) == [("content-without-image", NO_GUIDS[0])]
        assert report.remaining == 0
        assert await keys_of_variants_in(contents) == []

    async def test_variants_that_another_process_deletes_are_left_alone(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        (image,) = await keep(images, contents, count=1)
        await put_variant(contents, image.content_key)
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
        await contents.move_to_quarantine(image.content_key)
        await put_variant(contents, image.content_key)
        assert (await check_consistency(repair=True)).findings == []
        assert await keys_of_variants_in(contents) == [image.content_key]

    async def test_variants_that_are_gone_at_the_second_look_are_no_finding(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class TidiedContentStore(InMemoryContentStore):
            async def keys_of_variants(self) -> AsyncIterator[ContentKey]:
                async for key in super().keys_of_variants():
                    yield key
                await self.delete(orphan)

        contents, orphan = TidiedContentStore(), ContentKey("0000-orphan")
        await put_variant(contents, orphan)
        assert (await checker(images, contents, clock, recovery)(repair=True)).findings == []

    @pytest.mark.parametrize("what", ["image", "content"])
    async def test_variants_whose_image_or_content_is_there_by_the_second_look_are_none(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery, what: str
    ) -> None:
        image = ready(b"content")

        class BusyVariantStore(InMemoryContentStore):
            async def keys_of_variants(self) -> AsyncIterator[ContentKey]:
                async for key in super().keys_of_variants():
                    yield key
                if what == "content":
                    await put(self, image.content_key, b"content")
                elif image.guid not in [record.guid for record in await images.scan(limit=10)]:
                    await images.add(image)

        contents = BusyVariantStore()
        await put_variant(contents, image.content_key)
        assert (await checker(images, contents, clock, recovery)(repair=True)).findings == []
        assert await keys_of_variants_in(contents) == [image.content_key]

    async def test_those_that_can_not_be_removed_stay_a_finding(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class ReadOnlyContentStore(InMemoryContentStore):
            async def delete_variants(self, key: ContentKey) -> None:
                raise ContentStoreError("The content store is read-only.")

        contents = ReadOnlyContentStore()
        await put_variant(contents, "0000-orphan")
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert report.findings == [Finding(kind=FindingKind.ORPHAN_VARIANTS, name="0000-orphan", is_repaired=False)]

    async def test_those_whose_content_can_not_be_opened_are_left_alone(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        contents = BrokenContentStore()
        await put_variant(contents, "0000-orphan")
        contents.broken.add(ContentKey("0000-orphan"))
        assert FindingKind.ORPHAN_VARIANTS not in (await checker(images, contents, clock, recovery)(repair=True)).found
        assert await keys_of_variants_in(contents) == ["0000-orphan"]

    async def test_1000_are_counted_at_a_time(
        self, check_consistency: CheckConsistency, contents: InMemoryContentStore
    ) -> None:
        for number in range(FINDINGS_MAX_COUNT + 5):
            await put_variant(contents, f"{number:04}-orphan")
        for expected in (1_000, 5):
            report = await check_consistency(repair=True)
            assert report.found == report.repaired == {FindingKind.ORPHAN_VARIANTS: expected}
        assert (await check_consistency()).findings == []


class TestManyFindings:
    async def test_all_are_counted_and_the_first_1000_of_each_kind_are_kept(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        keys = [f"{number:04}-no-image" for number in range(FINDINGS_MAX_COUNT + 5)]
        for key in keys:
            await put(contents, key, b"content")
        await images.add(ImageFactory.build(guid=UUID("ffffffff-5d0e-4a39-9f43-5c8d3f6f2b11")))
        report = await check_consistency()
        assert report.found == {FindingKind.CONTENT_WITHOUT_IMAGE: 1005, FindingKind.CONTENT_MISSING: 1}
        kept = [finding.name for finding in report.findings if finding.kind is FindingKind.CONTENT_WITHOUT_IMAGE]
        assert kept == keys[:1000]
        assert len(report.findings) == 1001
        repaired = await check_consistency(repair=True)
        assert repaired.repaired == {FindingKind.CONTENT_WITHOUT_IMAGE: 1005}
        assert repaired.remaining == 1


class TestDeletions:
    async def test_a_deletion_that_was_interrupted_is_found_and_finished(
        self, images: InMemoryImageRepository, contents: InMemoryContentStore, check_consistency: CheckConsistency
    ) -> None:
        (image,) = await keep(images, contents, count=1)
        await images.delete(image.guid, expected_version=image.version, lease_seconds=-1)
        finding = Finding(kind=FindingKind.DELETION_UNFINISHED, name=str(image.guid), is_repaired=False)

        assert (await check_consistency()).findings == [finding]
        repaired = await check_consistency(repair=True)

        assert repaired.findings == [msgspec.structs.replace(finding, is_repaired=True)]
        with pytest.raises(ContentNotFoundError):
            await contents.open(image.content_key)
        assert (await check_consistency()).findings == []

    async def test_a_deletion_with_a_lease_is_left_alone(
        self, images: InMemoryImageRepository, contents: InMemoryContentStore, check_consistency: CheckConsistency
    ) -> None:
        (image,) = await keep(images, contents, count=1)
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)

        assert (await check_consistency(repair=True)).findings == []
        assert (await contents.open(image.content_key)).byte_size > 0


class DamagedImageRepository(InMemoryImageRepository):
    """Has records that break the rules, beside those that it was given."""

    damaged = ("0000-by-hand", "ffffffff-ffff-ffff-ffff-ffffffffffff")

    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        damaged = [DamagedRecord(guid=guid) for guid in self.damaged if guid > after]
        whole = await super().scan(after=after, limit=limit)
        return sorted([*damaged, *whole], key=lambda record: str(record.guid))[:limit]


class TestDamagedRecords:
    async def test_they_are_named_and_hold_up_nothing(
        self, contents: InMemoryContentStore, clock: InMemoryClock
    ) -> None:
        images = DamagedImageRepository()
        await keep(images, contents, count=1)
        content = ImageFactory.build()
        await put(contents, images.damaged[-1], b"bytes")
        await put(contents, content.content_key, b"bytes")

        report = await checker(images, contents, clock, Recovery(images, clock))(repair=True)

        assert report.images == 3
        assert [(finding.kind, finding.name) for finding in report.findings] == [
            (FindingKind.RECORD_DAMAGED, images.damaged[0]),
            (FindingKind.CONTENT_WITHOUT_IMAGE, str(content.guid)),
            (FindingKind.RECORD_DAMAGED, images.damaged[1]),
        ]
        # It may be the content of that record.
        assert (await contents.open(ContentKey(images.damaged[-1]))).byte_size == 5


class TestQuarantine:
    """The items in quarantine are listed, and judged again with `repair`."""

    @pytest.fixture
    async def failed(self, images: InMemoryImageRepository, contents: InMemoryContentStore) -> Image:
        """Add an image that has failed and has something in quarantine that is no picture."""
        image = await images.add(FailedImageFactory.build())
        await put_quarantined(contents, image.content_key, b"no picture")
        return image

    async def test_it_is_listed_and_is_no_finding(self, check_consistency: CheckConsistency, failed: Image) -> None:
        for repair in (False, True):
            report = await check_consistency(repair=repair)
            assert (report.remaining, report.findings) == (0, [])
            assert (report.quarantined, report.restored) == (1, 0)
            (found,) = report.quarantine
            assert (found.item.key, found.item.byte_size) == (failed.content_key, 10)
            assert (found.status, found.failure, found.is_restored) == (ImageStatus.FAILED, failed.failure, False)

    async def test_an_item_without_an_image_is_listed_without_a_status(
        self, check_consistency: CheckConsistency, contents: InMemoryContentStore, picture: bytes
    ) -> None:
        for key in (ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11"), ContentKey("no-guid")):
            await put_quarantined(contents, key, picture)
        report = await check_consistency(repair=True)
        assert [found.status for found in report.quarantine] == [None, None]
        assert len(await quarantined(contents)) == 2

    @pytest.mark.parametrize("factory", [FailedImageFactory, UnknownImageFactory])
    async def test_an_item_that_is_now_a_picture_makes_its_image_ready_only_with_repair(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        picture: bytes,
        factory: type[FailedImageFactory],
    ) -> None:
        image = await images.add(factory.build())
        await put_quarantined(contents, image.content_key, picture)
        assert (await check_consistency()).restored == 0
        assert await images.get(image.guid) == image
        report = await check_consistency(repair=True)
        assert (report.quarantined, report.restored, report.remaining) == (1, 1, 0)
        ready = await images.get(image.guid)
        assert (ready.status, ready.failure) == (ImageStatus.READY, None)
        assert ready.ready_content.sha256 == hashlib.sha256(picture).hexdigest()
        assert await read(contents, image.content_key) == picture
        assert await quarantined(contents) == {}
        again = await check_consistency()
        assert (again.quarantined, again.remaining) == (0, 0)

    async def test_of_several_things_the_picture_is_shown_and_the_others_stay(
        self, check_consistency: CheckConsistency, failed: Image, contents: InMemoryContentStore, picture: bytes
    ) -> None:
        for data in (picture, b"neither"):
            await put_quarantined(contents, failed.content_key, data)
        assert (await check_consistency(repair=True)).restored == 1
        assert await read(contents, failed.content_key) == picture
        assert sorted((await quarantined(contents)).values()) == [b"neither", b"no picture"]

    @pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory, ImageFactory])
    async def test_an_image_that_has_not_failed_is_left_alone(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        picture: bytes,
        factory: type[ImageFactory],
    ) -> None:
        image = await (images.add if factory is ImageFactory else partial(held, images))(factory.build())
        await put_quarantined(contents, image.content_key, picture)
        report = await check_consistency(repair=True)
        assert (report.quarantined, report.restored) == (1, 0)
        assert await images.get(image.guid) == image
        assert await quarantined(contents) == {image.content_key: picture}

    async def test_a_repair_that_is_interrupted_is_completed_the_next_time(
        self, images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        image = await images.add(FailedImageFactory.build())
        picture = await a_picture()
        await put_quarantined(contents, image.content_key, picture)
        # As a process leaves it that is killed between the copy and the record.
        await put(contents, image.content_key, picture)
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert report.remaining == 0
        assert (await images.get(image.guid)).status is ImageStatus.READY
        assert await quarantined(contents) == {image.content_key: picture}

    async def test_an_image_that_is_deleted_meanwhile_leaves_no_bytes(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        image = await images.add(FailedImageFactory.build())

        class DeletingContentStore(InMemoryContentStore):
            async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
                await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
                await self.delete(key)
                return await super().put(key, chunks)

        contents = DeletingContentStore()
        await put_quarantined(contents, image.content_key, await a_picture())
        assert (await checker(images, contents, clock, recovery)(repair=True)).restored == 0
        assert await keys_in(contents) == []
        assert await quarantined(contents) == {}

    async def test_a_store_that_is_full_leaves_everything_as_it_is(
        self, images: InMemoryImageRepository, clock: InMemoryClock, recovery: Recovery
    ) -> None:
        class FullContentStore(InMemoryContentStore):
            async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
                raise ContentStoreError("The content store is full.")

        contents, picture = FullContentStore(), await a_picture()
        image = await images.add(FailedImageFactory.build())
        await put_quarantined(contents, image.content_key, picture)
        report = await checker(images, contents, clock, recovery)(repair=True)
        assert (report.quarantined, report.restored) == (1, 0)
        assert await images.get(image.guid) == image
        assert await quarantined(contents) == {image.content_key: picture}

    async def test_a_picture_in_the_place_of_a_failed_image_makes_it_ready(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
    ) -> None:
        image = await images.add(FailedImageFactory.build())
        await put(contents, image.content_key, await a_picture())
        assert (await check_consistency(repair=True)).remaining == 0
        assert (await images.get(image.guid)).status is ImageStatus.READY
        assert await quarantined(contents) == {}

    @pytest.mark.parametrize("is_old", [False, True])
    async def test_an_unknown_images_content_that_is_no_picture_is_quarantined_after_an_hour(
        self,
        check_consistency: CheckConsistency,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        clock: InMemoryClock,
        is_old: bool,
    ) -> None:
        age = timedelta(hours=2) if is_old else timedelta(minutes=30)
        image = await images.add(UnknownImageFactory.build(updated_at=clock.now() - age))
        await put(contents, image.content_key, b"no picture")
        report = await check_consistency(repair=True)
        stored = await images.get(image.guid)
        if not is_old:
            assert (report.remaining, stored) == (1, image)
            assert await read(contents, image.content_key) == b"no picture"
            return
        assert report.remaining == 0
        assert stored.failure is not None
        assert (stored.status, stored.failure.maybe_billed) == (ImageStatus.FAILED, True)
        assert stored.failure.detail.endswith(QUARANTINE_NOTE)
        assert await quarantined(contents) == {image.content_key: b"no picture"}
        assert (await check_consistency()).quarantined == 1


async def put_quarantined(contents: ContentPorts, key: ContentKey, data: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await contents.put_quarantined(key, chunks())


async def a_picture() -> bytes:
    return (await InMemoryImageGenerator().generate(GenerationRequest(prompt="a lighthouse"))).data


async def test_a_turned_picture_is_right_either_way_and_repair_stores_what_is_shown(
    check_consistency: CheckConsistency, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    data = odd_pictures.encoded(odd_pictures.gradient(80, 40), "JPEG", exif=b"Exif\0\0" + odd_pictures.exif(6))
    shown = await PillowContentInspector().inspect(StoredContent(len(data), pieces(data)))
    image = await images.add(ImageFactory.build(content=exchanged(shown)))
    await contents.put(image.content_key, pieces(data))
    assert (await check_consistency()).remaining == 0
    assert await images.get(image.guid) == image
    assert (await check_consistency(repair=True)).found == {}
    assert (await images.get(image.guid)).content == shown


class TestPartialImages:
    """What a crash left in the area of partial images."""

    @pytest.fixture
    def area(self) -> ContentStoreWithOrphans:
        return ContentStoreWithOrphans()

    @pytest.fixture
    def check_consistency(self, check_consistency: CheckConsistency, area: ContentStoreWithOrphans) -> CheckConsistency:
        return dataclasses.replace(check_consistency, partials=area)

    async def test_those_of_images_that_are_not_being_made_are_found_and_deleted(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, area: ContentStoreWithOrphans
    ) -> None:
        ended = [await images.add(factory.build()) for factory in (FailedImageFactory, UnknownImageFactory)]
        living = [await held(images, factory.build()) for factory in (PendingImageFactory, GeneratingImageFactory)]
        strays = {
            *(partial_key_of(image.guid, 0) for image in ended),
            partial_key_of(uuid4(), 2),
            ContentKey("not-of-an-image"),
        }
        kept = [partial_key_of(image.guid, 1) for image in living]
        for key in (*strays, *kept):
            await put(area, key, b"picture")

        for repair in (False, True):
            report = await check_consistency(repair=repair)
            assert report.findings == [
                Finding(kind=FindingKind.ORPHAN_PARTIALS, name=key, is_repaired=repair) for key in sorted(strays)
            ]
            assert report.contents == 0
        assert (await check_consistency()).findings == []
        assert await keys_in(area) == sorted(kept)

    async def test_those_of_a_damaged_record_are_deleted(self, clock: InMemoryClock) -> None:
        images, area = DamagedImageRepository(), InMemoryContentStore()
        key = partial_key_of(UUID(images.damaged[-1]), 0)
        await put(area, key, b"picture")
        check = dataclasses.replace(
            checker(images, InMemoryContentStore(), clock, Recovery(images, clock)), partials=area
        )

        report = await check(repair=True)

        assert report.repaired == {FindingKind.ORPHAN_PARTIALS: 1}
        assert await keys_in(area) == []

    async def test_broken_uploads_among_them_are_deleted_after_an_hour(
        self, check_consistency: CheckConsistency, area: ContentStoreWithOrphans
    ) -> None:
        area.orphans = {"old.part": timedelta(hours=2), "new.part": timedelta(minutes=59)}
        await area.put_quarantined(ContentKey("quarantined-before"), _chunks(b"half"))

        report = await check_consistency(repair=True)

        assert report.findings == [Finding(kind=FindingKind.ORPHAN_PARTIALS, name="old.part", is_repaired=True)]
        assert list(area.orphans) == ["new.part"]
        assert await quarantined(area) == {}

    async def test_one_that_can_not_be_deleted_stays_a_finding(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository
    ) -> None:
        class BrokenArea(InMemoryContentStore):
            async def delete(self, key: ContentKey) -> None:
                raise ContentStoreError(f"The store can't delete {key}.")

        area = BrokenArea()
        await put(area, partial_key_of(uuid4(), 0), b"picture")

        report = await dataclasses.replace(check_consistency, partials=area)(repair=True)

        assert report.remaining == 1

    async def test_those_of_an_abandoned_image_go_with_its_recovery(
        self, check_consistency: CheckConsistency, images: InMemoryImageRepository, area: ContentStoreWithOrphans
    ) -> None:
        image = await images.add(GeneratingImageFactory.build())
        await put(area, partial_key_of(image.guid, 0), b"picture")

        assert FindingKind.ORPHAN_PARTIALS not in (await check_consistency()).found


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data
