"""One use case for many images, with a result for each."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import DataValidationError, DBConnectionError, PixyProxyException
from pixyproxy.domain.image import Image

BULK_MAX: Final = 1000


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one image: the image as it is now (None if deleted), or the error."""

    guid: UUID
    image: Image | None = None
    error: PixyProxyException | None = None


def ensure_bulk(guids: Sequence[UUID]) -> None:
    """Raise `DataValidationError` unless there are 1 to 1,000 different guids."""
    if not 1 <= len(guids) <= BULK_MAX:
        raise DataValidationError("guids", f"must be 1 to {BULK_MAX:,}, not {len(guids):,}")
    if len(set(guids)) != len(guids):
        raise DataValidationError("guids", "must not contain duplicates")


async def each_of(guids: Sequence[UUID], work: Callable[[UUID], Awaitable[Image | None]]) -> Sequence[BulkResult]:
    """Call `work` for each image in turn and return the outcomes.

    Stops when the database is away. Raises what `ensure_bulk` raises.
    """
    ensure_bulk(guids)
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
