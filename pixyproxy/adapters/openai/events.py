"""Answers that are streams of events: server-sent events (HTML, 9.2), with a partial or the final picture each.

The `openai` client's decoder bounds nothing, parses on the event loop, and waits for the end of the stream after the
final picture.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

import msgspec

from pixyproxy.adapters.openai.answer import Answer, NoPicture
from pixyproxy.adapters.openai.compression import inflated
from pixyproxy.adapters.openai.encoded import decode_picture
from pixyproxy.adapters.openai.members import Member, find_members, without
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.upstream_error import NOTHING_GIVEN, UpstreamError
from pixyproxy.adapters.openai.upstream_meaning import domain_error_for, log_upstream_error
from pixyproxy.adapters.pictures.formats import begins_as_picture
from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import GenerationBrokenOffError, GenerationError
from pixyproxy.domain.ports import OnPartial, PartialImage

_BOM: Final = b"\xef\xbb\xbf"
# A comment, or a field of an event. Some servers send a data URL (RFC 2397).
_FIRST_LINE: Final = re.compile(rb"\s*+(?::|(?!data:image/)(?:data|event|id|retry)[:\r\n])")
_LINE_ENDS: Final = re.compile(rb"[\r\n]*+")
# An end of a line, and the blank line after it; the second half of a CRLF is left to be skipped.
_BLANK_LINE: Final = re.compile(rb"\n[\r\n]|\r\r")
_FIELD_MAX_LENGTH: Final = len("event:")
_DONE: Final = b"[DONE]"

_MAX_PICTURES: Final = 100
# Besides the picture, an event has a few hundred bytes.
_HEAD_MAX_SIZE: Final = 1 << 20
# A slow listener must not hold up the final picture.
_PARTIAL_SECONDS: Final = 5.0


class EventSplitter:
    """Splits the events off the beginning of a body, which grows as it is received.

    A body that does not begin like a stream of events is left as it is.
    """

    def __init__(self, body: bytearray) -> None:
        self._body = body
        self._searched = 0
        self._is_stream: bool | None = None

    def next(self) -> bytes | None:
        """Remove the next event from the body and return it; None until it is complete."""
        while self._is_stream is not False:
            if self._is_stream is None and self._body.startswith(_BOM):
                del self._body[: len(_BOM)]
            if blank_lines := _LINE_ENDS.match(self._body):
                del self._body[: blank_lines.end()]
            end = self._end()
            if end is None:
                return None
            if self._is_stream is None:
                self._is_stream = is_event_stream(self._body)
                continue
            event = bytes(self._body[:end])
            del self._body[:end]
            self._searched = 0
            return event
        return None

    def _end(self) -> int | None:
        positions = (self._body.find(sign, self._searched) for sign in (b"\n", b"\r"))
        first = min((position for position in positions if position >= 0), default=None)
        found = None if first is None else _BLANK_LINE.search(self._body, first)
        if found is not None:
            return found.end()
        # A search finds single bytes a hundred times faster than an expression does.
        self._searched = max(0, len(self._body) - 1)
        return None


class _Kind(Enum):
    PARTIAL = auto()
    COMPLETED = auto()
    ERROR = auto()
    END = auto()
    OTHER = auto()


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it came: what it means, whether its data `is_whole`, its pictures, and the error that it tells."""

    raw: bytes
    kind: _Kind
    is_whole: bool
    pictures: Sequence[Member]
    told: Any = None

    @property
    def data(self) -> bytes:
        """Its data as one text."""
        return _fields(self.raw)[1]


class EventStream:
    """Collects the events of one answer.

    Takes the most partial images that are handed to `on_partial`, and `run`, which runs a slow function elsewhere.
    """

    def __init__(
        self,
        max_partial_images: int,
        on_partial: OnPartial,
        run: Callable[[Callable[[], PartialImage | None]], Awaitable[PartialImage | None]],
    ) -> None:
        self._missing = max_partial_images
        self._on_partial = on_partial
        self._run = run
        self._taken: bytes | None = None
        self._has_begun = False
        self._has_partials = False
        self._last_partial: bytes | None = None
        self._last: _Event | None = None
        self._unknown: _Event | None = None

    async def take(self, raw: bytes) -> bool:
        """Take the next event and hand on its partial image; return whether the stream is over."""
        self._taken = raw
        partial = await self._run(self._note_taken)
        if partial is not None:
            # Nothing that happens to a partial image may cost the final one.
            with suppress(Exception):
                async with asyncio.timeout(_PARTIAL_SECONDS):
                    await self._on_partial(partial)
        return self._last is not None

    def settle(
        self, answer: Answer, *, max_size: int, redact: Redaction, given: Mapping[str, str] = NOTHING_GIVEN
    ) -> Answer | NoPicture:
        """Return what is to be read as an ordinary answer, or the error; `answer` is what was not taken.

        Slow: call it in a worker thread.
        """
        # The time was over before the last event was read; it may have the picture.
        self._note_taken()
        rest: bytes | bytearray = answer.body
        if not self._has_begun:
            # No event ended, or the stream is compressed.
            rest, _ = inflated(answer.body, answer.content_encoding, max_size)
            if rest.strip() and not is_event_stream(rest):
                return answer
            rest = self._note_all(rest)
        unfinished = _read_event(bytes(rest))
        if self._last is None and (unfinished.is_whole or unfinished.kind is _Kind.COMPLETED):
            self._note_event(unfinished)
        broken = answer.broken or _broken_off()
        last = self._last
        if last is not None and last.kind is _Kind.ERROR:
            upstream = UpstreamError.read(200, last.told, redact, is_in_good_answer=True, given=given)
            return self._failed(self._told_error(upstream, redact, answer.request_id), rest, answer.request_id)
        if last is not None and last.kind is _Kind.COMPLETED:
            is_cut = last is unfinished and not last.is_whole
            return Answer(body=last.data, request_id=answer.request_id, broken=broken if is_cut else None)
        if self._unknown is not None:
            return Answer(body=self._unknown.data, request_id=answer.request_id)
        return self._failed(broken, rest, answer.request_id)

    def keep_partial(self, error: GenerationError) -> None:
        """Quarantine the last partial image, unless some of the final picture is in quarantine."""
        if self._last_partial and not begins_as_picture(error.quarantine or b""):
            error.quarantine = self._last_partial

    def _note_taken(self) -> PartialImage | None:
        raw, self._taken = self._taken, None
        return None if raw is None else self._note_event(_read_event(raw))

    def _note_all(self, body: bytes | bytearray) -> bytearray:
        """Note the events of a whole body, and return the rest."""
        rest = bytearray(body)
        events = EventSplitter(rest)
        while self._last is None and (raw := events.next()) is not None:
            self._note_event(_read_event(raw))
        return rest

    def _note_event(self, event: _Event) -> PartialImage | None:
        """Note the event, and return its partial image if that is wanted."""
        self._has_begun = True
        if event.kind is _Kind.PARTIAL:
            return self._note_partial(event)
        if event.kind is not _Kind.OTHER:
            self._last = event
        elif event.pictures:
            self._unknown = event
        return None

    def _note_partial(self, event: _Event) -> PartialImage | None:
        self._has_partials = True
        if not self._missing:
            return None
        for member in event.pictures:
            with suppress(ValueError):
                data = bytes(decode_picture(member.text or b""))
                picture = inspect_picture(data)
                if picture.media_type is not MediaType.SVG:
                    self._last_partial = data
                    self._missing -= 1
                    return PartialImage(data=data, media_type=picture.media_type)
        return None

    def _told_error(self, upstream: UpstreamError, redact: Redaction, request_id: str | None) -> GenerationError:
        # The status of the answer was sent before anything was drawn, and says nothing.
        error = domain_error_for(msgspec.structs.replace(upstream, is_in_good_answer=False))
        if self._has_partials or upstream.status == HTTPStatus.OK:
            error.maybe_billed = True
        log_upstream_error(upstream, error, redact, request_id=request_id)
        return error

    def _failed(self, error: GenerationError, rest: bytes | bytearray, request_id: str | None) -> NoPicture:
        error.request_id = request_id
        if error.maybe_billed:
            error.quarantine = self._last_partial or rest or None
        return NoPicture(error=error)


def is_event_stream(body: bytes | bytearray) -> bool:
    """Whether the body begins like a stream of events."""
    return _FIRST_LINE.match(body, len(_BOM) if body.startswith(_BOM) else 0) is not None


def _broken_off() -> GenerationError:
    return GenerationBrokenOffError("OpenAI's stream of events ended before the image was there.", maybe_billed=True)


class _Head(msgspec.Struct, frozen=True):
    """The members of an event that are read besides pictures; msgspec skips all others."""

    type: Any = None
    error: Any = None
    partial_image_index: Any = None
    message: Any = None
    code: Any = None
    param: Any = None


def _read_event(raw: bytes) -> _Event:
    members = list(islice(find_members(raw, (b"b64_json", b"url")), _MAX_PICTURES))
    pictures = [member for member in members if member.end > member.start]
    # Without the pictures it is small, unless it is hostile.
    name, data = _fields(without(raw, members)[:_HEAD_MAX_SIZE])
    head = _head(data)
    kind = _kind_of(name, data, head, has_picture=bool(pictures))
    told: Any = None
    if kind is _Kind.ERROR and head is None:
        told = data.decode(errors="replace")
    elif kind is _Kind.ERROR and head is not None:
        told = head.error or {"code": head.code, "message": head.message, "param": head.param}
    return _Event(raw=raw, kind=kind, is_whole=head is not None or not data, pictures=pictures, told=told)


def _fields(raw: bytes) -> tuple[bytes, bytes]:
    """Return the name and the data of an event."""
    name, lines = b"", []
    for start, end in _lines(raw):
        field, colon, _ = raw[start : min(end, start + _FIELD_MAX_LENGTH)].partition(b":")
        begin = start + len(field) + len(colon)
        value = raw[begin + (raw[begin : begin + 1] == b" ") : end] if field in {b"data", b"event"} else b""
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return name, lines[0] if len(lines) == 1 else b"\n".join(lines)


def _lines(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each line begins and ends."""
    start = 0
    ends = {b"\n": -1, b"\r": -1}
    while start < len(raw):
        for sign, end in ends.items():
            if end < start:
                found = raw.find(sign, start)
                ends[sign] = len(raw) if found < 0 else found
        end = min(ends.values())
        yield start, end
        start = end + 1


def _head(data: bytes) -> _Head | None:
    """Return the head of an event, or None if its data is no JSON object."""
    try:
        return msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _kind_of(name: bytes, data: bytes, head: _Head | None, *, has_picture: bool) -> _Kind:
    """Return the kind of an event: the `type` in its data counts more than its name."""
    if data.strip() == _DONE:
        return _Kind.END
    told = _type_of(data, head) or name.decode(errors="replace").strip()
    if told.endswith(".partial_image"):
        return _Kind.PARTIAL
    if told.endswith(".completed"):
        return _Kind.COMPLETED
    if told == "error" or (head is not None and head.error):
        return _Kind.ERROR
    if told or head is None or not has_picture:
        return _Kind.OTHER
    return _Kind.COMPLETED if head.partial_image_index is None else _Kind.PARTIAL


def _type_of(data: bytes, head: _Head | None) -> str:
    if head is not None:
        return head.type if isinstance(head.type, str) else ""
    # The data is damaged or truncated.
    member = next(find_members(data, (b"type",)), None)
    return (member.text or b"").decode(errors="replace") if member is not None else ""
