"""Use case: check that records and contents are consistent, and repair what needs no guessing."""

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

import msgspec

from pixyproxy.application.digest_check import DigestCheck, find_sha256
from pixyproxy.application.generate_image import QUARANTINE_NOTE
from pixyproxy.application.in_order import in_order
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.application.progress import no_progress
from pixyproxy.domain.content import ContentKey, image_of_partial
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    DamagedRecordError,
    GenerationFailedError,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import (
    Clock,
    ContentInspector,
    ContentMaintenance,
    ContentPorts,
    ContentStore,
    DamagedRecord,
    FoundContent,
    ImageDeletions,
    ImageLeases,
    ImageMaintenance,
    ImageRepository,
    Quarantine,
    Quarantined,
    VariantStore,
)

FINDINGS_MAX_COUNT: Final = 1_000
LEASES_MAX_COUNT: Final = 10_000
ORPHAN_AGE: Final = timedelta(hours=1)
UNKNOWN_AGE: Final = timedelta(hours=1)
PAGE_SIZE: Final = 200
COMPARED_AT_ONCE: Final = 8


class FindingKind(StrEnum):
    """The kinds of inconsistency."""

    RECORD_DAMAGED = "record-damaged"
    CONTENT_MISSING = "content-missing"
    CONTENT_UNREADABLE = "content-unreadable"
    SIZE_DIFFERS = "size-differs"
    DIGEST_DIFFERS = "digest-differs"
    CONTENT_WITHOUT_IMAGE = "content-without-image"
    CONTENT_UNCLAIMED = "content-unclaimed"
    UNKNOWN_WITH_CONTENT = "unknown-with-content"
    ABANDONED = "abandoned"
    DELETION_UNFINISHED = "deletion-unfinished"
    ORPHAN = "leftover"
    ORPHAN_VARIANTS = "stray-variants"
    ORPHAN_PARTIALS = "stray-partials"
    UPLOAD_MISSING = "upload-missing"
    UPLOAD_DAMAGED = "upload-damaged"
    ORPHAN_UPLOADS = "stray-uploads"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One inconsistency, the `name` of what it affects (a guid, key or orphan), and whether it was repaired."""

    kind: FindingKind
    name: str
    is_repaired: bool


class QuarantinedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item in quarantine, with the status of its image, if any, and the reason of its failure.

    `is_restored` is true if the item is a picture after all, and its image is ready now.
    """

    item: Quarantined
    status: ImageStatus | None = None
    failure: Failure | None = None
    is_restored: bool = False


class ConsistencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The number of images and contents checked, and the findings.

    `found` and `repaired` count the findings of each kind; `findings` has the first 1,000 of each kind. Abandoned
    images, unfinished deletions, orphaned variants and orphaned partial images are counted up to 1,000. `quarantined`
    counts the items in quarantine, which are no findings, `restored` those that became pictures; `quarantine` has the
    first 1,000.
    """

    images: int
    contents: int
    quarantined: int = 0
    restored: int = 0
    quarantine: Sequence[QuarantinedItem] = ()
    found: Mapping[FindingKind, int]
    repaired: Mapping[FindingKind, int]
    findings: Sequence[Finding]

    @property
    def remaining(self) -> int:
        """The number of findings that were not repaired."""
        return sum(self.found.values()) - sum(self.repaired.values())


class UploadCheck(Protocol):
    """A check of uploads: `CheckUploads`."""

    @abstractmethod
    async def __call__(self, *, repair: bool, digests: DigestCheck) -> Sequence[Finding]:
        """Return the findings, after the repairs if wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConsistency:
    """Compare every record with its content, and every content with its record, beside a running service.

    With `repair` it recovers abandoned images (by calling `recover`), finishes deletions (by calling
    `finish_deletions`), makes failed and unknown images ready whose bytes are a picture, in their place or in
    quarantine, moves other content without a record and orphans into quarantine, and deletes orphaned variants and, in
    the area `partials`, which is optional, the partial images of images that are not being made. With `check_uploads`
    it checks uploads, too. `digests` says which digests it compares. `on_progress` gets the number of images checked
    after each. While images are being made, it takes at least as long as a lease. Memory grows with the quarantine, not
    with the number of images.

    Raises `DBConnectionError`, and `ContentStoreError` for a store that can't be listed.
    """

    images: ImageRepository
    leases: ImageLeases
    deletions: ImageDeletions
    image_maintenance: ImageMaintenance
    contents: ContentStore
    variants: VariantStore
    quarantine: Quarantine
    content_maintenance: ContentMaintenance
    inspector: ContentInspector
    clock: Clock
    correct_size: Callable[[Image], Awaitable[bool]]
    recover: Callable[[], Awaitable[object]]
    finish_deletions: Callable[[], Awaitable[object]]
    lease_watch: LeaseWatch = field(default_factory=LeaseWatch)
    partials: ContentPorts | None = None
    check_uploads: UploadCheck | None = None

    async def __call__(
        self,
        *,
        repair: bool = False,
        digests: DigestCheck = DigestCheck.KEPT,
        on_progress: Callable[[int], None] = no_progress,
    ) -> ConsistencyReport:
        tally = _Tally()
        # Take a snapshot first: live work moves on.
        await self._abandoned()
        deletions, orphans = await self._deletions(), await self._orphans()
        orphan_partials = await self._orphan_partials()
        orphan_variants: set[ContentKey] = set()
        # A store may be far away: compare a few at once.
        comparison = in_order(
            self._pairs(), lambda pair: self._compared(*pair, digests=digests), at_once=COMPARED_AT_ONCE
        )
        async with aclosing(comparison):
            async for key, image, is_stored, difference in comparison:
                tally.images += image is not None
                tally.contents += is_stored
                if isinstance(image, DamagedRecord):
                    tally.add(Finding(kind=FindingKind.RECORD_DAMAGED, name=image.guid, is_repaired=False))
                elif image is None and not is_stored and len(orphan_variants) < FINDINGS_MAX_COUNT:
                    orphan_variants.add(key)
                elif difference is not None:
                    await self._recheck(key, tally, repair=repair, digests=digests)
                elif repair and image is not None:
                    with suppress(ContentStoreError):
                        await self.correct_size(image)
                if image is not None:
                    on_progress(tally.images)
        await self._check_leases(tally, repair=repair)
        await self._recheck_at_deletions(deletions, tally, repair=repair)
        await self._recheck_at_orphans(orphans, tally, repair=repair)
        await self._recheck_at_orphan_variants(orphan_variants, tally, repair=repair)
        await self._recheck_at_orphan_partials(orphan_partials, tally, repair=repair)
        if self.check_uploads is not None:
            for finding in await self.check_uploads(repair=repair, digests=digests):
                tally.add(finding)
        for item in await self.quarantine.list_quarantine():
            tally.add_quarantined(await self._judge(item, repair=repair))
        return tally.report()

    async def _pairs(self) -> AsyncIterator[tuple[ContentKey, Image | DamagedRecord | None, bool]]:
        """Yield every key of a record, a content or variants, once: with the record, if any, and if there is a content.

        All three come in the order of their keys, so that they are compared like the pages of sorted lists.
        """
        records, keys = self._scan(), self.content_maintenance.keys()
        keys_of_variants = self.content_maintenance.keys_of_variants()
        record, stored = await anext(records, None), await anext(keys, None)
        varied = await anext(keys_of_variants, None)
        while record is not None or stored is not None or varied is not None:
            guid = ContentKey(str(record.guid)) if record is not None else None
            key = min(key for key in (guid, stored, varied) if key is not None)
            yield key, record if key == guid else None, key == stored
            if key == guid:
                record = await anext(records, None)
            if key == stored:
                stored = await anext(keys, None)
            if key == varied:
                varied = await anext(keys_of_variants, None)

    async def _scan(self) -> AsyncIterator[Image | DamagedRecord]:
        after = ""
        while page := await self.image_maintenance.scan(after=after, limit=PAGE_SIZE):
            for record in page:
                yield record
            after = str(page[-1].guid)

    async def _compared(
        self, key: ContentKey, image: Image | DamagedRecord | None, is_stored: bool, *, digests: DigestCheck
    ) -> tuple[ContentKey, Image | DamagedRecord | None, bool, FindingKind | None]:
        """Return the pair with its difference."""
        if isinstance(image, DamagedRecord) or (image is None and not is_stored):
            return key, image, is_stored, None
        return key, image, is_stored, await self._difference(key, image, digests=digests)

    async def _recheck(self, key: ContentKey, tally: "_Tally", *, repair: bool, digests: DigestCheck) -> None:
        """Compare a record and its content again; add a finding if they still differ, after a repair if wanted."""
        image = await self._find(key)
        kind = await self._difference(key, image, digests=digests)
        if kind is None:
            return
        is_repaired = repair and await self._repair(kind, key, image, digests=digests)
        tally.add(Finding(kind=kind, name=key, is_repaired=is_repaired))

    async def _check_leases(self, tally: "_Tally", *, repair: bool) -> None:
        names = await self._abandoned()
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self.lease_watch.seconds_left
        while (seconds := ends_at - clock()) > 0:
            await asyncio.sleep(min(seconds, self.lease_watch.seconds / 3))
            names = await self._abandoned()
        left = names
        if names and repair:
            await self.recover()
            left = {str(lease.guid) for lease in await self.leases.list_leases(limit=LEASES_MAX_COUNT)}
        tally.add_all(FindingKind.ABANDONED, names, left)

    async def _recheck_at_deletions(self, names: set[str], tally: "_Tally", *, repair: bool) -> None:
        names &= await self._deletions()
        if names and repair:
            with suppress(ContentStoreError):
                await self.finish_deletions()
        left = {name for name in names if await self.deletions.is_being_deleted(UUID(name))}
        tally.add_all(FindingKind.DELETION_UNFINISHED, names, left)

    async def _recheck_at_orphans(self, names: set[str], tally: "_Tally", *, repair: bool) -> None:
        names &= await self._orphans()
        if repair:
            for name in names:
                await self.content_maintenance.quarantine_orphan(name)
        tally.add_all(FindingKind.ORPHAN, names, await self._orphans())

    async def _recheck_at_orphan_variants(self, keys: set[ContentKey], tally: "_Tally", *, repair: bool) -> None:
        keys = await self._orphan_variants_among(keys)
        if repair:
            for key in keys:
                with suppress(ContentStoreError):
                    await self.variants.delete_variants(key)
        tally.add_all(FindingKind.ORPHAN_VARIANTS, set(keys), set(await self._orphan_variants_among(keys)))

    async def _recheck_at_orphan_partials(self, names: set[str], tally: "_Tally", *, repair: bool) -> None:
        names &= await self._orphan_partials()
        if names and repair and self.partials is not None:
            uploads = await self.partials.list_orphans(older_than=ORPHAN_AGE)
            for name in names:
                with suppress(ContentStoreError):
                    if name in uploads:
                        await self.partials.quarantine_orphan(name)
                    else:
                        await self.partials.delete(ContentKey(name))
            # Nothing in this area was paid for by itself.
            for item in await self.partials.list_quarantine():
                with suppress(ContentStoreError):
                    await self.partials.delete_quarantined(item.name)
        tally.add_all(FindingKind.ORPHAN_PARTIALS, names, await self._orphan_partials())

    async def _difference(self, key: ContentKey, image: Image | None, *, digests: DigestCheck) -> FindingKind | None:
        """Return the current inconsistency between an image and the content under its key, if any."""
        if image is not None and not image.status.is_final:
            return None
        missing = FindingKind.CONTENT_MISSING if image is not None and image.content is not None else None
        try:
            found = await self.content_maintenance.find_content(key)
            return missing if found is None else await self._difference_from(found, key, image, digests)
        except ContentNotFoundError:
            return missing
        except DamagedContentError:
            # A store that keeps digests compares them itself.
            return FindingKind.DIGEST_DIFFERS
        except ContentStoreError:
            return FindingKind.CONTENT_UNREADABLE

    async def _difference_from(
        self, found: FoundContent, key: ContentKey, image: Image | None, digests: DigestCheck
    ) -> FindingKind | None:
        """Return the inconsistency between an image, which may be missing, and a content."""
        if image is None:
            return None if await self._is_being_deleted(key) else FindingKind.CONTENT_WITHOUT_IMAGE
        if image.content is None:
            return _UNEXPECTED[image.status]
        if found.byte_size != image.content.byte_size:
            return FindingKind.SIZE_DIFFERS
        sha256 = await find_sha256(self.contents, key, found, digests)
        return FindingKind.DIGEST_DIFFERS if sha256 not in {None, image.content.sha256} else None

    async def _repair(self, kind: FindingKind, key: ContentKey, image: Image | None, *, digests: DigestCheck) -> bool:
        """Repair what needs no guessing; return whether the finding is resolved."""
        try:
            if kind is FindingKind.CONTENT_WITHOUT_IMAGE:
                await self.quarantine.move_to_quarantine(key)
            elif kind in {FindingKind.CONTENT_UNCLAIMED, FindingKind.UNKNOWN_WITH_CONTENT} and image is not None:
                await self._claim(image)
            else:
                return False
        except (ContentStoreError, ConstraintViolationError, RecordNotFoundError):
            # Either it can't be repaired, or another process was faster; the comparison below tells.
            pass
        return await self._difference(key, await self._find(key), digests=digests) is None

    async def _claim(self, image: Image) -> None:
        """Make an image ready whose content is in its place; move content that is no picture into quarantine."""
        try:
            info = await self.inspector.inspect(await self.contents.open(image.content_key))
        except DamagedContentError:
            if image.status is ImageStatus.UNKNOWN:
                if self.clock.now() - image.updated_at < UNKNOWN_AGE:
                    # Its process may only be slow, and about to show it.
                    return
                reason = f"What the generator sent is no picture that can be shown. {QUARANTINE_NOTE}"
                failed = image.failed(GenerationFailedError(reason, maybe_billed=True), at=self.clock.now())
                await self.images.update(failed, expected=image.status)
            await self.quarantine.move_to_quarantine(image.content_key)
        else:
            await self.images.update(image.completed(info, at=self.clock.now()), expected=image.status)

    async def _judge(self, item: Quarantined, *, repair: bool) -> QuarantinedItem:
        """Describe one item in quarantine; with `repair` make its image ready if it is a picture."""
        try:
            image = await self._find(item.key) if item.key is not None else None
        except DamagedRecordError:
            image = None
        if image is None:
            return QuarantinedItem(item=item)
        judged = QuarantinedItem(item=item, status=image.status, failure=image.failure)
        if not repair or image.failure is None:
            return judged
        try:
            is_restored = await self._restore(item.name, image)
        except (ContentStoreError, ConstraintViolationError, RecordNotFoundError):
            # It is no picture, the store does not work, or another process was faster.
            return judged
        return msgspec.structs.replace(judged, is_restored=is_restored)

    async def _restore(self, name: str, image: Image) -> bool:
        info = await self.inspector.inspect(await self.quarantine.open_quarantined(name))
        if await self._has_content(image.content_key):
            return False
        # Copy instead of move, so that an interruption leaves at least one.
        await self.contents.put(image.content_key, (await self.quarantine.open_quarantined(name)).chunks)
        try:
            await self.images.update(image.completed(info, at=self.clock.now()), expected=image.status)
        except RecordNotFoundError:
            # It was deleted meanwhile; do not leave its bytes.
            await self.contents.delete(image.content_key)
            raise
        await self.quarantine.delete_quarantined(name)
        return True

    async def _has_content(self, key: ContentKey) -> bool:
        return await self.content_maintenance.find_content(key) is not None

    async def _orphan_variants_among(self, keys: set[ContentKey]) -> set[ContentKey]:
        """Return those of `keys` that have variants, but neither an image nor a content."""
        if not keys:
            return set()
        keys_of_variants = self.content_maintenance.keys_of_variants()
        return {key async for key in keys_of_variants if key in keys and await self._is_gone(key)}

    async def _is_gone(self, key: ContentKey) -> bool:
        """Whether there is no image, no content and no pending deletion."""
        if await self._find(key) is not None or await self._is_being_deleted(key):
            return False
        try:
            return not await self._has_content(key)
        except ContentStoreError:
            # It exists, although it can't be opened.
            return False

    async def _find(self, key: ContentKey) -> Image | None:
        try:
            image = await self.images.get(UUID(key))
        except (ValueError, RecordNotFoundError):
            return None
        # A guid can be written in several ways, and only one of them is a content's key.
        return image if image.content_key == key else None

    async def _is_being_deleted(self, key: ContentKey) -> bool:
        try:
            return await self.deletions.is_being_deleted(UUID(key))
        except ValueError:
            return False

    async def _deletions(self) -> set[str]:
        return set(map(str, await self.deletions.list_deletions(limit=FINDINGS_MAX_COUNT)))

    async def _abandoned(self) -> set[str]:
        leases = await self.leases.list_leases(limit=LEASES_MAX_COUNT)
        return {str(lease.guid) for lease in self.lease_watch.over(leases)}

    async def _orphan_partials(self) -> set[str]:
        """Return the partial images of images that are not being made, and broken uploads among partial images."""
        if self.partials is None:
            return set()
        names = set(await self.partials.list_orphans(older_than=ORPHAN_AGE))
        async for key in self.partials.keys():
            if len(names) >= FINDINGS_MAX_COUNT:
                break
            if not await self._is_being_made(image_of_partial(key)):
                names.add(key)
        return names

    async def _is_being_made(self, guid: UUID | None) -> bool:
        try:
            return guid is not None and not (await self.images.get(guid)).status.is_final
        except (RecordNotFoundError, DamagedRecordError):
            return False

    async def _orphans(self) -> set[str]:
        return set(await self.content_maintenance.list_orphans(older_than=ORPHAN_AGE))


_UNEXPECTED: Final = {
    ImageStatus.FAILED: FindingKind.CONTENT_UNCLAIMED,
    ImageStatus.UNKNOWN: FindingKind.UNKNOWN_WITH_CONTENT,
}


@dataclass(slots=True, kw_only=True)
class _Tally:
    """The findings so far."""

    images: int = 0
    contents: int = 0
    _found: Counter[FindingKind] = field(default_factory=Counter)
    _repaired: Counter[FindingKind] = field(default_factory=Counter)
    _findings: list[Finding] = field(default_factory=list)
    _quarantined: int = 0
    _restored: int = 0
    _quarantine: list[QuarantinedItem] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self._found[finding.kind] += 1
        self._repaired[finding.kind] += finding.is_repaired
        if self._found[finding.kind] <= FINDINGS_MAX_COUNT:
            self._findings.append(finding)

    def add_all(self, kind: FindingKind, names: set[str], left: set[str]) -> None:
        """Add a finding for each of `names`, repaired unless it is among those `left`."""
        for name in sorted(names):
            self.add(Finding(kind=kind, name=name, is_repaired=name not in left))

    def add_quarantined(self, item: QuarantinedItem) -> None:
        self._quarantined += 1
        self._restored += item.is_restored
        if self._quarantined <= FINDINGS_MAX_COUNT:
            self._quarantine.append(item)

    def report(self) -> ConsistencyReport:
        return ConsistencyReport(
            images=self.images,
            contents=self.contents,
            found={kind: self._found[kind] for kind in FindingKind if self._found[kind]},
            repaired={kind: self._repaired[kind] for kind in FindingKind if self._repaired[kind]},
            findings=self._findings,
            quarantined=self._quarantined,
            restored=self._restored,
            quarantine=self._quarantine,
        )
