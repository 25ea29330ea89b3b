"""The consistency check of uploads, and its repairs."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CheckUploads, SweepUploads
from pixyproxy.application.check_consistency import Finding, FindingKind
from pixyproxy.application.digest_check import DigestCheck
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import StoredContent, chunks_of
from pixyproxy.domain.reference import upload_key_of
from tests.contents import DigestKeepingStore, keys_in
from tests.factories import ImageFactory
from tests.uploads import request_for

DATA = [b"one", b"two", b"three"]
ONE, TWO, THREE = (hashlib.sha256(data).hexdigest() for data in DATA)


class StoreWithLeftovers(InMemoryContentStore):
    """Has files of uploads that broke off, and contents that can't be read."""

    def __init__(self) -> None:
        super().__init__()
        self.leftovers: dict[str, timedelta] = {}
        self.broken: set[str] = set()

    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
        return [name for name, age in self.leftovers.items() if age > older_than]

    async def quarantine_orphan(self, name: str) -> None:
        del self.leftovers[name]
        await self.put_quarantined(ContentKey(name), chunks_of(b"half"))

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        if key in self.broken:
            raise ContentStoreError("The content store does not work.")
        return await super().open(key, start=start, end=end)


@pytest.fixture
def upload_contents() -> StoreWithLeftovers:
    return StoreWithLeftovers()


@pytest.fixture
def check_uploads(images: InMemoryImageRepository, upload_contents: StoreWithLeftovers) -> CheckUploads:
    sweep_uploads = SweepUploads(uploads=images, upload_contents=upload_contents)
    return CheckUploads(uploads=images, upload_contents=upload_contents, sweep_uploads=sweep_uploads)


async def found(
    check_uploads: CheckUploads, *, repair: bool = False, digests: DigestCheck = DigestCheck.KEPT
) -> list[Finding]:
    return sorted(await check_uploads(repair=repair, digests=digests), key=lambda finding: (finding.kind, finding.name))


def finding(kind: FindingKind, name: str, *, is_repaired: bool = False) -> Finding:
    return Finding(kind=kind, name=name, is_repaired=is_repaired)


@pytest.fixture
async def used(images: InMemoryImageRepository, upload_contents: StoreWithLeftovers) -> str:
    """An upload that an image refers to."""
    await upload_contents.put(upload_key_of(ONE), chunks_of(b"one"))
    await images.hold(ONE, seconds=60.0)
    await images.add(ImageFactory.build(request=request_for(ONE)))
    await images.release(ONE)
    return ONE


@pytest.mark.parametrize("data", [None, b"another"])
async def test_an_upload_that_an_image_refers_to_is_checked_though_it_is_held(
    check_uploads: CheckUploads,
    images: InMemoryImageRepository,
    upload_contents: StoreWithLeftovers,
    used: str,
    data: bytes | None,
) -> None:
    """An import holds uploads for a day."""
    await images.hold(used, seconds=60.0)
    await upload_contents.delete(upload_key_of(used))
    if data is not None:
        await upload_contents.put(upload_key_of(used), chunks_of(data))

    kind = FindingKind.UPLOAD_MISSING if data is None else FindingKind.UPLOAD_DAMAGED
    assert await found(check_uploads) == [finding(kind, used)]


async def test_uploads_that_are_used_or_held_are_fine(
    check_uploads: CheckUploads, images: InMemoryImageRepository, upload_contents: StoreWithLeftovers, used: str
) -> None:
    await upload_contents.put(upload_key_of(TWO), chunks_of(b"two"))
    await images.hold(TWO, seconds=60.0)
    await images.hold(THREE, seconds=60.0)
    for repair in (False, True):
        assert await found(check_uploads, repair=repair) == []
    assert await keys_in(upload_contents) == sorted([used, TWO])


async def test_a_missing_upload_that_an_image_refers_to_is_found(
    check_uploads: CheckUploads, upload_contents: StoreWithLeftovers, used: str
) -> None:
    await upload_contents.delete(upload_key_of(used))
    for repair in (False, True):
        assert await found(check_uploads, repair=repair) == [finding(FindingKind.UPLOAD_MISSING, used)]


async def test_an_upload_with_other_bytes_is_found_if_bytes_are_read(
    check_uploads: CheckUploads, upload_contents: StoreWithLeftovers, used: str
) -> None:
    await upload_contents.put(upload_key_of(used), chunks_of(b"other"))
    assert await found(check_uploads, digests=DigestCheck.NONE) == []
    for repair in (False, True):
        assert await found(check_uploads, repair=repair) == [finding(FindingKind.UPLOAD_DAMAGED, used)]
    await upload_contents.put(upload_key_of(used), chunks_of(b"one"))
    upload_contents.broken.add(used)
    assert await found(check_uploads) == [finding(FindingKind.UPLOAD_DAMAGED, used)]


async def test_stray_uploads_are_found_and_deleted(
    check_uploads: CheckUploads, images: InMemoryImageRepository, upload_contents: StoreWithLeftovers, used: str
) -> None:
    """Bytes that are not listed, and listed ones with bytes and without."""
    await upload_contents.put(upload_key_of(TWO), chunks_of(b"two"))
    await images.hold(THREE, seconds=0.0)
    strays = sorted([TWO, THREE])
    assert await found(check_uploads) == [finding(FindingKind.ORPHAN_UPLOADS, name) for name in strays]
    repaired = [finding(FindingKind.ORPHAN_UPLOADS, name, is_repaired=True) for name in strays]
    assert await found(check_uploads, repair=True) == repaired
    assert await found(check_uploads) == []
    assert await keys_in(upload_contents) == [used]


async def test_an_upload_that_is_used_and_not_listed_is_listed(
    check_uploads: CheckUploads, images: InMemoryImageRepository, upload_contents: StoreWithLeftovers, used: str
) -> None:
    del images._uploads[used]
    assert await found(check_uploads) == [finding(FindingKind.ORPHAN_UPLOADS, used)]
    assert await found(check_uploads, repair=True) == [finding(FindingKind.ORPHAN_UPLOADS, used, is_repaired=True)]
    assert await found(check_uploads) == []
    assert await keys_in(upload_contents) == [used]
    await images.add(ImageFactory.build(request=request_for(used)))


async def test_files_of_uploads_that_broke_off_are_deleted_after_a_day(
    check_uploads: CheckUploads, upload_contents: StoreWithLeftovers
) -> None:
    upload_contents.leftovers = {"upload.old": timedelta(hours=25), "upload.new": timedelta(hours=23)}
    assert await found(check_uploads) == [finding(FindingKind.ORPHAN_UPLOADS, "upload.old")]
    assert await found(check_uploads, repair=True) == [
        finding(FindingKind.ORPHAN_UPLOADS, "upload.old", is_repaired=True)
    ]
    assert list(upload_contents.leftovers) == ["upload.new"]
    assert await upload_contents.list_quarantine() == []


async def test_an_upload_that_is_swept_meanwhile_is_no_finding(
    images: InMemoryImageRepository, upload_contents: StoreWithLeftovers
) -> None:
    await upload_contents.put(upload_key_of(TWO), chunks_of(b"two"))
    await images.hold(TWO, seconds=0.0)
    sweep_uploads = SweepUploads(uploads=images, upload_contents=upload_contents)

    class Busy(StoreWithLeftovers):
        def keys(self) -> AsyncIterator[ContentKey]:
            return self._keys()

        async def _keys(self) -> AsyncIterator[ContentKey]:
            async for key in upload_contents.keys():
                yield key
            await sweep_uploads()

    check = CheckUploads(uploads=images, upload_contents=Busy(), sweep_uploads=sweep_uploads)
    assert await found(check) == []


async def test_an_upload_whose_digest_the_store_keeps_is_read_only_on_demand(images: InMemoryImageRepository) -> None:
    contents = DigestKeepingStore()
    sweep_uploads = SweepUploads(uploads=images, upload_contents=contents)
    check_uploads = CheckUploads(uploads=images, upload_contents=contents, sweep_uploads=sweep_uploads)
    await images.hold(ONE, seconds=60)
    await images.add(ImageFactory.build(request=request_for(ONE)))
    await contents.put(upload_key_of(ONE), chunks_of(b"ONE"))
    contents.kept_digest_of[upload_key_of(ONE)] = ONE
    assert await found(check_uploads) == []
    assert contents.opened == []
    damaged = Finding(kind=FindingKind.UPLOAD_DAMAGED, name=ONE, is_repaired=False)
    assert await found(check_uploads, digests=DigestCheck.READ) == [damaged]
