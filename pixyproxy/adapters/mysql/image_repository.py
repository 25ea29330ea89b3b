"""Image records in MySQL."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from pixyproxy.adapters.mysql.batch_loader import BatchLoader
from pixyproxy.adapters.sql.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.rows import image_from_row
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.image import Image, image_not_found

# The driver takes long for each column, so that a record comes as one. Left to itself, a server that is asked for many
# guids at once may read the whole table instead.
_GET: Final = "SELECT guid, JSON_ARRAY({columns}, {tags}) FROM images FORCE INDEX (images_guid) WHERE guid IN :guids"

# How many images are remembered by their records, and how long these may be: most are far shorter.
_RECENT_MAX_COUNT: Final = 1_024
_RECENT_MAX_LENGTH: Final = 8_192


class _Recent(NamedTuple):
    record: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLImageRepository(SQLImageRepository):
    """Looks images up in batches, and decodes a record only when it has changed."""

    _records: BatchLoader[str] = field(init=False, repr=False, compare=False)
    _recent: OrderedDict[str, _Recent] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_records", BatchLoader(self._find_records))

    async def get(self, guid: UUID) -> Image:
        key = str(guid)
        record = await self._records.find(key)
        recent = self._recent.pop(key, None)
        if record is None:
            raise image_not_found(guid)
        if not record:
            # It is larger than the server's max_allowed_packet.
            raise DBConnectionError("The database can't send a record that it holds.")
        if recent is None or recent.record != record:
            recent = _Recent(record, image_from_row(msgspec.json.decode(record)))
        if len(record) <= _RECENT_MAX_LENGTH:
            self._recent[key] = recent
            if len(self._recent) > _RECENT_MAX_COUNT:
                self._recent.popitem(last=False)
        return recent.image

    async def _find_records(self, guids: Collection[str]) -> Mapping[str, str]:
        rows = await self.database.fetch_all(_GET, {"guids": tuple(guids)})
        return {guid: record or "" for guid, record in rows}
