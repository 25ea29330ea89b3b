"""Image records in MySQL."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

import aiomysql
import msgspec

from pixyproxy.adapters.mysql.batch_loader import BatchLoader
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.list_queries import Dialect, ImageLists, tags_query
from pixyproxy.adapters.sql.rows import (
    claim_to_row,
    claimed_from_row,
    image_from_row,
    image_to_row,
    lease_to_row,
    scanned_from_row,
    tag_count_from_row,
    tags_to_rows,
    time_to_text,
    undamaged_images,
    words_to_rows,
)
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.errors import ConstraintViolationError, DBConnectionError
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageId, ImageStatus, image_not_found
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagCount, TagFilter
from pixyproxy.domain.ports import DamagedRecord, ImagePorts, Lease, RebuiltWords
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO images (
        guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, failure_kind, maybe_billed, generator_request_id, lease_owner, lease_until,
        created_at, updated_at, version
    ) VALUES (
        %(guid)s, %(filename)s, %(prompt)s, %(author)s, %(visibility)s, %(status)s, %(model)s, %(media_type)s,
        %(byte_size)s, %(sha256)s, %(width)s, %(height)s, %(generator_usage)s, %(failure)s, %(failure_kind)s,
        %(maybe_billed)s, %(generator_request_id)s, %(lease_owner)s,
        CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND, %(created_at)s, %(updated_at)s,
        %(version)s
    )
"""

_ADD_TAG: Final = """
    INSERT INTO image_tags (image_id, position, tag, author, visibility, status, created_at, guid)
    VALUES (
        %(image_id)s, %(position)s, %(tag)s, %(author)s, %(visibility)s, %(status)s, %(created_at)s, %(guid)s
    )
"""

_TAGS: Final = "SELECT position, tag FROM image_tags WHERE image_id = %(image_id)s ORDER BY position"

# By its whole key each row is locked and no gap beside it, where the tags of two neighbours would wait for each other.
_REMOVE_TAG: Final = "DELETE FROM image_tags WHERE image_id = %(image_id)s AND position = %(position)s"

# An image may have been deleted meanwhile, or another process may have been faster.
_ADD_WORDS: Final = """
    INSERT INTO image_words (image_id, words, prompt_digest)
    SELECT id, %(words)s, %(prompt_digest)s FROM images WHERE id = %(image_id)s
    ON DUPLICATE KEY UPDATE words = %(words)s, prompt_digest = %(prompt_digest)s
"""

_UPDATE: Final = """
    UPDATE images
    SET status = %(status)s, filename = %(filename)s, media_type = %(media_type)s, byte_size = %(byte_size)s,
        sha256 = %(sha256)s, width = %(width)s, height = %(height)s, generator_usage = %(generator_usage)s,
        failure = %(failure)s, failure_kind = %(failure_kind)s, maybe_billed = %(maybe_billed)s,
        generator_request_id = %(generator_request_id)s, updated_at = %(updated_at)s, version = version + 1,
        lease_owner = IF(%(is_final)s, NULL, lease_owner), lease_until = IF(%(is_final)s, NULL, lease_until)
    WHERE guid = %(guid)s AND status = %(expected)s
        AND (NOT %(if_abandoned)s OR lease_until IS NULL OR lease_until <= CURRENT_TIMESTAMP(6))
"""

_CHANGE: Final = """
    UPDATE images
    SET filename = %(filename)s, visibility = %(visibility)s, updated_at = %(updated_at)s, version = %(version)s
    WHERE guid = %(guid)s AND version = %(expected_version)s
"""

_CORRECT_SIZE: Final = """
    UPDATE images
    SET width = %(new_width)s, height = %(new_height)s, updated_at = %(updated_at)s, version = version + 1
    WHERE guid = %(guid)s AND sha256 = %(sha256)s AND width = %(width)s AND height = %(height)s
"""

_DELETE: Final = "DELETE FROM images WHERE guid = %(guid)s AND version = %(expected_version)s"

_ADD_DELETION: Final = """
    INSERT INTO image_deletions (guid, lease_until)
    VALUES (%(guid)s, CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND)
"""

_DELETIONS: Final = """
    SELECT guid FROM image_deletions WHERE lease_until <= CURRENT_TIMESTAMP(6) ORDER BY guid LIMIT %(limit)s
"""

_CLAIM_DELETION: Final = """
    UPDATE image_deletions SET lease_until = CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND
    WHERE guid = %(guid)s AND lease_until <= CURRENT_TIMESTAMP(6)
"""

_FIND_DELETION: Final = "SELECT guid FROM image_deletions WHERE guid = %(guid)s"

_FINISH_DELETION: Final = "DELETE FROM image_deletions WHERE guid = %(guid)s"

_DIALECT: Final = Dialect(
    parameter="%({})s",
    # Equality ignores spaces at the end of a text, also under utf8mb4_bin.
    equal_texts="{column} = {parameter} AND CHAR_LENGTH({column}) = CHAR_LENGTH({parameter})",
    # Left to itself, MariaDB finds the place after the cursor by reading all that comes before it.
    walked="{table} FORCE INDEX ({index})",
    join="STRAIGHT_JOIN",
    tags="(SELECT GROUP_CONCAT(tag ORDER BY position SEPARATOR '\\n') FROM image_tags WHERE image_id = images.id)",
    words_id="image_words.image_id",
    is_of_prompt="image_words.prompt_digest = SHA2(images.prompt, 256)",
    match="MATCH (image_words.words) AGAINST ({} IN BOOLEAN MODE)",
    match_term="+{}",
)

_SELECT: Final = f"{_DIALECT.select} FROM images"

_COLUMNS: Final = _DIALECT.select.removeprefix("SELECT ").removesuffix(" AS tags")

# The driver takes long for each column, so that a record comes as one. Left to itself, a server that is asked for many
# guids at once may read the whole table instead.
_GET: Final = f"""
    SELECT guid, JSON_ARRAY({_COLUMNS}) FROM images FORCE INDEX (images_guid) WHERE guid IN %(guids)s
"""  # noqa: S608 -- nothing in it comes from outside

_UNSEARCHABLE: Final = """
    SELECT images.id, images.prompt FROM images
    LEFT JOIN image_words
        ON image_words.image_id = images.id AND image_words.prompt_digest = SHA2(images.prompt, 256)
    WHERE images.id > %(after)s AND image_words.image_id IS NULL ORDER BY images.id LIMIT %(limit)s
"""

_WORDS: Final = """
    SELECT images.id, images.prompt, image_words.words FROM images
    LEFT JOIN image_words ON image_words.image_id = images.id
    WHERE images.id > %(after)s ORDER BY images.id LIMIT %(limit)s
"""

# The column updated_at would otherwise follow of itself.
_RENEW: Final = """
    UPDATE images
    SET lease_until = CURRENT_TIMESTAMP(6) + INTERVAL %(lease_seconds)s SECOND, updated_at = updated_at
    WHERE guid = %(guid)s AND lease_owner = %(lease_owner)s AND status IN ('pending', 'generating')
"""

_ABANDONED: Final = """
    WHERE status IN ('pending', 'generating') AND (lease_until IS NULL OR lease_until <= CURRENT_TIMESTAMP(6))
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


# How many images are remembered by their records, and how long these may be: most are far shorter.
_RECENT_MAX_COUNT: Final = 1_024
_RECENT_MAX_LENGTH: Final = 8_192


class _Recent(NamedTuple):
    record: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLImageRepository(ImagePorts):
    """Keeps image records in tables `images`, `image_tags` and `image_words`, and what else belongs to them."""

    database: MySQLDatabase
    _records: BatchLoader[str] = field(init=False, repr=False, compare=False)
    _recent: OrderedDict[str, _Recent] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_records", BatchLoader(self._find_records))

    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        (words,) = await words_to_rows([(0, image.prompt)])

        async def store(cursor: aiomysql.Cursor) -> ImageId:
            # First what others may hold a lock on, and only then the transaction's first plain SELECT: where snapshots
            # are isolated (MariaDB since 11.6), nothing that is locked later may have changed since that.
            if claim is not None:
                await cursor.execute(_CLAIM, claim_to_row(claim, image.guid, claim_seconds))
            await cursor.execute(_ADD, {**image_to_row(image), **lease_to_row(lease)})
            image_id = ImageId(cursor.lastrowid)
            # Whoever deletes an image with this guid just now has let go of it by now.
            await cursor.execute(_FIND_DELETION, {"guid": str(image.guid)})
            if await cursor.fetchone():
                raise ConstraintViolationError("An image with this guid is being deleted.")
            await cursor.executemany(_ADD_TAG, _tags_to_rows(image, image_id))
            await cursor.execute(_ADD_WORDS, {**words, "image_id": image_id})
            return image_id

        return msgspec.structs.replace(image, id=await self.database.write(store))

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

    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        conditions = {"expected": expected.value, "if_abandoned": if_abandoned, "is_final": image.status.is_final}
        if not await self.database.execute(_UPDATE, {**image_to_row(image), **conditions}):
            await self._explain(image.guid)

    async def change(self, image: Image, *, expected_version: int) -> None:
        async def store(cursor: aiomysql.Cursor) -> bool:
            row = {**image_to_row(image), "expected_version": expected_version}
            was_changed = bool(await cursor.execute(_CHANGE, row))
            if was_changed and image.id is not None:
                await cursor.execute(_TAGS, {"image_id": image.id})
                stored = await cursor.fetchall()
                if [tag for _, tag in stored] != list(image.tags):
                    rows = [{"image_id": image.id, "position": position} for position, _ in stored]
                    await cursor.executemany(_REMOVE_TAG, rows)
                    await cursor.executemany(_ADD_TAG, _tags_to_rows(image, image.id))
            return was_changed

        if not await self.database.write(store):
            await self._explain(image.guid)

    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        new = {"sha256": content.sha256, "new_width": content.width, "new_height": content.height}
        return bool(await self.database.execute(_CORRECT_SIZE, {**image_to_row(image), **new}))

    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        async def remove(cursor: aiomysql.Cursor) -> bool:
            row = {"guid": str(guid), "expected_version": expected_version}
            was_deleted = bool(await cursor.execute(_DELETE, row))
            if was_deleted:
                await cursor.execute(_ADD_DELETION, {"guid": str(guid), "lease_seconds": lease_seconds})
            return was_deleted

        if not await self.database.write(remove):
            await self._explain(guid)

    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        return [
            guid
            for guid in await self.list_deletions(limit=limit)
            if await self.database.execute(_CLAIM_DELETION, {"guid": str(guid), "lease_seconds": lease_seconds})
        ]

    async def finish_deletion(self, guid: UUID) -> None:
        await self.database.execute(_FINISH_DELETION, {"guid": str(guid)})

    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        return [UUID(guid) for (guid,) in await self._rows(_DELETIONS, {"limit": limit})]

    async def is_being_deleted(self, guid: UUID) -> bool:
        return bool(await self._rows(_FIND_DELETION, {"guid": str(guid)}))

    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        async with self._lists(wanted) as lists:
            rows = await lists.page(wanted, order, after, limit)
        return [image_from_row(row) for row in rows]

    async def count_listed(self, wanted: ImageFilter) -> int:
        async with self._lists(wanted) as lists:
            return await lists.count(wanted)

    async def list_tags(
        self, wanted: TagFilter, *, limit: int, after: Tag | None = None, descending: bool = False
    ) -> Sequence[TagCount]:
        rows = await self._rows(*tags_query(_DIALECT, wanted, after, limit, descending=descending))
        return [tag_count_from_row(row) for row in rows]

    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        rows = await self._rows(_UNSEARCHABLE, {"after": after or 0, "limit": limit})
        words = await words_to_rows(rows)
        await self.database.write(lambda cursor: cursor.executemany(_ADD_WORDS, words))
        return [ImageId(image_id) for image_id, _ in rows]

    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltWords | None:
        found = await self._rows(_WORDS, {"after": after or 0, "limit": limit})
        if not found:
            return None
        rebuilt = await words_to_rows(found)
        outdated = [row for row, (_, _, words) in zip(rebuilt, found, strict=True) if row["words"] != words]
        if outdated:
            await self.database.write(lambda cursor: cursor.executemany(_ADD_WORDS, outdated))
        return RebuiltWords(ImageId(found[-1][0]), len(outdated))

    async def renew(self, guid: UUID, lease: Lease) -> None:
        await self.database.execute(_RENEW, {"guid": str(guid), **lease_to_row(lease)})

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
        await self.database.execute(_FORGET_CLAIM, parameters)

    async def forget_expired_claims(self) -> int:
        return await self.database.execute(_FORGET_CLAIMS, {})

    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        sql = f"{_SELECT} WHERE guid > %(after)s ORDER BY guid LIMIT %(limit)s"
        return [scanned_from_row(row) for row in await self._rows(sql, {"after": after, "limit": limit})]

    async def count(self) -> int:
        async with self.database.autocommit() as cursor:
            await cursor.execute("SELECT COUNT(*) FROM images")
            (number,) = await cursor.fetchone()
        return int(number)

    async def check(self) -> None:
        async with self.database.autocommit() as cursor:
            await cursor.execute("SELECT id FROM images LIMIT 1")

    @asynccontextmanager
    async def _lists(self, wanted: ImageFilter) -> AsyncIterator[ImageLists]:
        """Give what finds lists; those with words have to wait for their turn."""
        if wanted.search is None:
            yield ImageLists(dialect=_DIALECT, fetch_all=self._rows)
        else:
            async with self.database.search() as fetch_all:
                yield ImageLists(dialect=_DIALECT, fetch_all=fetch_all)

    async def _find_records(self, guids: Collection[str]) -> Mapping[str, str]:
        return {guid: record or "" for guid, record in await self._rows(_GET, {"guids": tuple(guids)})}

    async def _explain(self, guid: UUID) -> NoReturn:
        """Raise why a statement has not found the record that it was about."""
        await self.get(guid)
        raise ConstraintViolationError("The image has been changed by somebody else.")

    async def _rows(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        async with self.database.autocommit() as cursor:
            await cursor.execute(sql, parameters)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows


def _tags_to_rows(image: Image, image_id: int) -> Sequence[Mapping[str, object]]:
    # No author is the empty text: a reference with NULL in it would keep no copy true.
    return [{**row, "author": row["author"] or ""} for row in tags_to_rows(image, image_id)]
