"""Use case: delete the uploads that are no longer used."""

import asyncio
from dataclasses import dataclass

from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import ContentStore, Uploads
from pixyproxy.domain.reference import upload_key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepUploads:
    """Delete the uploads that no image refers to and nothing holds, and return how many there were.

    Several processes may run this at once: each claims its uploads for `lease_seconds`, and deletes them in half that
    time or leaves them to the next. Raises `DBConnectionError`, and `ContentStoreError` once it has deleted all that
    the store allows.
    """

    uploads: Uploads
    upload_contents: ContentStore
    lease_seconds: float = 60.0
    batch: int = 100

    async def __call__(self) -> int:
        swept = 0
        failed: ContentStoreError | None = None
        clock = asyncio.get_running_loop().time
        while True:
            # After the lease another process may have stored the same bytes again.
            ends_at = clock() + self.lease_seconds / 2
            claimed = await self.uploads.claim_unused(limit=self.batch, lease_seconds=self.lease_seconds)
            for sha256 in claimed:
                try:
                    async with asyncio.timeout_at(ends_at):
                        await self.upload_contents.delete(upload_key_of(sha256))
                        await self.uploads.finish_unused(sha256)
                except ContentStoreError as exc:
                    failed = exc
                except TimeoutError:
                    return swept
                else:
                    swept += 1
            if not claimed:
                break
        if failed is not None:
            raise failed
        return swept
