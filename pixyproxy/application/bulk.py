"""Use cases: the same for many images, with a result for each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.application.change_image import ChangeImage
from pixyproxy.application.delete_image import DeleteImage
from pixyproxy.domain.errors import DataValidationError, DBConnectionError, PixyProxyException
from pixyproxy.domain.image import Image, ImageChanges, parse_tags
from pixyproxy.domain.user import Principal

BULK_MAX: Final = 1000


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one image: as it is now (None if it is deleted), or why nothing was done."""

    guid: UUID
    image: Image | None = None
    error: PixyProxyException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagImages:
    """Add tags to images of one's own, and remove others; the order of those that stay is kept.

    Takes 1 to 1,000 different guids. Each image is changed by itself, and one that can't be changes nothing for the
    others. Raises `DataValidationError` for what is wrong with the request as a whole.
    """

    change_image: ChangeImage

    async def __call__(
        self, guids: Sequence[UUID], principal: Principal, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[BulkResult]:
        for field, tags in (("add", add), ("remove", remove)):
            _ensure_tags(field, tags)
        if both := set(add) & set(remove):
            raise DataValidationError("add", f"must not have what `remove` has: {min(both)}")

        def changes(image: Image) -> ImageChanges:
            kept = [tag for tag in image.tags if tag not in remove]
            return ImageChanges(tags=[*kept, *(tag for tag in add if tag not in kept)])

        async def change(guid: UUID) -> Image:
            return await self.change_image(guid, principal, changes)

        return await _each(guids, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImages:
    """Delete images of one's own for good; takes and raises what `TagImages` does."""

    delete_image: DeleteImage

    async def __call__(self, guids: Sequence[UUID], principal: Principal) -> Sequence[BulkResult]:
        async def delete(guid: UUID) -> None:
            await self.delete_image(guid, principal)

        return await _each(guids, delete)


def _ensure_tags(field: str, tags: Sequence[str]) -> None:
    try:
        parse_tags(tags)
    except DataValidationError as exc:
        raise DataValidationError(exc.field.replace("tags", field), exc.detail) from None


async def _each(guids: Sequence[UUID], work: Callable[[UUID], Awaitable[Image | None]]) -> Sequence[BulkResult]:
    if not 1 <= len(guids) <= BULK_MAX:
        raise DataValidationError("guids", f"must be 1 to {BULK_MAX:,}, not {len(guids):,}")
    if len(set(guids)) != len(guids):
        raise DataValidationError("guids", "must not contain duplicates")
    results: list[BulkResult] = []
    for guid in guids:
        try:
            results.append(BulkResult(guid=guid, image=await work(guid)))
        except DBConnectionError as exc:
            # The others would wait for it, too.
            return [*results, *(BulkResult(guid=rest, error=exc) for rest in guids[len(results) :])]
        except PixyProxyException as exc:
            results.append(BulkResult(guid=guid, error=exc))
    return results
