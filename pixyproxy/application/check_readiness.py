"""Use case: can requests be served right now?"""

from dataclasses import dataclass

from pixyproxy.domain.ports import ContentStore, ImageRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReadiness:
    """Return if database and content store both work; raise `DBConnectionError` or `ContentStoreError` if not."""

    images: ImageRepository
    contents: ContentStore

    async def __call__(self) -> None:
        await self.images.check()
        await self.contents.check()
