"""Use case: finish interrupted deletions."""

from dataclasses import dataclass

from pixyproxy.domain.content import content_key_of
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import ContentStore, ImageDeletions


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishDeletions:
    """Delete the content of all deleted images that no process holds, and return how many there were.

    Several processes may run this at once: each holds its images for `lease_seconds`. Raises `DBConnectionError`, and
    `ContentStoreError` once it has deleted all that the store allows; the next run does the rest.
    """

    deletions: ImageDeletions
    contents: ContentStore
    lease_seconds: float = 60.0
    batch: int = 100

    async def __call__(self) -> int:
        finished = 0
        failed: ContentStoreError | None = None
        while guids := await self.deletions.claim_deletions(limit=self.batch, lease_seconds=self.lease_seconds):
            for guid in guids:
                try:
                    await self.contents.delete(content_key_of(guid))
                except ContentStoreError as exc:
                    failed = exc
                else:
                    await self.deletions.finish_deletion(guid)
                    finished += 1
        if failed is not None:
            raise failed
        return finished
