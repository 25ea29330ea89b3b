"""Use case: delete the content of images whose deletion was interrupted."""

from dataclasses import dataclass

from pixyproxy.domain.content import content_key_of
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import ContentStore, ImageDeletions


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishDeletions:
    """Delete the content of every deleted image that nobody is at work on, and return how many there were.

    Several processes may do it at once; for `lease_seconds` each keeps the others away from what it is at work on.
    Raises `DBConnectionError`, and `ContentStoreError` when it has done all but what the store refuses; what is left
    then is done the next time.
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
