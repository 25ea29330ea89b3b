"""The ledger of uploads in a database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from pixyproxy.adapters.sql.database import Parameters, SQLDatabase, Transaction
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import UploadRecord, Uploads
from pixyproxy.domain.reference import upload_being_deleted, upload_gone, uploads_in

# It locks the row until the image is stored.
_KEEP: Final = "UPDATE uploads SET holds = holds WHERE sha256 = :sha256 AND deleting_until IS NULL"

_OF_IMAGE: Final = """
    SELECT DISTINCT image_references.sha256 FROM images JOIN image_references ON image_references.image_id = images.id
    WHERE images.guid = :guid AND image_references.sha256 IS NOT NULL ORDER BY image_references.sha256
"""

_LET_GO: Final = "UPDATE uploads SET held_until = {now} WHERE sha256 = :sha256 AND held_until IS NULL"

_LIST: Final = "INSERT INTO uploads (sha256, held_until) VALUES (:sha256, {now}) {skip_listed}"

# MySQL assigns from left to right.
_HOLD: Final = """
    UPDATE uploads
    SET holds = CASE WHEN held_until > {now} THEN holds + 1 ELSE 1 END,
        held_until = CASE WHEN held_until > {later} THEN held_until ELSE {later} END,
        deleting_until = NULL
    WHERE sha256 = :sha256 AND (deleting_until IS NULL OR deleting_until <= {now})
"""

_RELEASE: Final = """
    UPDATE uploads
    SET held_until = CASE WHEN holds > 1 THEN held_until ELSE {now} END,
        holds = CASE WHEN holds > 1 THEN holds - 1 ELSE 0 END
    WHERE sha256 = :sha256 AND held_until > {now}
"""

_DUE: Final = """
    SELECT sha256 FROM uploads WHERE held_until <= {now} AND (deleting_until IS NULL OR deleting_until <= {now})
    ORDER BY held_until, sha256 LIMIT :limit
"""

_LOCK_DUE: Final = """
    UPDATE uploads SET holds = 0
    WHERE sha256 = :sha256 AND held_until <= {now} AND (deleting_until IS NULL OR deleting_until <= {now})
"""

_FIND_USE: Final = "SELECT image_id FROM image_references WHERE sha256 = :sha256 LIMIT 1"

_MARK_USED: Final = "UPDATE uploads SET held_until = NULL, deleting_until = NULL WHERE sha256 = :sha256"

_CLAIM: Final = "UPDATE uploads SET deleting_until = {later} WHERE sha256 = :sha256"

_FINISH: Final = "DELETE FROM uploads WHERE sha256 = :sha256 AND deleting_until > {now}"

_LISTED: Final = """
    SELECT sha256, CASE WHEN held_until > {now} THEN 1 ELSE 0 END FROM uploads
    WHERE sha256 > :after ORDER BY sha256 LIMIT :limit
"""

_USED: Final = """
    SELECT DISTINCT sha256 FROM image_references WHERE sha256 > :after ORDER BY sha256 LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLUploads(Uploads):
    """Keeps the ledger in table `uploads`; table `image_references` says which images refer to an upload."""

    database: SQLDatabase

    async def hold(self, sha256: str, *, seconds: float) -> None:
        parameters = {"sha256": sha256, "seconds": seconds}

        async def store(transaction: Transaction) -> None:
            await transaction.execute(_LIST, parameters)
            if not await transaction.execute(_HOLD, parameters):
                raise upload_being_deleted()

        await self.database.write(store)

    async def release(self, sha256: str) -> None:
        await self.database.execute(_RELEASE, {"sha256": sha256}, makes_room=True)

    async def claim_unused(self, *, limit: int, lease_seconds: float) -> Sequence[str]:
        claimed: list[str] = []
        # A page may have nothing but uploads that turn out to be used.
        while not claimed and (due := await self.database.fetch_all(_DUE, {"limit": limit})):
            for (sha256,) in due:
                claim = partial(_claim, parameters={"sha256": sha256, "seconds": lease_seconds})
                if await self.database.write(claim, makes_room=True):
                    claimed.append(sha256)
        return claimed

    async def finish_unused(self, sha256: str) -> None:
        await self.database.execute(_FINISH, {"sha256": sha256}, makes_room=True)

    async def scan_uploads(self, *, after: str = "", limit: int) -> Sequence[UploadRecord]:
        page = {"after": after, "limit": limit}
        listed = {sha256: bool(is_held) for sha256, is_held in await self.database.fetch_list(_LISTED, page)}
        used = {sha256 for (sha256,) in await self.database.fetch_list(_USED, page)}
        return [
            UploadRecord(
                sha256=sha256,
                is_listed=sha256 in listed,
                is_used=sha256 in used,
                is_held=listed.get(sha256, False),
            )
            for sha256 in sorted(used | listed.keys())[:limit]
        ]


async def keep_uploads(transaction: Transaction, images: Sequence[Image]) -> None:
    """Lock the uploads that new images refer to; raise `ConstraintViolationError` for one that is not kept."""
    for sha256 in uploads_in(picture for image in images for picture in image.request.pictures):
        if not await transaction.execute(_KEEP, {"sha256": sha256}):
            raise upload_gone()


async def uploads_of(database: SQLDatabase, guid: UUID) -> Sequence[str]:
    """Return the SHA-256s of the uploads that an image refers to."""
    return [sha256 for (sha256,) in await database.fetch_all(_OF_IMAGE, {"guid": str(guid)})]


async def let_go_of_uploads(transaction: Transaction, uploads: Iterable[str]) -> None:
    """Have the uploads of a deleted image looked at by `claim_unused`."""
    await transaction.execute_many(_LET_GO, [{"sha256": sha256} for sha256 in uploads])


async def _claim(transaction: Transaction, *, parameters: Parameters) -> bool:
    # Lock first: the transaction's first SELECT then sees all images that were stored before.
    if not await transaction.execute(_LOCK_DUE, parameters):
        return False
    if await transaction.fetch_all(_FIND_USE, parameters):
        await transaction.execute(_MARK_USED, parameters)
        return False
    await transaction.execute(_CLAIM, parameters)
    return True
