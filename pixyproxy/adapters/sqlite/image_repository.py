"""Image records in SQLite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.adapters.rows import (
    claim_to_row,
    claimed_from_row,
    cursor_to_row,
    image_from_row,
    image_to_row,
    lease_to_row,
    tags_to_rows,
    time_to_text,
    undamaged_images,
)
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageCursor, ImageId, ImageStatus, image_not_found
from pixyproxy.domain.ports import ImageRepository, Lease
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO images (
        guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, failure_kind, maybe_billed, generator_request_id, lease_owner, lease_until,
        created_at, updated_at
    ) VALUES (
        :guid, :filename, :prompt, :author, :visibility, :status, :model, :media_type, :byte_size, :sha256, :width,
        :height, :generator_usage, :failure, :failure_kind, :maybe_billed, :generator_request_id, :lease_owner,
        strftime('%Y-%m-%d %H:%M:%f000', 'now', :lease_seconds || ' seconds'), :created_at, :updated_at
    )
"""

_ADD_TAG: Final = "INSERT INTO image_tags (image_id, position, tag) VALUES (:image_id, :position, :tag)"

_UPDATE: Final = """
    UPDATE images
    SET status = :status, filename = :filename, media_type = :media_type, byte_size = :byte_size, sha256 = :sha256,
        width = :width, height = :height, generator_usage = :generator_usage, failure = :failure,
        failure_kind = :failure_kind, maybe_billed = :maybe_billed, generator_request_id = :generator_request_id,
        updated_at = :updated_at, lease_owner = iif(:is_final, NULL, lease_owner),
        lease_until = iif(:is_final, NULL, lease_until)
    WHERE guid = :guid AND status = :expected
        AND (NOT :if_abandoned OR lease_until IS NULL OR lease_until < strftime('%Y-%m-%d %H:%M:%f000', 'now'))
"""

# The inner query orders the tags: group_concat has an ORDER BY of its own only since SQLite 3.44.
_SELECT: Final = """
    SELECT id, guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, failure_kind, maybe_billed, generator_request_id, created_at, updated_at,
        (
            SELECT group_concat(tag, char(10))
            FROM (SELECT tag FROM image_tags WHERE image_id = images.id ORDER BY position)
        ) AS tags
    FROM images
"""

_RENEW: Final = """
    UPDATE images SET lease_until = strftime('%Y-%m-%d %H:%M:%f000', 'now', :lease_seconds || ' seconds')
    WHERE guid = :guid AND lease_owner = :lease_owner AND status IN ('pending', 'generating')
"""

_ABANDONED: Final = """
    WHERE status IN ('pending', 'generating')
        AND (lease_until IS NULL OR lease_until < strftime('%Y-%m-%d %H:%M:%f000', 'now'))
    ORDER BY created_at, guid LIMIT :limit
"""

_UNKNOWN: Final = """
    WHERE status = 'unknown' AND updated_at >= :since ORDER BY updated_at DESC, guid LIMIT :limit
"""

_CLAIM: Final = """
    INSERT INTO idempotency_keys (author, idempotency_key, guid, fingerprint, expires_at)
    VALUES (
        :author, :idempotency_key, :guid, :fingerprint,
        strftime('%Y-%m-%d %H:%M:%f000', 'now', :claim_seconds || ' seconds')
    )
"""

_FIND_CLAIM: Final = """
    SELECT guid, fingerprint FROM idempotency_keys
    WHERE author = :author AND idempotency_key = :idempotency_key
        AND expires_at > strftime('%Y-%m-%d %H:%M:%f000', 'now')
"""

_FORGET_CLAIM: Final = """
    DELETE FROM idempotency_keys
    WHERE author = :author AND idempotency_key = :idempotency_key AND guid = :guid
"""

_FORGET_CLAIMS: Final = "DELETE FROM idempotency_keys WHERE expires_at <= strftime('%Y-%m-%d %H:%M:%f000', 'now')"

_AFTER: Final = "AND created_at <= :after_created_at AND (created_at < :after_created_at OR guid < :after_guid)"

_NEWEST: Final = "ORDER BY created_at DESC, guid DESC LIMIT :limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteImageRepository(ImageRepository):
    """Keeps image records in tables `images` and `image_tags`, and the keys they were asked for with in their own."""

    database: SQLiteDatabase

    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        async with self.database.transaction() as connection:
            cursor = await connection.execute(_ADD, {**image_to_row(image), **lease_to_row(lease)})
            image_id = ImageId(cursor.lastrowid or 0)
            await connection.executemany(_ADD_TAG, tags_to_rows(image, image_id))
            if claim is not None:
                await connection.execute(_CLAIM, claim_to_row(claim, image.guid, claim_seconds))
        return msgspec.structs.replace(image, id=image_id)

    async def get(self, guid: UUID) -> Image:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE guid = :guid", {"guid": str(guid)})
        if not rows:
            raise image_not_found(guid)
        return image_from_row(rows[0])

    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        async with self.database.transaction() as connection:
            conditions = {"expected": expected.value, "if_abandoned": if_abandoned}
            row = {**image_to_row(image), **conditions, "is_final": image.status.is_final}
            cursor = await connection.execute(_UPDATE, row)
            was_updated = cursor.rowcount == 1
        if not was_updated:
            await self.get(image.guid)
            raise ConstraintViolationError("The image has been changed by somebody else.")

    async def list_public(self, *, limit: int, after: ImageCursor | None = None) -> Sequence[Image]:
        return await self._list("visibility = 'public'", limit, after)

    async def list_authored_by(
        self, author: UserName, *, limit: int, after: ImageCursor | None = None
    ) -> Sequence[Image]:
        return await self._list("author = :author", limit, after, author=author)

    async def renew(self, guid: UUID, lease: Lease) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(_RENEW, {"guid": str(guid), **lease_to_row(lease)})

    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        return undamaged_images(await self.database.fetch_all(f"{_SELECT} {_ABANDONED}", {"limit": limit}))

    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        parameters = {"since": time_to_text(since), "limit": limit}
        return undamaged_images(await self.database.fetch_all(f"{_SELECT} {_UNKNOWN}", parameters))

    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        rows = await self.database.fetch_all(_FIND_CLAIM, {"author": author or "", "idempotency_key": key})
        return claimed_from_row(rows[0]) if rows else None

    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        parameters = {"author": author or "", "idempotency_key": key, "guid": str(guid)}
        async with self.database.transaction() as connection:
            await connection.execute(_FORGET_CLAIM, parameters)

    async def forget_expired_claims(self) -> int:
        async with self.database.transaction() as connection:
            return (await connection.execute(_FORGET_CLAIMS)).rowcount

    async def scan(self, *, after: UUID | None = None, limit: int) -> Sequence[Image]:
        sql = f"{_SELECT} WHERE guid > :after ORDER BY guid LIMIT :limit"
        return await self._fetch(sql, {"after": "" if after is None else str(after), "limit": limit})

    async def count(self) -> int:
        ((number,),) = await self.database.fetch_all("SELECT count(*) FROM images")
        return int(number)

    async def check(self) -> None:
        await self.database.fetch_all("SELECT id FROM images LIMIT 1")

    async def _list(
        self, condition: str, limit: int, after: ImageCursor | None, **parameters: object
    ) -> Sequence[Image]:
        sql = f"{_SELECT} WHERE {condition} AND status = 'ready' {_AFTER if after else ''} {_NEWEST}"
        return await self._fetch(sql, {**parameters, **cursor_to_row(after), "limit": limit})

    async def _fetch(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Image]:
        return [image_from_row(row) for row in await self.database.fetch_all(sql, parameters)]
