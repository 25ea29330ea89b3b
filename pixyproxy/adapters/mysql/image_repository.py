"""Image records in MySQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pixyproxy.adapters.mysql.database import MySQLDatabase
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
        %(guid)s, %(filename)s, %(prompt)s, %(author)s, %(visibility)s, %(status)s, %(model)s, %(media_type)s,
        %(byte_size)s, %(sha256)s, %(width)s, %(height)s, %(generator_usage)s, %(failure)s, %(failure_kind)s,
        %(maybe_billed)s, %(generator_request_id)s, %(lease_owner)s,
        CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND, %(created_at)s, %(updated_at)s
    )
"""

_ADD_TAG: Final = "INSERT INTO image_tags (image_id, position, tag) VALUES (%(image_id)s, %(position)s, %(tag)s)"

_UPDATE: Final = """
    UPDATE images
    SET status = %(status)s, filename = %(filename)s, media_type = %(media_type)s, byte_size = %(byte_size)s,
        sha256 = %(sha256)s, width = %(width)s, height = %(height)s, generator_usage = %(generator_usage)s,
        failure = %(failure)s, failure_kind = %(failure_kind)s, maybe_billed = %(maybe_billed)s,
        generator_request_id = %(generator_request_id)s, updated_at = %(updated_at)s,
        lease_owner = IF(%(is_final)s, NULL, lease_owner), lease_until = IF(%(is_final)s, NULL, lease_until)
    WHERE guid = %(guid)s AND status = %(expected)s
        AND (NOT %(if_abandoned)s OR lease_until IS NULL OR lease_until < CURRENT_TIMESTAMP(6))
"""

_SELECT: Final = """
    SELECT id, guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, failure_kind, maybe_billed, generator_request_id, created_at, updated_at,
        (SELECT GROUP_CONCAT(tag ORDER BY position SEPARATOR '\\n') FROM image_tags WHERE image_id = images.id) AS tags
    FROM images
"""

# The column updated_at would otherwise follow of itself.
_RENEW: Final = """
    UPDATE images
    SET lease_until = CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND, updated_at = updated_at
    WHERE guid = %(guid)s AND lease_owner = %(lease_owner)s AND status IN ('pending', 'generating')
"""

_ABANDONED: Final = """
    WHERE status IN ('pending', 'generating') AND (lease_until IS NULL OR lease_until < CURRENT_TIMESTAMP(6))
    ORDER BY created_at, guid LIMIT %(limit)s
"""

_UNKNOWN: Final = """
    WHERE status = 'unknown' AND updated_at >= %(since)s ORDER BY updated_at DESC, guid LIMIT %(limit)s
"""

_CLAIM: Final = """
    INSERT INTO idempotency_keys (author, idempotency_key, guid, fingerprint, expires_at)
    VALUES (
        %(author)s, %(idempotency_key)s, %(guid)s, %(fingerprint)s,
        CURRENT_TIMESTAMP(6) + INTERVAL %(claim_seconds)s SECOND
    )
"""

_FIND_CLAIM: Final = """
    SELECT guid, fingerprint FROM idempotency_keys
    WHERE author = %(author)s AND idempotency_key = %(idempotency_key)s AND expires_at > CURRENT_TIMESTAMP(6)
"""

_FORGET_CLAIM: Final = """
    DELETE FROM idempotency_keys
    WHERE author = %(author)s AND idempotency_key = %(idempotency_key)s AND guid = %(guid)s
"""

_FORGET_CLAIMS: Final = "DELETE FROM idempotency_keys WHERE expires_at <= CURRENT_TIMESTAMP(6)"

# Equality ignores spaces at the end of a text, also under utf8mb4_bin.
_AUTHORED: Final = "author = %(author)s AND CHAR_LENGTH(author) = CHAR_LENGTH(%(author)s)"

# MariaDB scans the whole table for the shorter (created_at, guid) < (…, …).
_AFTER: Final = """
    AND created_at <= %(after_created_at)s
    AND (created_at < %(after_created_at)s OR guid < %(after_guid)s)
"""

_NEWEST: Final = "ORDER BY created_at DESC, guid DESC LIMIT %(limit)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLImageRepository(ImageRepository):
    """Keeps image records in tables `images` and `image_tags`, and the keys they were asked for with in their own."""

    database: MySQLDatabase

    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        async with self.database.transaction() as cursor:
            await cursor.execute(_ADD, {**image_to_row(image), **lease_to_row(lease)})
            image_id = ImageId(cursor.lastrowid)
            await cursor.executemany(_ADD_TAG, tags_to_rows(image, image_id))
            if claim is not None:
                await cursor.execute(_CLAIM, claim_to_row(claim, image.guid, claim_seconds))
        return msgspec.structs.replace(image, id=image_id)

    async def get(self, guid: UUID) -> Image:
        async with self.database.autocommit() as cursor:
            await cursor.execute(f"{_SELECT} WHERE guid = %(guid)s", {"guid": str(guid)})
            row = await cursor.fetchone()
        if row is None:
            raise image_not_found(guid)
        return image_from_row(row)

    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        async with self.database.transaction() as cursor:
            conditions = {"expected": expected.value, "if_abandoned": if_abandoned}
            await cursor.execute(_UPDATE, {**image_to_row(image), **conditions, "is_final": image.status.is_final})
            was_updated = cursor.rowcount == 1
        if not was_updated:
            await self.get(image.guid)
            raise ConstraintViolationError("The image has been changed by somebody else.")

    async def list_public(self, *, limit: int, after: ImageCursor | None = None) -> Sequence[Image]:
        return await self._list("images_public", "visibility = 'public'", limit, after)

    async def list_authored_by(
        self, author: UserName, *, limit: int, after: ImageCursor | None = None
    ) -> Sequence[Image]:
        return await self._list("images_author", _AUTHORED, limit, after, author=author)

    async def renew(self, guid: UUID, lease: Lease) -> None:
        async with self.database.autocommit() as cursor:
            await cursor.execute(_RENEW, {"guid": str(guid), **lease_to_row(lease)})

    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        return undamaged_images(await self._rows(f"{_SELECT} {_ABANDONED}", {"limit": limit}))

    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        parameters = {"since": time_to_text(since), "limit": limit}
        return undamaged_images(await self._rows(f"{_SELECT} {_UNKNOWN}", parameters))

    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        async with self.database.autocommit() as cursor:
            await cursor.execute(_FIND_CLAIM, {"author": author or "", "idempotency_key": key})
            row = await cursor.fetchone()
        return None if row is None else claimed_from_row(row)

    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        parameters = {"author": author or "", "idempotency_key": key, "guid": str(guid)}
        async with self.database.autocommit() as cursor:
            await cursor.execute(_FORGET_CLAIM, parameters)

    async def forget_expired_claims(self) -> int:
        async with self.database.autocommit() as cursor:
            return int(await cursor.execute(_FORGET_CLAIMS))

    async def scan(self, *, after: UUID | None = None, limit: int) -> Sequence[Image]:
        sql = f"{_SELECT} WHERE guid > %(after)s ORDER BY guid LIMIT %(limit)s"
        return await self._fetch(sql, {"after": "" if after is None else str(after), "limit": limit})

    async def count(self) -> int:
        async with self.database.autocommit() as cursor:
            await cursor.execute("SELECT COUNT(*) FROM images")
            (number,) = await cursor.fetchone()
        return int(number)

    async def check(self) -> None:
        async with self.database.autocommit() as cursor:
            await cursor.execute("SELECT id FROM images LIMIT 1")

    async def _list(
        self, index: str, condition: str, limit: int, after: ImageCursor | None, **parameters: object
    ) -> Sequence[Image]:
        # Left to itself, MariaDB finds the place after the cursor by reading all that comes before it.
        sql = (
            f"{_SELECT} FORCE INDEX ({index})"
            f" WHERE {condition} AND status = 'ready' {_AFTER if after else ''} {_NEWEST}"
        )
        return await self._fetch(sql, {**parameters, **cursor_to_row(after), "limit": limit})

    async def _fetch(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Image]:
        return [image_from_row(row) for row in await self._rows(sql, parameters)]

    async def _rows(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        async with self.database.autocommit() as cursor:
            await cursor.execute(sql, parameters)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows
