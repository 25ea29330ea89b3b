"""Shared parts of the contract suites of the image ports."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import (
    GenerationError,
    GenerationRefusedError,
)
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition
from pixyproxy.domain.ports import ClaimOutcome, ImageCatalogue, ImagePorts, ImageRepository
from pixyproxy.domain.user import UserName
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANN = UserName("ann")
BOB = UserName("bob")
KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
OTHER = "another process"
FACTORIES = [PendingImageFactory, GeneratingImageFactory, ImageFactory, FailedImageFactory, UnknownImageFactory]
FINAL_FACTORIES = [ImageFactory, FailedImageFactory, UnknownImageFactory]
RUNNING_FACTORIES = [PendingImageFactory, GeneratingImageFactory]
AWKWARD_TEXTS = {
    "quotes": "it's \"quoted\" `twice` and ''thrice''",
    "injection": "x'); DROP TABLE images; --",
    "percent signs": "100% %s %(guid)s %% :guid ?",
    "backslashes": "\\ \\' \\n C:\\new\\0 \\",
    "line breaks": "one\ntwo\r\nthree\ttab\u2028separator",
    "emoji": "👩‍👩‍👧‍👦 🏴‍☠️ 😀",
    "right to left": "\u202eصورة قطة\u202c, תמונה של חתול",
    "combining": "e\u0301 is not é, \u1100\u1161 is not 가",
    "unusual spaces": "a\u00a0b\u200bc\ufeffd\u3000e",
    "noncharacters": "\ufffe\uffff\U0010ffff\x7f\x01",
    "case folding": "\u0130\u0131\u017f\u212a\u00df\u1e9e",
}


class HostImages(ImageRepository, ImageCatalogue, Protocol):
    """The image ports that a small host implements."""


def completed(image: Image, usage: dict[str, Any] | None = None) -> Image:
    return image.completed(ContentInfoFactory.build(), usage, at=image.updated_at + SECOND)


def refusal(detail: str = "The generator refused.") -> GenerationError:
    return GenerationRefusedError(detail, maybe_billed=False)


def a_claim(
    author: UserName | None = ANN, key: str = KEY, fingerprint: str = "0" * 64, seconds: float = 86_400.0
) -> Claim:
    return Claim(author=author, key=IdempotencyKey(key), fingerprint=fingerprint, seconds=seconds)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it is so; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110 -- a database sends no event when a time is over
            await asyncio.sleep(0.01)


async def held(images: ImagePorts, image: Image, owner: str = OTHER) -> Image:
    """Store a pending or generating image on which `owner` has the lease, and return it."""
    pending = await images.add(msgspec.structs.replace(image, status=ImageStatus.PENDING))
    assert await images.claim(image.guid, owner=owner) is ClaimOutcome.CLAIMED
    if image.status is ImageStatus.GENERATING:
        await images.update_leased(pending.started(at=image.updated_at), expected=ImageStatus.PENDING, owner=owner)
    return await images.get(image.guid)


def newest_first(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (image.created_at, str(image.guid)), reverse=True)


async def all_pages(
    images: ImageCatalogue, wanted: ImageFilter = PUBLIC, *, limit: int, order: ImageOrder = ImageOrder.NEWEST_FIRST
) -> list[Image]:
    found: list[Image] = []
    while page := await images.list(
        wanted, limit=limit, order=order, after=ImagePosition.of(found[-1]) if found else None
    ):
        assert len(page) <= limit
        found += page
    return found


async def guids(images: ImageCatalogue, wanted: ImageFilter, **arguments: Any) -> list[UUID]:
    return [image.guid for image in await images.list(wanted, **{"limit": 100, **arguments})]
