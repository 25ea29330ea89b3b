"""Use case: check that the ledger of uploads, their bytes and the images agree."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pixyproxy.application.check_consistency import FINDINGS_MAX_COUNT, PAGE_SIZE, Finding, FindingKind
from pixyproxy.domain.errors import ConstraintViolationError, ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import ContentPorts, UploadRecord, Uploads
from pixyproxy.domain.reference import upload_key_of

# A slow upload may wait for the next file of its request.
UNFINISHED_AGE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUploads:
    """Return a finding for each upload that an image refers to and that is missing or damaged, and for each stray one.

    A stray upload has no image and is not held, or is not in the ledger, or is a file of an upload that broke off more
    than a day ago. With `repair` strays are deleted, or entered in the ledger if an image refers to them. Without
    `with_digests` no bytes are read. Looks at 1,000 strays at most.

    Raises `DBConnectionError`, and `ContentStoreError` for a store that can't be listed.
    """

    uploads: Uploads
    upload_contents: ContentPorts
    sweep_uploads: Callable[[], Awaitable[object]]

    async def __call__(self, *, repair: bool, with_digests: bool) -> Sequence[Finding]:
        found: list[Finding] = []
        suspects: list[str] = []
        async for record, is_stored in self._pairs():
            kind = await self._kind(record, is_stored=is_stored, with_digests=with_digests)
            if kind is FindingKind.ORPHAN_UPLOADS and len(suspects) < FINDINGS_MAX_COUNT:
                suspects.append(record.sha256)
            elif kind is not None and await self._is_still(kind, record.sha256, with_digests=with_digests):
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

    async def _kind(self, record: UploadRecord, *, is_stored: bool, with_digests: bool) -> FindingKind | None:
        if not record.is_used:
            is_stray = (record.is_listed or is_stored) and not record.is_held
            return FindingKind.ORPHAN_UPLOADS if is_stray else None
        if not is_stored:
            return FindingKind.UPLOAD_MISSING
        if with_digests and not await self._is_whole(record.sha256):
            return FindingKind.UPLOAD_DAMAGED
        return None if record.is_listed else FindingKind.ORPHAN_UPLOADS

    async def _is_still(self, kind: FindingKind, sha256: str, *, with_digests: bool) -> bool:
        return kind is await self._current_kind(sha256, with_digests=with_digests)

    async def _is_stray(self, sha256: str) -> bool:
        return await self._current_kind(sha256, with_digests=False) is FindingKind.ORPHAN_UPLOADS

    async def _current_kind(self, sha256: str, *, with_digests: bool) -> FindingKind | None:
        # No other upload comes between this beginning and the whole.
        records = await self.uploads.scan_uploads(after=sha256[:-1], limit=1)
        record = records[0] if records and records[0].sha256 == sha256 else _unknown(sha256)
        return await self._kind(record, is_stored=await self._is_stored(sha256), with_digests=with_digests)

    async def _is_stored(self, sha256: str) -> bool:
        try:
            await self.upload_contents.open(upload_key_of(sha256))
        except ContentNotFoundError:
            return False
        except ContentStoreError:
            # It exists, although it can't be opened.
            return True
        return True

    async def _is_whole(self, sha256: str) -> bool:
        digest = hashlib.sha256()
        try:
            async for chunk in (await self.upload_contents.open(upload_key_of(sha256))).chunks:
                digest.update(chunk)
        except ContentStoreError:
            return False
        return digest.hexdigest() == sha256

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
