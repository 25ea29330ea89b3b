"""Image records in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageId, ImageStatus, image_conflict, image_not_found
from pixyproxy.domain.listing import (
    ChangePosition,
    ImageChange,
    ImageFilter,
    ImageOrder,
    ImagePosition,
    TagCount,
    TagFilter,
    changes_of,
    listed,
)
from pixyproxy.domain.ports import (
    ClaimOutcome,
    DamagedRecord,
    ImagePorts,
    Lease,
    RebuiltIndex,
    Unfinished,
    UploadRecord,
)
from pixyproxy.domain.reference import upload_being_deleted, upload_gone, uploads_in
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName


class _ListedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload in the ledger; without `held_until`, an image referred to it when that was over."""

    holds: int = 0
    held_until: datetime | None = None
    deleting_until: datetime | None = None


_UNLISTED: Final = _ListedUpload()


class _HeldLease(NamedTuple):
    """The owner of a lease, and the limit that its image counts against."""

    owner: str
    limited_by: str | None


class InMemoryImageRepository(ImagePorts):
    """Keeps image records as long as the object lives; for tests and for hosts without a database."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._images: dict[UUID, Image] = {}
        self._ids = count(1)
        self._leases: dict[UUID, _HeldLease] = {}
        self._renewals: Counter[UUID] = Counter()
        self._turns: dict[UserName | None, int] = {}
        self._turn_numbers = count(1)
        self._put_off_until: dict[UUID, datetime] = {}
        self._deletions: dict[UUID, datetime] = {}
        self._claims: dict[tuple[UserName | None, IdempotencyKey], tuple[ClaimedImage, datetime]] = {}
        self._attempts: dict[tuple[UserName | None, IdempotencyKey], int] = {}
        self._uploads: dict[str, _ListedUpload] = {}

    async def add(self, image: Image, *, claim: Claim | None = None) -> Image:
        (stored,) = await self.add_batch(image.guid, [image], claim=claim)
        return stored

    async def add_batch(self, guid: UUID, images: Sequence[Image], *, claim: Claim | None = None) -> Sequence[Image]:
        guids = {image.guid for image in images}
        if len(guids) < len(images) or not guids.isdisjoint(self._images):
            raise ConstraintViolationError("An image with this guid is stored already.")
        if not guids.isdisjoint(self._deletions):
            raise ConstraintViolationError("An image with this guid is being deleted.")
        if claim is not None:
            self._ensure_claimable(claim)
        for upload in uploads_in(picture for image in images for picture in image.request.pictures):
            entry = self._uploads.get(upload)
            if entry is None or entry.deleting_until is not None:
                raise upload_gone()
        stored = [msgspec.structs.replace(image, id=ImageId(next(self._ids))) for image in images]
        self._images |= {image.guid: image for image in stored}
        if claim is not None:
            claimed = ClaimedImage(guid=guid, fingerprint=claim.fingerprint)
            self._claims[claim.author, claim.key] = claimed, self._in(claim.seconds)
            if claim.is_order:
                self._attempts[claim.author, claim.key] = claim.attempt
        return stored

    async def list_batch(self, guid: UUID) -> Sequence[Image]:
        found = [
            (image.batch.position, image) for image in self._images.values() if image.batch and image.batch.guid == guid
        ]
        return [image for _, image in sorted(found, key=itemgetter(0))]

    async def get(self, guid: UUID) -> Image:
        try:
            return self._images[guid]
        except KeyError:
            raise image_not_found(guid) from None

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        stored = await self.get(image.guid)
        if stored.status is not expected:
            raise image_conflict()
        self._images[image.guid] = stored.with_state_of(image)
        self._put_off_until.pop(image.guid, None)
        if image.status is not ImageStatus.GENERATING:
            self._leases.pop(image.guid, None)

    async def change(self, image: Image, *, expected_version: int) -> None:
        stored = await self._get_version(image.guid, expected_version)
        self._images[image.guid] = stored.with_changes_of(image)

    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        stored = self._images.get(image.guid)
        if stored is None or stored.content is None or image.content is None:
            return False
        size = stored.content.width, stored.content.height
        if stored.content.sha256 != content.sha256 or size != (image.content.width, image.content.height):
            return False
        corrected = msgspec.structs.replace(stored.content, width=content.width, height=content.height)
        self._images[image.guid] = msgspec.structs.replace(
            stored, content=corrected, updated_at=image.updated_at, version=stored.version + 1
        )
        return True

    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        image = await self._get_version(guid, expected_version)
        for upload in uploads_in(image.request.pictures):
            entry = self._uploads.get(upload)
            if entry is not None and entry.held_until is None:
                self._uploads[upload] = msgspec.structs.replace(entry, held_until=self._now())
        del self._images[guid]
        self._leases.pop(guid, None)
        self._deletions[guid] = self._in(lease_seconds)

    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        claimed = await self.list_deletions(limit=limit)
        self._deletions |= dict.fromkeys(claimed, self._in(lease_seconds))
        return claimed

    async def finish_deletion(self, guid: UUID) -> None:
        self._deletions.pop(guid, None)

    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        return sorted(guid for guid, lease_until in self._deletions.items() if lease_until <= self._now())[:limit]

    async def is_being_deleted(self, guid: UUID) -> bool:
        return guid in self._deletions

    async def count_unfinished(self, *, models: Collection[str] | None = None) -> Mapping[UserName | None, Unfinished]:
        unfinished = [image for image in self._images.values() if not image.status.is_final]
        waiting = Counter(
            image.author
            for image in unfinished
            if self._is_waiting(image) and (models is None or image.model in models)
        )
        running = Counter(image.author for image in unfinished if not self._is_waiting(image))
        return {author: Unfinished(waiting[author], running[author]) for author in waiting | running}

    async def list_next(self, *, since: datetime, models: Collection[str] | None = None, limit: int) -> Sequence[UUID]:
        waiting = [
            image
            for image in self._images.values()
            if self._is_waiting(image) and image.created_at >= since and (models is None or image.model in models)
        ]
        places = Counter({author: unfinished.running for author, unfinished in (await self.count_unfinished()).items()})
        order: list[tuple[int, int, datetime, ImageId | None, UUID]] = []
        for image in sorted(waiting, key=lambda image: (image.created_at, image.id)):
            turn = self._turns.get(image.author, 0)
            order.append((places[image.author], turn, image.created_at, image.id, image.guid))
            places[image.author] += 1
        return [guid for *_, guid in sorted(order)][:limit]

    async def list_overdue(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        return [image.guid for image in self._images.values() if self._is_waiting(image) and image.created_at < before][
            :limit
        ]

    async def claim(
        self, guid: UUID, *, owner: str, limited_by: str | None = None, max_running: int | None = None
    ) -> ClaimOutcome:
        running = sum(lease.limited_by == limited_by for lease in self._leases.values())
        if max_running is not None and running >= max_running:
            return ClaimOutcome.FULL
        image = self._images.get(guid)
        is_own = image is not None and image.status is ImageStatus.PENDING and self._lease(guid).owner == owner
        if image is None or not (is_own or self._is_waiting(image)):
            return ClaimOutcome.TAKEN
        self._grant(guid, owner, limited_by)
        self._turns[image.author] = next(self._turn_numbers)
        return ClaimOutcome.CLAIMED

    async def renew(self, guid: UUID, owner: str) -> bool:
        held = self._leases.get(guid)
        if held is None or held.owner != owner:
            return False
        self._renewals[guid] += 1
        return True

    async def list_leases(self, *, limit: int) -> Sequence[Lease]:
        made = [image for image in self._images.values() if not image.status.is_final and not self._is_waiting(image)]
        oldest = sorted(made, key=lambda image: (image.created_at, image.guid))[:limit]
        return [self._lease(image.guid) for image in oldest]

    async def take_over(self, lease: Lease, owner: str) -> bool:
        image = self._images.get(lease.guid)
        if image is None or image.status.is_final or self._is_waiting(image) or self._lease(lease.guid) != lease:
            return False
        self._grant(lease.guid, owner, None)
        return True

    async def give_back(self, guid: UUID, owner: str) -> None:
        held = self._leases.get(guid)
        if held is not None and held.owner == owner:
            del self._leases[guid]

    async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
        await self.get(image.guid)
        held = self._leases.get(image.guid)
        if held is None or held.owner != owner:
            raise image_conflict()
        await self.update(image, expected=expected)

    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        unknown = [
            image
            for image in self._images.values()
            if image.status is ImageStatus.UNKNOWN and image.updated_at >= since and not self._is_put_off(image.guid)
        ]
        by_guid = sorted(unknown, key=lambda image: image.guid)
        return sorted(by_guid, key=lambda image: image.updated_at, reverse=True)[:limit]

    async def put_off(self, guid: UUID, *, seconds: float) -> bool:
        image = self._images.get(guid)
        if image is None or image.status is not ImageStatus.UNKNOWN or self._is_put_off(guid):
            return False
        self._put_off_until[guid] = self._in(seconds)
        return True

    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        claimed, expires_at = self._claims.get((author, key), (None, self._now()))
        return claimed if expires_at > self._now() else None

    async def take_order(self, author: UserName | None, fingerprint: str, attempt: int) -> IdempotencyKey | None:
        found = [
            (-taken, expires_at, key)
            for (of, key), (claimed, expires_at) in self._claims.items()
            if of == author
            and (taken := self._attempts.get((of, key), attempt)) < attempt
            and claimed.fingerprint == fingerprint
            and expires_at > self._now()
        ]
        if not found:
            return None
        *_, key = min(found)
        self._attempts[author, key] = attempt
        return key

    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        claimed, _ = self._claims.get((author, key), (None, None))
        if claimed is not None and claimed.guid == guid:
            del self._claims[author, key]
            self._attempts.pop((author, key), None)

    async def forget_expired_claims(self) -> int:
        expired = [place for place, (_, expires_at) in self._claims.items() if expires_at <= self._now()]
        for place in expired:
            del self._claims[place]
            self._attempts.pop(place, None)
        return len(expired)

    async def hold(self, sha256: str, *, seconds: float) -> None:
        entry = self._uploads.get(sha256, _UNLISTED)
        if entry.deleting_until is not None and entry.deleting_until > self._now():
            raise upload_being_deleted()
        is_held = entry.held_until is not None and entry.held_until > self._now()
        until = self._in(seconds)
        self._uploads[sha256] = _ListedUpload(
            holds=entry.holds + 1 if is_held else 1, held_until=max(entry.held_until or until, until)
        )

    async def release(self, sha256: str) -> None:
        entry = self._uploads.get(sha256, _UNLISTED)
        if entry.held_until is not None and entry.held_until > self._now():
            held_until = entry.held_until if entry.holds > 1 else self._now()
            self._uploads[sha256] = msgspec.structs.replace(entry, holds=max(0, entry.holds - 1), held_until=held_until)

    async def claim_unused(self, *, limit: int, lease_seconds: float) -> Sequence[str]:
        now, used = self._now(), self._used_uploads()
        claimed: list[str] = []
        for sha256, upload in sorted(self._uploads.items()):
            is_due = upload.held_until is not None and upload.held_until <= now
            if not is_due or (upload.deleting_until is not None and upload.deleting_until > now):
                continue
            if sha256 in used:
                self._uploads[sha256] = _ListedUpload()
            elif len(claimed) < limit:
                self._uploads[sha256] = msgspec.structs.replace(upload, deleting_until=self._in(lease_seconds))
                claimed.append(sha256)
        return claimed

    async def finish_unused(self, sha256: str) -> None:
        entry = self._uploads.get(sha256, _UNLISTED)
        if entry.deleting_until is not None and entry.deleting_until > self._now():
            del self._uploads[sha256]

    async def scan_uploads(self, *, after: str = "", limit: int) -> Sequence[UploadRecord]:
        used = self._used_uploads()
        return [
            UploadRecord(
                sha256=sha256,
                is_listed=sha256 in self._uploads,
                is_used=sha256 in used,
                is_held=(self._uploads.get(sha256, _UNLISTED).held_until or self._now()) > self._now(),
            )
            for sha256 in sorted(used | self._uploads.keys())
            if sha256 > after
        ][:limit]

    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        guids = sorted(guid for guid in self._images if str(guid) > after)
        return [self._images[guid] for guid in guids[:limit]]

    async def count(self) -> int:
        return len(self._images)

    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        return listed(self._images.values(), wanted, limit=limit, order=order, after=after)

    async def count_listed(self, wanted: ImageFilter) -> int:
        return sum(wanted.fits(image) for image in self._images.values())

    async def list_changes(self, author: UserName, *, after: ChangePosition, limit: int) -> Sequence[ImageChange]:
        return changes_of(self._images.values(), author, after=after, limit=limit)

    async def list_tags(
        self, wanted: TagFilter, *, limit: int, after: Tag | None = None, descending: bool = False
    ) -> Sequence[TagCount]:
        images = ImageFilter(visibility=wanted.visibility, author=wanted.author)
        numbers = Counter(tag for image in self._images.values() if images.fits(image) for tag in image.tags)
        found = sorted((tag for tag in numbers if tag.startswith(wanted.prefix)), reverse=descending)
        following = [tag for tag in found if after is None or (tag < after if descending else tag > after)]
        return [TagCount(tag, numbers[tag]) for tag in following[:limit]]

    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:  # noqa: ARG002 -- all are
        return ()

    async def rebuild_tags(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:  # noqa: ARG002 -- there is no index
        return None

    async def rebuild_references(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:  # noqa: ARG002 -- there is no index
        return None

    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:  # noqa: ARG002 -- none are kept
        return None

    async def check(self) -> None:
        return

    async def _get_version(self, guid: UUID, version: int) -> Image:
        image = await self.get(guid)
        if image.version != version:
            raise image_conflict()
        return image

    def _used_uploads(self) -> set[str]:
        return {upload for image in self._images.values() for upload in uploads_in(image.request.pictures)}

    def _ensure_claimable(self, claim: Claim) -> None:
        claimed, _ = self._claims.get((claim.author, claim.key), (None, None))
        if (claimed and claimed.guid) != claim.replaces:
            raise ConstraintViolationError("The idempotency key is taken, or the order to replace is gone.")

    def _in(self, seconds: float) -> datetime:
        return self._now() + timedelta(seconds=seconds)

    def _is_waiting(self, image: Image) -> bool:
        return image.status is ImageStatus.PENDING and image.guid not in self._leases

    def _lease(self, guid: UUID) -> Lease:
        held = self._leases.get(guid)
        return Lease(guid=guid, owner=held and held.owner, renewals=self._renewals[guid])

    def _grant(self, guid: UUID, owner: str, limited_by: str | None) -> None:
        self._leases[guid] = _HeldLease(owner, limited_by)
        self._renewals[guid] += 1

    def _is_put_off(self, guid: UUID) -> bool:
        return self._put_off_until.get(guid, self._now()) > self._now()
