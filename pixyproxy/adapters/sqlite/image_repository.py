"""Image records in SQLite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.adapters.rows import cursor_to_row, image_from_row, image_to_row, tags_to_rows
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.image import Image, ImageCursor, ImageId, ImageStatus, image_not_found
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO images (
        guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, created_at, updated_at
    ) VALUES (
        :guid, :filename, :prompt, :author, :visibility, :status, :model, :media_type, :byte_size, :sha256, :width,
        :height, :generator_usage, :failure, :created_at, :updated_at
    )
"""

_ADD_TAG: Final = "INSERT INTO image_tags (image_id, position, tag) VALUES (:image_id, :position, :tag)"

_UPDATE: Final = """
    UPDATE images
    SET status = :status, filename = :filename, media_type = :media_type, byte_size = :byte_size, sha256 = :sha256,
        width = :width, height = :height, generator_usage = :generator_usage, failure = :failure,
        updated_at = :updated_at
    WHERE guid = :guid AND status = :expected
"""

# The inner query orders the tags: group_concat has an ORDER BY of its own only since SQLite 3.44.
_SELECT: Final = """
    SELECT id, guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, created_at, updated_at,
        (
            SELECT group_concat(tag, char(10))
            FROM (SELECT tag FROM image_tags WHERE image_id = images.id ORDER BY position)
        ) AS tags
    FROM images
"""

_AFTER: Final = "AND created_at <= :after_created_at AND (created_at < :after_created_at OR guid < :after_guid)"

_NEWEST: Final = "ORDER BY created_at DESC, guid DESC LIMIT :limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteImageRepository(ImageRepository):
    """Keeps image records in tables `images` and `image_tags`."""

    database: SQLiteDatabase

    async def add(self, image: Image) -> Image:
        async with self.database.transaction() as connection:
            cursor = await connection.execute(_ADD, image_to_row(image))
            image_id = ImageId(cursor.lastrowid or 0)
            await connection.executemany(_ADD_TAG, tags_to_rows(image, image_id))
        return msgspec.structs.replace(image, id=image_id)

    async def get(self, guid: UUID) -> Image:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE guid = :guid", {"guid": str(guid)})
        if not rows:
            raise image_not_found(guid)
        return image_from_row(rows[0])

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        async with self.database.transaction() as connection:
            cursor = await connection.execute(_UPDATE, {**image_to_row(image), "expected": expected.value})
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

    async def check(self) -> None:
        await self.database.fetch_all("SELECT id FROM images LIMIT 1")

    async def _list(
        self, condition: str, limit: int, after: ImageCursor | None, **parameters: object
    ) -> Sequence[Image]:
        sql = f"{_SELECT} WHERE {condition} AND status = 'ready' {_AFTER if after else ''} {_NEWEST}"
        rows = await self.database.fetch_all(sql, {**parameters, **cursor_to_row(after), "limit": limit})
        return [image_from_row(row) for row in rows]
