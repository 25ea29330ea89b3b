"""Batches: the images of one request."""

from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import DataValidationError

BATCH_MAX_SIZE: Final = 10


class BatchPlace(msgspec.Struct, frozen=True, kw_only=True):
    """An image's place in its batch: the batch's `guid`, the `position` from 0 on, and the number of its images."""

    guid: UUID
    position: int
    size: int

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a place that no batch has."""
        if not 0 <= self.position < self.size <= BATCH_MAX_SIZE:
            raise DataValidationError("batch", f"must have 1 to {BATCH_MAX_SIZE} images, and a place for this one")
