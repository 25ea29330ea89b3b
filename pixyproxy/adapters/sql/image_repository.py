"""Image records in a database."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, NoReturn
from uuid import UUID

import msgspec

from pixyproxy.adapters.sql.counters import count_up, read_counter
from pixyproxy.adapters.sql.database import Transaction
from pixyproxy.adapters.sql.list_queries import ImageLists, changes_query, tags_query
from pixyproxy.adapters.sql.records import scanned_record, undamaged_images, valid_image_from_record
from pixyproxy.adapters.sql.references import ADD_REFERENCE, rebuild_references
from pixyproxy.adapters.sql.rows import (
    COPIED,
    claim_to_row,
    claimed_from_row,
    image_to_row,
    references_to_rows,
    stored_tags,
    tag_count_from_row,
    tags_to_rows,
    time_to_text,
    undamaged_changes,
    words_to_rows,
)
from pixyproxy.adapters.sql.uploads import SQLUploads, keep_uploads, let_go_of_uploads, uploads_of
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.errors import ConstraintViolationError, DataValidationError
from pixyproxy.domain.idempotency import ORDER_PREFIX, Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageId, ImageStatus, image_conflict, image_not_found
from pixyproxy.domain.listing import (
    ChangePosition,
    ImageChange,
    ImageFilter,
    ImageOrder,
    ImagePosition,
    TagCount,
    TagFilter,
)
from pixyproxy.domain.ports import ClaimOutcome, DamagedRecord, ImagePorts, Lease, RebuiltIndex, Unfinished
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName

# The name of the counter of the turns in the queue.
_QUEUE: Final = "queue"

_ADD: Final = """
    INSERT INTO images (
        guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,
        generator_usage, failure, failure_kind, failure_field, maybe_billed, generator_request_id, request, result,
        batch, batch_position, batch_size, sender, created_at, updated_at, version, tags
    ) VALUES (
        :guid, :filename, :prompt, :author, :visibility, :status, :model, :media_type, :byte_size, :sha256, :width,
        :height, :generator_usage, :failure, :failure_kind, :failure_field, :maybe_billed, :generator_request_id,
        :request, :result, :batch, :batch_position, :batch_size, :sender, :created_at, :updated_at, :version,
        :tags
    )
"""

_ADD_TAG: Final = """
    INSERT INTO image_tags (image_id, position, tag, author, visibility, status, created_at, guid)
    VALUES (:image_id, :position, :tag, {tag_author}, :visibility, :status, :created_at, :guid)
"""

_TAGS: Final = "SELECT position, tag FROM image_tags WHERE image_id = :image_id ORDER BY position"

# Deleting by the whole key locks rows without gaps; gap locks would block the tags of neighbouring images.
_REMOVE_TAG: Final = "DELETE FROM image_tags WHERE image_id = :image_id AND position = :position"

_TAGS_OF_IMAGES: Final = """
    SELECT images.id, images.tags, {indexed_tags} FROM images WHERE images.id > :after ORDER BY images.id LIMIT :limit
"""

# MySQL would otherwise change updated_at by itself.
_STORE_TAGS: Final = """
    UPDATE images SET tags = COALESCE({indexed_tags}, '[]'), updated_at = updated_at
    WHERE id > :after AND id <= :last AND tags IS NULL
"""

_LOCK: Final = "UPDATE images SET updated_at = updated_at WHERE id = :image_id"

_TAGGED: Final = "SELECT tags, author, visibility, status, created_at, guid FROM images WHERE id = :image_id"

_UPDATE: Final = """
    UPDATE images
    SET status = :status, filename = :filename, media_type = :media_type, byte_size = :byte_size, sha256 = :sha256,
        width = :width, height = :height, generator_usage = :generator_usage, failure = :failure,
        failure_kind = :failure_kind, failure_field = :failure_field, maybe_billed = :maybe_billed,
        generator_request_id = :generator_request_id, result = :result, updated_at = :updated_at, version = version + 1,
        lease_owner = CASE WHEN :ends_lease THEN NULL ELSE lease_owner END, next_look_at = NULL
    WHERE guid = :guid AND status = :expected AND (:lease_owner IS NULL OR lease_owner = :lease_owner)
"""

_CHANGE: Final = """
    UPDATE images
    SET filename = :filename, visibility = :visibility, tags = :tags, updated_at = :updated_at, version = :version
    WHERE guid = :guid AND version = :expected_version
"""

_CORRECT_SIZE: Final = """
    UPDATE images
    SET width = :new_width, height = :new_height, updated_at = :updated_at, version = version + 1
    WHERE guid = :guid AND sha256 = :sha256 AND width = :width AND height = :height
"""

_DELETE: Final = "DELETE FROM images WHERE guid = :guid AND version = :expected_version"

_ADD_DELETION: Final = "INSERT INTO image_deletions (guid, lease_until) VALUES (:guid, {later})"

_DELETIONS: Final = "SELECT guid FROM image_deletions WHERE lease_until <= {now} ORDER BY guid LIMIT :limit"

_CLAIM_DELETION: Final = """
    UPDATE image_deletions SET lease_until = {later} WHERE guid = :guid AND lease_until <= {now}
"""

_FIND_DELETION: Final = "SELECT guid FROM image_deletions WHERE guid = :guid"

_FINISH_DELETION: Final = "DELETE FROM image_deletions WHERE guid = :guid"

_RECORDS: Final = "SELECT images.guid, {whole_record} FROM images"

_UNSEARCHABLE: Final = """
    SELECT images.id, images.prompt, images.sender FROM images LEFT JOIN image_words ON {has_words}
    WHERE images.id > :after AND {words_id} IS NULL ORDER BY images.id LIMIT :limit
"""

_WORDS: Final = """
    SELECT images.id, images.prompt, images.sender, image_words.words FROM images
    LEFT JOIN image_words ON {words_id} = images.id
    WHERE images.id > :after ORDER BY images.id LIMIT :limit
"""

_UNFINISHED: Final = """
    SELECT author, lease_owner IS NULL AND status = 'pending' AS is_waiting, COUNT(*) FROM images
    WHERE status IN ('pending', 'generating') AND (status = 'generating' OR lease_owner IS NOT NULL OR {of_models})
    GROUP BY author, is_waiting
"""

# `place` counts the author's waiting images before this one.
_NEXT: Final = """
    SELECT waiting.guid
    FROM (
        SELECT id, guid, created_at, COALESCE(author, '') AS author_key,
            ROW_NUMBER() OVER (PARTITION BY author ORDER BY created_at, id) - 1 AS place
        FROM images
        WHERE status = 'pending' AND lease_owner IS NULL AND created_at >= :since AND {of_models}
    ) AS waiting
    LEFT JOIN (
        SELECT COALESCE(author, '') AS author_key, COUNT(*) AS number
        FROM images
        WHERE status = 'generating' OR (status = 'pending' AND lease_owner IS NOT NULL)
        GROUP BY COALESCE(author, '')
    ) AS running ON running.author_key = waiting.author_key
    LEFT JOIN queue_turns ON queue_turns.author = waiting.author_key
    ORDER BY waiting.place + COALESCE(running.number, 0), COALESCE(queue_turns.turn, 0), waiting.created_at,
        waiting.id
    LIMIT :limit
"""

_OVERDUE: Final = """
    SELECT guid FROM images WHERE status = 'pending' AND lease_owner IS NULL AND created_at < :before LIMIT :limit
"""

_RUNNING: Final = """
    SELECT COUNT(*) FROM images
    WHERE status IN ('pending', 'generating') AND lease_owner IS NOT NULL AND limited_by = :limited_by
"""

# MySQL would otherwise change updated_at by itself, here and below.
_GRANT: Final = """
    UPDATE images
    SET lease_owner = :lease_owner, lease_renewals = lease_renewals + 1, limited_by = :limited_by,
        updated_at = updated_at
    WHERE guid = :guid AND status = 'pending' AND (lease_owner IS NULL OR lease_owner = :lease_owner)
"""

_STORE_TURN: Final = """
    REPLACE INTO queue_turns (author, turn) SELECT COALESCE(author, ''), :turn FROM images WHERE guid = :guid
"""

_RENEW: Final = """
    UPDATE images SET lease_renewals = lease_renewals + 1, updated_at = updated_at
    WHERE guid = :guid AND lease_owner = :lease_owner AND status IN ('pending', 'generating')
"""

_LEASES: Final = """
    SELECT guid, lease_owner, lease_renewals FROM images
    WHERE status = 'generating' OR (status = 'pending' AND lease_owner IS NOT NULL)
    ORDER BY created_at, guid LIMIT :limit
"""

_TAKE_OVER: Final = """
    UPDATE images
    SET lease_owner = :lease_owner, lease_renewals = lease_renewals + 1, limited_by = NULL, updated_at = updated_at
    WHERE guid = :guid AND lease_renewals = :renewals
        AND (lease_owner = :seen_owner OR (lease_owner IS NULL AND :seen_owner IS NULL))
        AND (status = 'generating' OR (status = 'pending' AND lease_owner IS NOT NULL))
"""

_GIVE_BACK: Final = """
    UPDATE images SET lease_owner = NULL, updated_at = updated_at
    WHERE guid = :guid AND lease_owner = :lease_owner AND status IN ('pending', 'generating')
"""

_UNKNOWN: Final = """
    WHERE status = 'unknown' AND updated_at >= :since AND (next_look_at IS NULL OR next_look_at <= {now})
    ORDER BY updated_at DESC, guid LIMIT :limit
"""

_PUT_OFF: Final = """
    UPDATE images SET next_look_at = {later}, updated_at = updated_at
    WHERE guid = :guid AND status = 'unknown' AND (next_look_at IS NULL OR next_look_at <= {now})
"""

_CLAIM: Final = """
    INSERT INTO idempotency_keys (author, idempotency_key, guid, fingerprint, attempt, expires_at)
    VALUES (:author, :idempotency_key, :guid, :fingerprint, :attempt, {later})
"""

_REPLACE_CLAIM: Final = """
    UPDATE idempotency_keys SET guid = :guid, attempt = :attempt, expires_at = {later}
    WHERE author = :author AND idempotency_key = :idempotency_key AND guid = :replaces
"""

_FIND_ORDER: Final = """
    SELECT idempotency_key, attempt FROM idempotency_keys
    WHERE author = :author AND idempotency_key > :before_orders AND idempotency_key < :after_orders
        AND fingerprint = :fingerprint AND attempt < :attempt AND expires_at > {now}
    ORDER BY attempt DESC, expires_at, idempotency_key LIMIT 1
"""

_TAKE_ORDER: Final = """
    UPDATE idempotency_keys SET attempt = :attempt
    WHERE author = :author AND idempotency_key = :idempotency_key AND attempt = :expected
"""

_FIND_CLAIM: Final = """
    SELECT guid, fingerprint FROM idempotency_keys
    WHERE author = :author AND idempotency_key = :idempotency_key AND expires_at > {now}
"""

_FORGET_CLAIM: Final = """
    DELETE FROM idempotency_keys
    WHERE author = :author AND idempotency_key = :idempotency_key AND guid = :guid
"""

_FORGET_CLAIMS: Final = "DELETE FROM idempotency_keys WHERE expires_at <= {now}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLImageRepository(SQLUploads, ImagePorts):
    """Keeps image records in tables `images`, `image_tags` and `image_words`, and in the tables that belong to them."""

    async def add(self, image: Image, *, claim: Claim | None = None) -> Image:
        (stored,) = await self.add_batch(image.guid, [image], claim=claim)
        return stored

    async def add_batch(self, guid: UUID, images: Sequence[Image], *, claim: Claim | None = None) -> Sequence[Image]:
        words = await words_to_rows([(0, image.prompt, image_to_row(image)["sender"]) for image in images])

        async def store(transaction: Transaction) -> Sequence[ImageId]:
            # Statements that wait for locks come before the transaction's first plain SELECT: with snapshot isolation
            # (MariaDB since 11.6), a row that is locked later must not have changed since that SELECT.
            if claim is not None:
                await _store_claim(transaction, claim, guid)
            await keep_uploads(transaction, images)
            ids = [ImageId(await transaction.insert(_ADD, image_to_row(image))) for image in images]
            for image, image_id, of_prompt in zip(images, ids, words, strict=True):
                # A concurrent deletion of an image with this guid has ended.
                if await transaction.fetch_all(_FIND_DELETION, {"guid": str(image.guid)}):
                    raise ConstraintViolationError("An image with this guid is being deleted.")
                await transaction.execute_many(_ADD_TAG, tags_to_rows(image.tags, image_id, image_to_row(image)))
                await transaction.execute_many(ADD_REFERENCE, references_to_rows(image.request.pictures, image_id))
                await transaction.execute("{add_words}", {**of_prompt, "image_id": image_id})
            return ids

        ids = await self.database.write(store)
        return [msgspec.structs.replace(image, id=image_id) for image, image_id in zip(images, ids, strict=True)]

    async def list_batch(self, guid: UUID) -> Sequence[Image]:
        sql = f"{_RECORDS} WHERE batch = :batch ORDER BY batch_position, guid"
        return undamaged_images(await self.database.fetch_all(sql, {"batch": str(guid)}))

    async def get(self, guid: UUID) -> Image:
        rows = await self.database.fetch_all(f"{_RECORDS} WHERE guid = :guid", {"guid": str(guid)})
        if not rows:
            raise image_not_found(guid)
        return valid_image_from_record(*rows[0])

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        await self._update(image, expected, owner=None)

    async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
        await self._update(image, expected, owner=owner)

    async def _update(self, image: Image, expected: ImageStatus, *, owner: str | None) -> None:
        ends_lease = image.status is not ImageStatus.GENERATING
        conditions = {"expected": expected.value, "ends_lease": ends_lease, "lease_owner": owner}
        if not await self.database.execute(_UPDATE, {**image_to_row(image), **conditions}):
            await self._explain(image.guid)

    async def change(self, image: Image, *, expected_version: int) -> None:
        async def store(transaction: Transaction) -> bool:
            row = {**image_to_row(image), "expected_version": expected_version}
            was_changed = bool(await transaction.execute(_CHANGE, row))
            if was_changed and image.id is not None:
                await _index_tags(transaction, image.tags, image.id, row)
            return was_changed

        if not await self.database.write(store):
            await self._explain(image.guid)

    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        new = {"sha256": content.sha256, "new_width": content.width, "new_height": content.height}
        return bool(await self.database.execute(_CORRECT_SIZE, {**image_to_row(image), **new}))

    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        # An image's references never change, so they can be read before the transaction.
        uploads = await uploads_of(self.database, guid)

        async def remove(transaction: Transaction) -> bool:
            row = {"guid": str(guid), "expected_version": expected_version}
            was_deleted = bool(await transaction.execute(_DELETE, row))
            if was_deleted:
                await let_go_of_uploads(transaction, uploads)
                await transaction.execute(_ADD_DELETION, {"guid": str(guid), "seconds": lease_seconds})
            return was_deleted

        if not await self.database.write(remove, makes_room=True):
            await self._explain(guid)

    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        return [
            guid
            for guid in await self.list_deletions(limit=limit)
            if await self.database.execute(
                _CLAIM_DELETION, {"guid": str(guid), "seconds": lease_seconds}, makes_room=True
            )
        ]

    async def finish_deletion(self, guid: UUID) -> None:
        await self.database.execute(_FINISH_DELETION, {"guid": str(guid)}, makes_room=True)

    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        return [UUID(guid) for (guid,) in await self.database.fetch_all(_DELETIONS, {"limit": limit})]

    async def is_being_deleted(self, guid: UUID) -> bool:
        return bool(await self.database.fetch_all(_FIND_DELETION, {"guid": str(guid)}))

    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        async with self._lists(wanted) as lists:
            return await lists.page(wanted, order, after, limit)

    async def count_listed(self, wanted: ImageFilter) -> int:
        async with self._lists(wanted) as lists:
            return await lists.count(wanted)

    async def list_changes(self, author: UserName, *, after: ChangePosition, limit: int) -> Sequence[ImageChange]:
        query = changes_query(self.database.dialect, author, after, limit)
        return undamaged_changes(await self.database.fetch_list(*query))

    async def list_tags(
        self, wanted: TagFilter, *, limit: int, after: Tag | None = None, descending: bool = False
    ) -> Sequence[TagCount]:
        rows = await self.database.fetch_list(
            *tags_query(self.database.dialect, wanted, after, limit, descending=descending)
        )
        return [tag_count_from_row(row) for row in rows]

    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        rows = await self.database.fetch_list(_UNSEARCHABLE, {"after": after or 0, "limit": limit})
        words = await words_to_rows(rows)
        await self.database.write(lambda transaction: transaction.execute_many("{add_words}", words))
        return [ImageId(image_id) for image_id, *_ in rows]

    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        found = await self.database.fetch_list(_WORDS, {"after": after or 0, "limit": limit})
        if not found:
            return None
        rebuilt = await words_to_rows(found)
        outdated = [row for row, (*_, words) in zip(rebuilt, found, strict=True) if row["words"] != words]
        if outdated:
            await self.database.write(lambda transaction: transaction.execute_many("{add_words}", outdated))
        return RebuiltIndex(ImageId(found[-1][0]), len(outdated))

    async def rebuild_tags(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        found = await self.database.fetch_list(_TAGS_OF_IMAGES, {"after": after or 0, "limit": limit})
        if not found:
            return None
        last = ImageId(found[-1][0])
        changed = await self.database.execute(_STORE_TAGS, {"after": after or 0, "last": last})
        for image_id, tags, indexed in found:
            if tags is not None and _differ(tags, indexed or "[]"):
                changed += await self.database.write(partial(_index_stored_tags, image_id=image_id))
        return RebuiltIndex(last, changed)

    async def rebuild_references(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        return await rebuild_references(self.database, after=after or 0, limit=limit)

    async def count_unfinished(self, *, models: Collection[str] | None = None) -> Mapping[UserName | None, Unfinished]:
        numbers: dict[UserName | None, Unfinished] = {}
        for author, is_waiting, number in await self.database.fetch_all(*_of_models(_UNFINISHED, models)):
            before = numbers.get(author, Unfinished())
            numbers[author] = Unfinished(number, before.running) if is_waiting else Unfinished(before.waiting, number)
        return numbers

    async def list_next(self, *, since: datetime, models: Collection[str] | None = None, limit: int) -> Sequence[UUID]:
        sql, names = _of_models(_NEXT, models)
        rows = await self.database.fetch_all(sql, {"since": time_to_text(since), "limit": limit, **names})
        return [UUID(guid) for (guid,) in rows]

    async def list_overdue(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        rows = await self.database.fetch_all(_OVERDUE, {"before": time_to_text(before), "limit": limit})
        return [UUID(guid) for (guid,) in rows]

    async def claim(
        self, guid: UUID, *, owner: str, limited_by: str | None = None, max_running: int | None = None
    ) -> ClaimOutcome:
        async def grant(transaction: Transaction) -> ClaimOutcome:
            # All claims wait for each other here, so that they neither overlook nor overtake one another.
            await count_up(transaction, _QUEUE)
            if max_running is not None:
                ((running,),) = await transaction.fetch_all(_RUNNING, {"limited_by": limited_by})
                if running >= max_running:
                    return ClaimOutcome.FULL
            row = {"guid": str(guid), "lease_owner": owner, "limited_by": limited_by}
            if not await transaction.execute(_GRANT, row):
                return ClaimOutcome.TAKEN
            turn = await read_counter(transaction, _QUEUE)
            await transaction.execute(_STORE_TURN, {"guid": str(guid), "turn": turn})
            return ClaimOutcome.CLAIMED

        return await self.database.write(grant)

    async def renew(self, guid: UUID, owner: str) -> bool:
        return bool(await self.database.execute(_RENEW, {"guid": str(guid), "lease_owner": owner}))

    async def list_leases(self, *, limit: int) -> Sequence[Lease]:
        rows = await self.database.fetch_all(_LEASES, {"limit": limit})
        return [Lease(guid=UUID(guid), owner=owner, renewals=renewals) for guid, owner, renewals in rows]

    async def take_over(self, lease: Lease, owner: str) -> bool:
        seen = {"guid": str(lease.guid), "seen_owner": lease.owner, "renewals": lease.renewals}
        return bool(await self.database.execute(_TAKE_OVER, {**seen, "lease_owner": owner}))

    async def give_back(self, guid: UUID, owner: str) -> None:
        await self.database.execute(_GIVE_BACK, {"guid": str(guid), "lease_owner": owner})

    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        parameters = {"since": time_to_text(since), "limit": limit}
        return undamaged_images(await self.database.fetch_all(f"{_RECORDS} {_UNKNOWN}", parameters))

    async def put_off(self, guid: UUID, *, seconds: float) -> bool:
        return bool(await self.database.execute(_PUT_OFF, {"guid": str(guid), "seconds": seconds}))

    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        rows = await self.database.fetch_all(_FIND_CLAIM, {"author": author or "", "idempotency_key": key})
        return claimed_from_row(rows[0]) if rows else None

    async def take_order(self, author: UserName | None, fingerprint: str, attempt: int) -> IdempotencyKey | None:
        wanted = {
            "author": author or "",
            "before_orders": ORDER_PREFIX,
            "after_orders": f"{ORDER_PREFIX.rstrip()}!",
            "fingerprint": fingerprint,
            "attempt": attempt,
        }
        while found := await self.database.fetch_all(_FIND_ORDER, wanted):
            ((key, expected),) = found
            if await self.database.execute(_TAKE_ORDER, {**wanted, "idempotency_key": key, "expected": expected}):
                return IdempotencyKey(key)
        return None

    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        parameters = {"author": author or "", "idempotency_key": key, "guid": str(guid)}
        await self.database.execute(_FORGET_CLAIM, parameters)

    async def forget_expired_claims(self) -> int:
        return await self.database.execute(_FORGET_CLAIMS)

    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        sql = f"{_RECORDS} WHERE guid > :after ORDER BY guid LIMIT :limit"
        return [scanned_record(*row) for row in await self.database.fetch_all(sql, {"after": after, "limit": limit})]

    async def count(self) -> int:
        ((number,),) = await self.database.fetch_all("SELECT COUNT(*) FROM images")
        return int(number)

    async def check(self) -> None:
        await self.database.fetch_all("SELECT id FROM images LIMIT 1")

    @asynccontextmanager
    async def _lists(self, wanted: ImageFilter) -> AsyncIterator[ImageLists]:
        """Yield the lists; a search for words waits for its turn."""
        dialect = self.database.dialect
        if wanted.search is None:
            yield ImageLists(dialect=dialect, fetch_all=self.database.fetch_list)
        else:
            async with self.database.search() as fetch_all:
                yield ImageLists(dialect=dialect, fetch_all=fetch_all)

    async def _explain(self, guid: UUID) -> NoReturn:
        """Raise the reason why a statement did not find its record."""
        await self.get(guid)
        raise image_conflict()


def _of_models(sql: str, models: Collection[str] | None) -> tuple[str, Mapping[str, str]]:
    """Return the statement for images of one of the models, or for all images, and its parameters."""
    names = {f"model_{number}": model for number, model in enumerate(models or ())}
    condition = "1 = 1" if models is None else f"model IN ({', '.join(f':{name}' for name in names) or 'NULL'})"
    return sql.replace("{of_models}", condition), names


async def _store_claim(transaction: Transaction, claim: Claim, guid: UUID) -> None:
    if claim.replaces is None:
        await transaction.execute(_CLAIM, claim_to_row(claim, guid))
    elif not await transaction.execute(_REPLACE_CLAIM, claim_to_row(claim, guid)):
        raise ConstraintViolationError("The order to replace is gone.")


async def _index_tags(
    transaction: Transaction, tags: Sequence[str], image_id: int, image: Mapping[str, object]
) -> bool:
    """Update the rows of table `image_tags` to an image's tags; return whether they differed."""
    indexed = await transaction.fetch_all(_TAGS, {"image_id": image_id})
    if [tag for _, tag in indexed] == list(tags):
        return False
    rows = [{"image_id": image_id, "position": position} for position, _ in indexed]
    await transaction.execute_many(_REMOVE_TAG, rows)
    await transaction.execute_many(_ADD_TAG, tags_to_rows(tags, image_id, image))
    return True


async def _index_stored_tags(transaction: Transaction, *, image_id: int) -> bool:
    # Lock first: the transaction's first SELECT then sees all committed changes.
    await transaction.execute(_LOCK, {"image_id": image_id})
    for tags, *copied in await transaction.fetch_all(_TAGGED, {"image_id": image_id}):
        return await _index_tags(transaction, stored_tags(tags), image_id, dict(zip(COPIED, copied, strict=True)))
    return False


def _differ(tags: str, indexed: str) -> bool:
    """Whether stored tags differ from those in the index; damaged ones count as equal."""
    try:
        return stored_tags(tags) != msgspec.json.decode(indexed, type=tuple[Tag, ...])
    except DataValidationError:
        return False
