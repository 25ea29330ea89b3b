"""Image records in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageCursor, ImageId, ImageStatus, Visibility, image_not_found
from pixyproxy.domain.ports import ImageRepository, Lease
from pixyproxy.domain.user import UserName


class InMemoryImageRepository(ImageRepository):
    """Keeps image records as long as the object lives; for tests and for hosts that need no more."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._images: dict[UUID, Image] = {}
        self._ids = count(1)
        self._leases: dict[UUID, tuple[str, datetime]] = {}
        self._claims: dict[tuple[UserName | None, IdempotencyKey], tuple[ClaimedImage, datetime]] = {}

    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        if image.guid in self._images:
            raise ConstraintViolationError("An image with this guid is stored already.")
        if claim is not None and (claim.author, claim.key) in self._claims:
            raise ConstraintViolationError("The idempotency key is taken.")
        stored = msgspec.structs.replace(image, id=ImageId(next(self._ids)))
        self._images[image.guid] = stored
        if lease is not None:
            self._leases[image.guid] = lease.owner, self._in(lease.seconds)
        if claim is not None:
            claimed = ClaimedImage(guid=image.guid, fingerprint=claim.fingerprint)
            self._claims[claim.author, claim.key] = claimed, self._in(claim_seconds)
        return stored

    async def get(self, guid: UUID) -> Image:
        try:
            return self._images[guid]
        except KeyError:
            raise image_not_found(guid) from None

    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        stored = await self.get(image.guid)
        if stored.status is not expected or (if_abandoned and self._is_leased(image.guid)):
            raise ConstraintViolationError("The image has been changed by somebody else.")
        self._images[image.guid] = msgspec.structs.replace(
            stored,
            status=image.status,
            filename=image.filename,
            content=image.content,
            usage=image.usage,
            failure=image.failure,
            generator_request_id=image.generator_request_id,
            updated_at=image.updated_at,
        )
        if image.status.is_final:
            self._leases.pop(image.guid, None)

    async def renew(self, guid: UUID, lease: Lease) -> None:
        owner, _ = self._leases.get(guid, (None, None))
        if owner == lease.owner:
            self._leases[guid] = owner, self._in(lease.seconds)

    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        abandoned = [
            image for image in self._images.values() if not image.status.is_final and not self._is_leased(image.guid)
        ]
        return sorted(abandoned, key=lambda image: (image.created_at, image.guid))[:limit]

    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        unknown = [
            image
            for image in self._images.values()
            if image.status is ImageStatus.UNKNOWN and image.updated_at >= since
        ]
        by_guid = sorted(unknown, key=lambda image: image.guid)
        return sorted(by_guid, key=lambda image: image.updated_at, reverse=True)[:limit]

    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        claimed, expires_at = self._claims.get((author, key), (None, self._now()))
        return claimed if expires_at > self._now() else None

    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        claimed, _ = self._claims.get((author, key), (None, None))
        if claimed is not None and claimed.guid == guid:
            del self._claims[author, key]

    async def forget_expired_claims(self) -> int:
        expired = [place for place, (_, expires_at) in self._claims.items() if expires_at <= self._now()]
        for place in expired:
            del self._claims[place]
        return len(expired)

    async def scan(self, *, after: UUID | None = None, limit: int) -> Sequence[Image]:
        guids = sorted(guid for guid in self._images if after is None or guid > after)
        return [self._images[guid] for guid in guids[:limit]]

    async def count(self) -> int:
        return len(self._images)

    async def list_public(self, *, limit: int, after: ImageCursor | None = None) -> Sequence[Image]:
        return self._list(lambda image: image.visibility is Visibility.PUBLIC, limit, after)

    async def list_authored_by(
        self, author: UserName, *, limit: int, after: ImageCursor | None = None
    ) -> Sequence[Image]:
        return self._list(lambda image: image.author == author, limit, after)

    async def check(self) -> None:
        return

    def _in(self, seconds: float) -> datetime:
        return self._now() + timedelta(seconds=seconds)

    def _is_leased(self, guid: UUID) -> bool:
        return guid in self._leases and self._leases[guid][1] > self._now()

    def _list(self, is_wanted: Callable[[Image], bool], limit: int, after: ImageCursor | None) -> Sequence[Image]:
        found = [
            image
            for image in self._images.values()
            if image.status is ImageStatus.READY
            and is_wanted(image)
            and (after is None or (image.created_at, image.guid) < (after.created_at, after.guid))
        ]
        return sorted(found, key=lambda image: (image.created_at, image.guid), reverse=True)[:limit]
