"""Use case: check that the ledger of uploads, their bytes and the images agree."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pixyproxy.application.check_consistency import FINDINGS_MAX_COUNT, PAGE_SIZE, Finding, FindingKind
from pixyproxy.application.digest_check import DigestCheck, find_sha256
from pixyproxy.domain.errors import ConstraintViolationError, ContentStoreError
from pixyproxy.domain.ports import ContentPorts, UploadRecord, Uploads
from pixyproxy.domain.reference import upload_key_of

# A slow upload may wait for the next file of its request.
UNFINISHED_AGE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUploads:
    """Return a finding for each upload that an image refers to and that is missing or damaged, and for each stray one.

    A stray upload has no image and is not held, or is not in the ledger, or is a file of an upload that broke off more
    than a day ago. With `repair` strays are deleted, or entered in the ledger if an image refers to them. `digests`
    says which digests are compared. Looks at 1,000 strays at most.

    Raises `DBConnectionError`, and `ContentStoreError` for a store that can't be listed.
    """

    uploads: Uploads
    upload_contents: ContentPorts
    sweep_uploads: Callable[[], Awaitable[object]]

    async def __call__(self, *, repair: bool, digests: DigestCheck) -> Sequence[Finding]:
        found: list[Finding] = []
        suspects: list[str] = []
        async for record, is_stored in self._pairs():
            kind = await self._kind(record, is_stored=is_stored, digests=digests)
            if kind is FindingKind.ORPHAN_UPLOADS and len(suspects) < FINDINGS_MAX_COUNT:
                suspects.append(record.sha256)
            elif kind is not None and await self._is_still(kind, record.sha256, digests=digests):
                found.append(Finding(kind=kind, name=record.sha256, is_repaired=False))
        strays = [sha256 for sha256 in suspects if await self._is_stray(sha256)]
        unfinished = await self.upload_contents.list_orphans(older_than=UNFINISHED_AGE)
        if repair:
            await self._repair(strays, unfinished)
        left = set(await self.upload_contents.list_orphans(older_than=UNFINISHED_AGE))
        left |= {sha256 for sha256 in strays if await self._is_stray(sha256)}
        return found + [
            Finding(kind=FindingKind.ORPHAN_UPLOADS, name=name, is_repaired=name not in left)
            for name in (*strays, *unfinished)
        ]

    async def _pairs(self) -> AsyncIterator[tuple[UploadRecord, bool]]:
        """Yield every upload that is listed, referred to or stored, once, in the order of their SHA-256s."""
        records, keys = self._scan(), self.upload_contents.keys()
        record, key = await anext(records, None), await anext(keys, None)
        while record is not None or key is not None:
            recorded = record.sha256 if record is not None else None
            sha256 = min(name for name in (recorded, key) if name is not None)
            is_recorded, is_stored = recorded == sha256, key == sha256
            yield record if record is not None and is_recorded else _unknown(sha256), is_stored
            if is_recorded:
                record = await anext(records, None)
            if is_stored:
                key = await anext(keys, None)

    async def _scan(self) -> AsyncIterator[UploadRecord]:
        after = ""
        while page := await self.uploads.scan_uploads(after=after, limit=PAGE_SIZE):
            for record in page:
                yield record
            after = page[-1].sha256

    async def _kind(self, record: UploadRecord, *, is_stored: bool, digests: DigestCheck) -> FindingKind | None:
        if not record.is_used:
            is_stray = (record.is_listed or is_stored) and not record.is_held
            return FindingKind.ORPHAN_UPLOADS if is_stray else None
        if not is_stored:
            return FindingKind.UPLOAD_MISSING
        if digests is not DigestCheck.NONE and not await self._is_whole(record.sha256, digests):
            return FindingKind.UPLOAD_DAMAGED
        return None if record.is_listed else FindingKind.ORPHAN_UPLOADS

    async def _is_still(self, kind: FindingKind, sha256: str, *, digests: DigestCheck) -> bool:
        return kind is await self._current_kind(sha256, digests=digests)

    async def _is_stray(self, sha256: str) -> bool:
        return await self._current_kind(sha256, digests=DigestCheck.NONE) is FindingKind.ORPHAN_UPLOADS

    async def _current_kind(self, sha256: str, *, digests: DigestCheck) -> FindingKind | None:
        # No other upload comes between this beginning and the whole.
        records = await self.uploads.scan_uploads(after=sha256[:-1], limit=1)
        record = records[0] if records and records[0].sha256 == sha256 else _unknown(sha256)
        return await self._kind(record, is_stored=await self._is_stored(sha256), digests=digests)

    async def _is_stored(self, sha256: str) -> bool:
        try:
            return await self.upload_contents.find_content(upload_key_of(sha256)) is not None
        except ContentStoreError:
            # It exists, although it can't be opened.
            return True

    async def _is_whole(self, sha256: str, digests: DigestCheck) -> bool:
        key = upload_key_of(sha256)
        try:
            found = await self.upload_contents.find_content(key)
            return found is not None and await find_sha256(self.upload_contents, key, found, digests) == sha256
        except ContentStoreError:
            return False

    async def _repair(self, strays: Sequence[str], unfinished: Sequence[str]) -> None:
        for sha256 in strays:
            # Then it is listed, and unused, if no image refers to it.
            with suppress(ConstraintViolationError):
                await self.uploads.hold(sha256, seconds=0.0)
        with suppress(ContentStoreError):
            await self.sweep_uploads()
            for name in unfinished:
                await self.upload_contents.quarantine_orphan(name)
            for item in await self.upload_contents.list_quarantine():
                await self.upload_contents.delete_quarantined(item.name)


def _unknown(sha256: str) -> UploadRecord:
    return UploadRecord(sha256=sha256, is_listed=False, is_used=False, is_held=False)
