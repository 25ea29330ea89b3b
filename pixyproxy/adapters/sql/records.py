"""Image records as JSON, which the database writes and msgspec decodes.

A driver in Python takes longer for the columns of one row than msgspec for ten records.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from pixyproxy.domain.errors import DamagedRecordError, DataValidationError, DBConnectionError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import DamagedRecord

# The separator between texts that a database joins.
Concat = Callable[[Sequence[str]], str]

# The fields of `Image` as JSON, with SQL between < and >. Columns that are quoted here contain a quotation mark only if
# they are damaged.
_RECORD: Final = """
{"id":<images.id>,
"guid":"<images.guid>",
"filename":<JSON_QUOTE(images.filename)>,
"request":{"prompt":<JSON_QUOTE(images.prompt)><options>,
"tags":<tags>,
"author":<COALESCE(JSON_QUOTE(images.author), 'null')>,
"visibility":"<images.visibility>",
"status":"<images.status>",
"model":<JSON_QUOTE(images.model)>,
"created_at":"<images.created_at>Z",
"updated_at":"<images.updated_at>Z",
"version":<images.version>,
"content":<content>,
"usage":<COALESCE(images.generator_usage, 'null')>,
"failure":<failure>,
"generator_request_id":<COALESCE(JSON_QUOTE(images.generator_request_id), 'null')>,
"result":<COALESCE(images.result, 'null')>,
"batch":<batch>,
"sender":<COALESCE(images.sender, 'null')>}
"""

# The column has the options as a JSON object; its members follow the prompt.
_OPTIONS: Final = ",<SUBSTR(images.request, 2)>"

_BATCH: Final = """
{"guid":"<images.batch>",
"position":<images.batch_position>,
"size":<images.batch_size>}
"""

_CONTENT: Final = """
{"media_type":"<images.media_type>",
"byte_size":<images.byte_size>,
"sha256":"<images.sha256>",
"width":<images.width>,
"height":<images.height>}
"""

# Before script 0004, only the detail of a failure was stored.
_FAILURE: Final = """
{"kind":<JSON_QUOTE(COALESCE(images.failure_kind, 'GenerationFailedError'))>,
"detail":<JSON_QUOTE(images.failure)>,
"maybe_billed":<CASE WHEN images.maybe_billed = 0 THEN 'false' ELSE 'true' END>,
"field":<COALESCE(JSON_QUOTE(images.failure_field), 'null')>}
"""

_SQL: Final = re.compile("<(.+?)>")

_IMAGE: Final = msgspec.json.Decoder(Image)
_IMAGES: Final = msgspec.json.Decoder(list[Image])


def record_sql(concat: Concat, tags: str) -> str:
    """Return the SQL of a record with these tags."""
    failure = f"CASE WHEN images.failure IS NULL THEN 'null' ELSE {_sql(_FAILURE, concat)} END"
    parts = {
        "options": f"COALESCE({_sql(_OPTIONS, concat)}, '}}')",
        "tags": tags,
        "content": f"COALESCE({_sql(_CONTENT, concat)}, 'null')",
        "failure": failure,
        "batch": f"COALESCE({_sql(_BATCH, concat)}, 'null')",
    }
    record = _RECORD
    for name, sql in parts.items():
        record = record.replace(f"<{name}>", f"<{sql}>")
    return _sql(record, concat)


def _sql(template: str, concat: Concat) -> str:
    parts = _SQL.split(template.replace("\n", ""))
    return concat([part if number % 2 else f"'{part}'" for number, part in enumerate(parts) if part])


def image_from_record(guid: str, record: str | None) -> Image:
    """Return the image of a record; only the types are checked.

    Raises `DamagedRecordError`, and `DBConnectionError` for a record that is too long for the server to send.
    """
    if record is None:
        raise DBConnectionError("The database can't send a record that it holds.")
    try:
        return _IMAGE.decode(record)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Usage may have integers of any size and lone surrogates, which msgspec does not decode.
        image = msgspec.convert(json.loads(record), Image)
        # Tags may not: they could not be sent.
        "".join(image.tags).encode()
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise _damaged(guid) from exc
    return image


def valid_image_from_record(guid: str, record: str | None) -> Image:
    """Return the image of a record; raise what `image_from_record` does, also if the record breaks another rule."""
    try:
        return image_from_record(guid, record).ensure_valid()
    except DataValidationError as exc:
        raise _damaged(guid) from exc


def scanned_record(guid: str, record: str | None) -> Image | DamagedRecord:
    """Return the valid image of a record, or a `DamagedRecord`."""
    try:
        return valid_image_from_record(guid, record)
    except DamagedRecordError:
        return DamagedRecord(guid=guid)


def undamaged_images(records: Iterable[Sequence[str]]) -> Sequence[Image]:
    """Return the valid images of records, each preceded by its guid."""
    images = []
    for guid, record in records:
        with suppress(DamagedRecordError):
            images.append(valid_image_from_record(guid, record))
    return images


def images_from_page(count: int, records: str | None) -> Sequence[Image] | None:
    """Return the images of `count` records with commas between them; None if some are damaged or were cut off."""
    try:
        images = _IMAGES.decode(f"[{records or ''}]")
    except (msgspec.DecodeError, RecursionError):
        return None
    return images if len(images) == count else None


def _damaged(guid: str) -> DamagedRecordError:
    return DamagedRecordError(f"The record of image {guid} is damaged.")
