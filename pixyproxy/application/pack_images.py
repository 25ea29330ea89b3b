"""Use case: pack many images into one zip."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.application.bulk import ensure_bulk
from pixyproxy.application.in_order import in_order
from pixyproxy.application.member_names import MemberNames
from pixyproxy.application.zip_stream import ZipMember, zip_chunks, zip_size
from pixyproxy.domain.content import ContentKey, with_extension
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    DamagedRecordError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import ImageScope, ImageStatus
from pixyproxy.domain.ports import Clock, ContentStore, ImageRepository, StoredContent, chunks_of
from pixyproxy.domain.user import Principal

MISSING_NAME: Final = "missing.txt"

# How many records and contents are looked up together.
_AT_ONCE: Final = 4


class ImagePack(msgspec.Struct, frozen=True, kw_only=True):
    """A zip of images on its way out: its name, its exact size, and its bytes, which can be read once."""

    filename: str
    byte_size: int
    chunks: AsyncGenerator[bytes]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of an image, without its prompt and all else that may be large."""

    guid: UUID
    filename: str
    key: ContentKey
    byte_size: int
    created_at: datetime


class _Missing(msgspec.Struct, frozen=True, kw_only=True):
    guid: UUID
    reason: str
    error: ContentStoreError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackImages:
    """Pack those images that the principal may read, their own and public ones, into one zip, in the given order.

    Takes 1 to 1,000 different guids. A file `missing.txt` names the images that are left out, and why. The size is
    exact; the bytes are read from the content store when they are due, one chunk at a time. Reading raises
    `ContentStoreError` if content is not, or no longer, what its record says: the zip is then incomplete.

    Raises `DataValidationError`; `RecordNotFoundError` if no image is left; and `ContentStoreError` if the content
    store fails, or has none of the images.
    """

    images: ImageRepository
    contents: ContentStore
    clock: Clock

    async def __call__(self, guids: Sequence[UUID], principal: Principal) -> ImagePack:
        ensure_bulk(guids)
        found: list[_Found] = []
        missing: list[_Missing] = []
        async with aclosing(in_order(_each(guids), partial(self._find, principal), at_once=_AT_ONCE)) as results:
            async for result in results:
                if isinstance(result, _Missing):
                    missing.append(result)
                else:
                    found.append(result)
        if not found:
            raise next((each.error for each in missing if each.error), RecordNotFoundError("There are no such images."))
        now = self.clock.now()
        members = self._members(found, missing, now)
        return ImagePack(
            filename=f"pixyproxy-{now:%Y-%m-%d}.zip", byte_size=zip_size(members), chunks=zip_chunks(members)
        )

    async def _find(self, principal: Principal, guid: UUID) -> _Found | _Missing:
        try:
            image = await self.images.get(guid)
        except RecordNotFoundError:
            return _no_such_image(guid)
        except DamagedRecordError:
            return _Missing(guid=guid, reason="Its record is damaged.")
        if not _may(image.is_readable_by, principal):
            if image.status is not ImageStatus.READY and _may(image.is_visible_to, principal):
                return _Missing(guid=guid, reason=f"It is not ready; its status is {image.status}.")
            return _no_such_image(guid)
        content = image.ready_content
        try:
            # What is known to be missing now can be left out; later it would break the zip off.
            stored = await self.contents.open(image.content_key, end=0)
            _ensure_size(stored, content.byte_size)
        except (ContentNotFoundError, DamagedContentError) as exc:
            return _Missing(guid=guid, reason=exc.detail, error=exc)
        return _Found(
            guid=guid,
            filename=with_extension(image.filename, content.media_type.extension),
            key=image.content_key,
            byte_size=content.byte_size,
            created_at=image.created_at,
        )

    def _members(self, found: Sequence[_Found], missing: Sequence[_Missing], now: datetime) -> Sequence[ZipMember]:
        names = MemberNames()
        members = [
            ZipMember(
                name=names.name(each.filename),
                byte_size=each.byte_size,
                made_at=each.created_at,
                chunks=partial(self._read, each),
            )
            for each in found
        ]
        if missing:
            text = "".join(f"{each.guid}: {each.reason}\n" for each in missing).encode()
            members.append(
                ZipMember(
                    name=names.name(MISSING_NAME), byte_size=len(text), made_at=now, chunks=partial(chunks_of, text)
                )
            )
        return members

    async def _read(self, found: _Found) -> AsyncIterator[bytes]:
        try:
            stored = await self.contents.open(found.key)
            _ensure_size(stored, found.byte_size)
            async for chunk in stored.chunks:
                yield chunk
        except ContentStoreError as exc:
            raise ContentStoreError(f"Image {found.guid}: {exc.detail}") from exc


def _may(allows: Callable[[Principal, ImageScope], bool], principal: Principal) -> bool:
    return any(allows(principal, scope) for scope in (ImageScope.OWN, ImageScope.PUBLIC))


def _no_such_image(guid: UUID) -> _Missing:
    return _Missing(guid=guid, reason="There is no such image.")


def _ensure_size(stored: StoredContent, byte_size: int) -> None:
    if stored.byte_size != byte_size:
        raise DamagedContentError(f"The content has {stored.byte_size:,} bytes and not {byte_size:,}.")


async def _each(guids: Sequence[UUID]) -> AsyncIterator[UUID]:
    for guid in guids:
        yield guid
