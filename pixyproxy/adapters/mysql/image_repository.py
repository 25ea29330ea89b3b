"""Image records in MySQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.rows import cursor_to_row, image_from_row, image_to_row, tags_to_rows
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.image import Image, ImageCursor, ImageId, ImageStatus, image_not_found
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO images (
        guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, created_at, updated_at
    ) VALUES (
        %(guid)s, %(filename)s, %(prompt)s, %(author)s, %(visibility)s, %(status)s, %(model)s, %(media_type)s,
        %(byte_size)s, %(sha256)s, %(width)s, %(height)s, %(generator_usage)s, %(failure)s, %(created_at)s,
        %(updated_at)s
    )
"""

_ADD_TAG: Final = "INSERT INTO image_tags (image_id, position, tag) VALUES (%(image_id)s, %(position)s, %(tag)s)"

_UPDATE: Final = """
    UPDATE images
    SET status = %(status)s, filename = %(filename)s, media_type = %(media_type)s, byte_size = %(byte_size)s,
        sha256 = %(sha256)s, width = %(width)s, height = %(height)s, generator_usage = %(generator_usage)s,
        failure = %(failure)s, updated_at = %(updated_at)s
    WHERE guid = %(guid)s AND status = %(expected)s
"""

_SELECT: Final = """
    SELECT id, guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, created_at, updated_at,
        (SELECT GROUP_CONCAT(tag ORDER BY position SEPARATOR '\\n') FROM image_tags WHERE image_id = images.id) AS tags
    FROM images
"""

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
    """Keeps image records in tables `images` and `image_tags`."""

    database: MySQLDatabase

    async def add(self, image: Image) -> Image:
        async with self.database.transaction() as cursor:
            await cursor.execute(_ADD, image_to_row(image))
            image_id = ImageId(cursor.lastrowid)
            await cursor.executemany(_ADD_TAG, tags_to_rows(image, image_id))
        return msgspec.structs.replace(image, id=image_id)

    async def get(self, guid: UUID) -> Image:
        async with self.database.autocommit() as cursor:
            await cursor.execute(f"{_SELECT} WHERE guid = %(guid)s", {"guid": str(guid)})
            row = await cursor.fetchone()
        if row is None:
            raise image_not_found(guid)
        return image_from_row(row)

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        async with self.database.transaction() as cursor:
            await cursor.execute(_UPDATE, {**image_to_row(image), "expected": expected.value})
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
        async with self.database.autocommit() as cursor:
            await cursor.execute(sql, {**parameters, **cursor_to_row(after), "limit": limit})
            rows = await cursor.fetchall()
        return [image_from_row(row) for row in rows]
