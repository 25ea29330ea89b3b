"""The index of references in a database: what the options of requests refer to."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.adapters.sql.rows import reference_to_row, references_to_rows, stored_pictures
from pixyproxy.adapters.sql.uploads import let_go_of_uploads
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import RebuiltIndex

ADD_REFERENCE: Final = """
    INSERT INTO image_references (image_id, position, guid, sha256)
    VALUES (:image_id, :position, :reference_guid, :sha256)
"""

_REQUESTS: Final = "SELECT id, request FROM images WHERE id > :after ORDER BY id LIMIT :limit"

_REQUEST: Final = "SELECT request FROM images WHERE id = :image_id"

_INDEXED: Final = """
    SELECT image_id, position, guid, sha256 FROM image_references
    WHERE image_id > :after AND image_id <= :last ORDER BY image_id, position
"""

_REMOVE: Final = "DELETE FROM image_references WHERE image_id = :image_id AND position = :position"

# MySQL would otherwise change updated_at by itself.
_LOCK: Final = "UPDATE images SET updated_at = updated_at WHERE id = :image_id"

Rows = Sequence[Mapping[str, object]]


async def rebuild_references(database: SQLDatabase, *, after: int, limit: int) -> RebuiltIndex | None:
    """Index up to `limit` images after `after` by the references in their requests; return None at the end."""
    found = await database.fetch_list(_REQUESTS, {"after": after, "limit": limit})
    if not found:
        return None
    last = ImageId(found[-1][0])
    rows = await database.fetch_list(_INDEXED, {"after": after, "last": last})
    indexed = {image_id: _rows_of(group) for image_id, group in groupby(rows, key=itemgetter(0))}
    changed = 0
    for image_id, request in found:
        if _outdated(request, image_id, indexed.get(image_id, [])) is not None:
            changed += await database.write(partial(_index_stored, image_id=image_id))
    return RebuiltIndex(last, changed)


async def _index_stored(transaction: Transaction, *, image_id: int) -> bool:
    # Lock first: the transaction's first SELECT then sees all committed changes.
    await transaction.execute(_LOCK, {"image_id": image_id})
    for (request,) in await transaction.fetch_all(_REQUEST, {"image_id": image_id}):
        page = {"after": image_id - 1, "last": image_id}
        indexed = _rows_of(await transaction.fetch_all(_INDEXED, page))
        rows = _outdated(request, image_id, indexed)
        if rows is not None:
            await transaction.execute_many(_REMOVE, [_key_of(row) for row in indexed])
            await transaction.execute_many(ADD_REFERENCE, rows)
            await let_go_of_uploads(transaction, sorted(_uploads(indexed) - _uploads(rows)))
            return True
    return False


def _outdated(request: str | None, image_id: int, indexed: Rows) -> Rows | None:
    """Return the rows for a stored request, None if these are indexed or the request is damaged."""
    try:
        rows = references_to_rows(stored_pictures(request), image_id)
    except DataValidationError:
        return None
    return None if rows == indexed else rows


def _rows_of(found: Any) -> Rows:
    return [reference_to_row(*row) for row in found]


def _key_of(row: Mapping[str, object]) -> Mapping[str, object]:
    return {"image_id": row["image_id"], "position": row["position"]}


def _uploads(rows: Rows) -> set[str]:
    return {str(row["sha256"]) for row in rows if row["sha256"] is not None}
