"""Image records in MySQL."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pixyproxy.adapters.mysql.batch_loader import BatchLoader
from pixyproxy.adapters.sql.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.records import valid_image_from_record
from pixyproxy.domain.errors import DamagedRecordError
from pixyproxy.domain.image import Image, image_not_found

# Without the hint, servers may scan the table for a query of many guids.
_RECORDS: Final = "SELECT guid, {record} FROM images FORCE INDEX (images_guid) WHERE guid IN :guids"


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLImageRepository(SQLImageRepository):
    """Reads single images in batches."""

    _records: BatchLoader[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_records", BatchLoader(self._find_records))

    async def get(self, guid: UUID) -> Image:
        record = await self._records.find(str(guid))
        if record is None:
            raise image_not_found(guid)
        with suppress(DamagedRecordError):
            return valid_image_from_record(str(guid), record or None)
        # Its tags may be in the index alone.
        return await SQLImageRepository.get(self, guid)

    async def _find_records(self, guids: Collection[str]) -> Mapping[str, str]:
        rows = await self.database.fetch_all(_RECORDS, {"guids": tuple(guids)})
        return {guid: record or "" for guid, record in rows}
