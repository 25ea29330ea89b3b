"""The parts of a `multipart/form-data` body (RFC 7578), a chunk at a time."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from pixyproxy.domain.errors import BadRequestError, DataValidationError
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.body_chunks import body_chunks, too_large
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.json_request import MAX_BODY_SIZE

FORM_MEDIA_TYPE: Final = "multipart/form-data"
PARTS_MAX_COUNT: Final = 128

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
_TEXT_TYPES: Final = frozenset({None, "text/plain", "application/json"})
_UNENCODED: Final = frozenset({"7bit", "8bit", "binary"})
_CHARSETS: Final = frozenset({None, "utf-8", "utf8", "us-ascii", "ascii"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
# What surrounds the content of each part.
_OVERHEAD: Final = 16 << 10


def form_max_size(files: int, file_max_size: int) -> int:
    """Return the most bytes of a form with that many files, and with texts."""
    return files * file_max_size + MAX_BODY_SIZE + PARTS_MAX_COUNT * _OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPart:
    """One part: its head, and its content on the way."""

    name: str
    filename: str | None
    media_type: str | None
    charset: str | None
    encoding: str | None
    content: AsyncIterator[bytes]

    def ensure_unencoded(self, field: str) -> None:
        """Raise `DataValidationError` for a content in an encoding of mail."""
        if self.encoding is not None and self.encoding.lower() not in _UNENCODED:
            raise DataValidationError(field, "must have no Content-Transfer-Encoding")

    async def file(self) -> AsyncIterator[bytes] | None:
        """Return the content of a file, None for one that was not chosen in a browser."""
        first = await anext(self.content, None)
        return None if first is None and not self.filename else _joined(first, self.content)


@dataclass(slots=True, kw_only=True)
class FormParts:
    """The parts of one form of at most `max_size` bytes, with at most 128 parts and 1 MiB of texts."""

    request: APIRequest
    max_size: int
    text_size: int = 0

    async def __aiter__(self) -> AsyncIterator[FormPart]:
        """Yield each part, and skip what is not read of it.

        Raises `BadRequestError` for a malformed form and `HTTPException` for one that is too large.
        """
        events: AsyncIterator[Any] = _events(self.request, self.max_size)
        number = 0
        async for head in events:
            number += 1
            if not head.name:
                raise BadRequestError(f"Part {number} of the form has no name.")
            content = _content(events)
            yield FormPart(
                name=head.name,
                filename=head.filename,
                media_type=head.content_type,
                charset=head.charset,
                encoding=head.header("Content-Transfer-Encoding"),
                content=content,
            )
            async for _ in content:
                pass

    async def text(self, part: FormPart, field: str) -> str:
        """Return the text of a part, with LF at the end of its lines; raise `DataValidationError` for anything else."""
        if part.media_type not in _TEXT_TYPES or (part.charset or "utf-8").lower() not in _CHARSETS:
            raise DataValidationError(field, "must be text in UTF-8")
        pieces: list[bytes] = []
        async for piece in part.content:
            self.text_size += len(piece)
            if self.text_size > MAX_BODY_SIZE:
                raise too_large(f"The texts of the form, up to {field}, are larger than {MAX_BODY_SIZE:,} bytes.")
            pieces.append(piece)
        try:
            # Browsers send each LF as CRLF (HTML, multipart/form-data encoding algorithm), also those of scripts.
            return b"".join(pieces).decode().replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise DataValidationError(field, "must be text in UTF-8") from None


def number_in(text: str) -> int | str:
    """Return the whole number that a text is, else the text."""
    return int(text) if _NUMBER.fullmatch(text) else text


# The head of a part, a piece of its content, and None at its end.
_Event: TypeAlias = MultipartSegment | bytes | None


async def _events(request: APIRequest, max_size: int) -> AsyncIterator[_Event]:
    parser = PushMultipartParser(_boundary(request), max_segment_count=PARTS_MAX_COUNT)
    part = 0
    async for chunk in body_chunks(request, max_size):
        try:
            for event in parser.parse(chunk):
                part += isinstance(event, MultipartSegment)
                yield event
        except ParserLimitReached as exc:
            if part == PARTS_MAX_COUNT:
                raise too_large(f"The form has more than {PARTS_MAX_COUNT} parts.") from exc
            raise too_large(f"Part {part + 1} of the form is too large: {_reason(exc)}.") from exc
        except MultipartError as exc:
            raise BadRequestError(f"The form is malformed after part {part}: {_reason(exc)}.") from exc
    try:
        parser.close()
    except MultipartError as exc:
        if not part:
            raise BadRequestError("The form breaks off before the first part, or has another boundary.") from exc
        raise BadRequestError(f"The form breaks off after the beginning of part {part}.") from exc


def _reason(error: MultipartError) -> str:
    if isinstance(error.__context__, UnicodeDecodeError):
        return "its head must be text in UTF-8"
    return str(error.args[0])


def _boundary(request: APIRequest) -> str:
    header = (header_of(request.scope, b"content-type") or b"").decode("latin-1")
    boundary = parse_options_header(header)[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequestError("The Content-Type multipart/form-data must have a boundary of 1 to 200 characters.")
    return str(boundary)


async def _content(events: AsyncIterator[_Event]) -> AsyncIterator[bytes]:
    """Yield the bytes of the part whose head was read last."""
    while isinstance(event := await anext(events), bytes):
        yield event


async def _joined(first: bytes | None, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first is not None:
        yield first
    async for piece in rest:
        yield piece
