"""Answers of the images endpoint, which neither the endpoint nor the client vouches for.

A 2xx answer is paid for. So its picture is taken whatever else is wrong with it, and all of an answer without a picture
is quarantined.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec

from pixyproxy.adapters.openai.compression import inflated
from pixyproxy.adapters.openai.encoded import decode_loosely, decode_picture
from pixyproxy.adapters.openai.members import Member, find_members, find_pictures, is_picture, without
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.upstream_error import NOTHING_GIVEN, UpstreamError
from pixyproxy.adapters.openai.upstream_meaning import domain_error_for, log_upstream_error
from pixyproxy.adapters.pictures.formats import begins_as_picture
from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import Picture, UnreadablePictureError
from pixyproxy.domain.errors import GenerationError, GenerationFailedError
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import kept_usage
from pixyproxy.domain.ports import GeneratedImage

# One image is requested, and no server sends more than ten.
_MAX_PICTURES: Final = 100
_MAX_ADDRESSES: Final = 4
_ADDRESS_MAX_LENGTH: Final = 8_192
_SAMPLE: Final = 200
# The codes that other services' envelopes have, or leave out, on success.
_SUCCESSES: Final = frozenset({b"", b"null", b"0", b"200", b'"0"', b'"200"', b'"success"', b'"ok"'})
# Besides pictures an answer has a few kilobytes; this much becomes up to 40 MB of objects in 10 ms.
_REST_MAX_SIZE: Final = 1 << 20


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a 2xx answer, as far as it was received.

    `content_encoding` is its header's, `request_id` OpenAI's name for the attempt, if known, and `broken` the reason
    for a truncated body.
    """

    body: bytes | bytearray
    content_encoding: str = ""
    request_id: str | None = None
    broken: GenerationError | None = None


class NoPicture(msgspec.Struct, frozen=True, kw_only=True):
    """An answer without a picture: the error, and the addresses where the picture may be."""

    error: GenerationError
    addresses: Sequence[str] = ()
    usage: Mapping[str, Any] | None = None
    result: GenerationResult | None = None


_ABSENT: Final = msgspec.Raw()


class _Rest(msgspec.Struct):
    """The members of an answer that are read besides pictures; msgspec skips all others."""

    data: msgspec.Raw = _ABSENT
    model: msgspec.Raw = _ABSENT
    size: msgspec.Raw = _ABSENT
    quality: msgspec.Raw = _ABSENT
    background: msgspec.Raw = _ABSENT
    output_format: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    svg_usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    errors: msgspec.Raw = _ABSENT
    code: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    msg: msgspec.Raw = _ABSENT


def read_answer(
    answer: Answer, *, max_size: int, redact: Redaction, given: Mapping[str, str] = NOTHING_GIVEN
) -> GeneratedImage | NoPicture:
    """Return the first picture of the answer, typed by its bytes, or why there is none.

    Takes the most bytes that the answer may inflate to, the redaction of the log, and the parameters that the client
    chose, with their fields in the client's request. Slow: call it in a worker thread.
    """
    body, is_all = inflated(answer.body, answer.content_encoding, max_size)
    members = list(islice(find_members(body, (b"b64_json", b"url")), _MAX_PICTURES))
    found = _Candidates(is_broken=answer.broken is not None)
    found.look_at(members)
    rest = _rest(body, members)
    error = answer.broken
    if found.picture is None:
        error = error or _told_error(rest, redact, answer.request_id, given)
        if error is answer.broken and not any(map(_is_address, members)):
            found.look_anywhere(body, redact.prompt)
    if found.picture is not None:
        return GeneratedImage(
            data=found.data,
            media_type=found.picture.media_type,
            width=found.picture.width,
            height=found.picture.height,
            usage=_usage(rest),
            request_id=answer.request_id,
            result=_result(rest),
        )
    error = error or _failure(body, members, rest, found)
    error.request_id = answer.request_id
    if error.maybe_billed and answer.body:
        error.quarantine = (found.data or body) if is_all else answer.body
    return NoPicture(
        error=error,
        addresses=_addresses(members) if error.maybe_billed and answer.broken is None else (),
        usage=_usage(rest),
        result=_result(rest),
    )


def read_picture(data: bytes, answer: NoPicture) -> GeneratedImage:
    """Return the picture that was downloaded for an answer; raise a `GenerationFailedError` if it is none."""
    request_id = answer.error.request_id
    try:
        picture = inspect_picture(data)
    except UnreadablePictureError as exc:
        detail = f"What OpenAI's answer refers to is no image. {exc}"
        raise GenerationFailedError(detail, maybe_billed=True, request_id=request_id, quarantine=data or None) from exc
    return GeneratedImage(
        data=data,
        media_type=picture.media_type,
        width=picture.width,
        height=picture.height,
        usage=answer.usage,
        request_id=request_id,
        result=answer.result,
    )


class _Candidates:
    """Looks for the first picture; `data` are its bytes, or those of the only text that could be decoded.

    If the answer `is_broken`, a text that it truncates is no picture: half a picture could be shown, but the client may
    get a whole one.
    """

    def __init__(self, *, is_broken: bool) -> None:
        self._is_broken = is_broken
        self._decoded: list[bytes] = []
        self._picture_data = b""
        self.picture: Picture | None = None
        self.reason: Exception | None = None

    @property
    def data(self) -> bytes:
        if self.picture is not None:
            return self._picture_data
        return self._decoded[0] if len(self._decoded) == 1 else b""

    def look_at(self, members: Iterable[Member]) -> None:
        """Look at the members that should be pictures."""
        for member in members:
            if member.start == member.end or _is_address(member) or self.picture is not None:
                continue
            text = member.text or b""
            try:
                data = bytes(decode_picture(text))
                self._decoded.append(data)
                self._inspect(data, member)
            except ValueError as exc:
                # Its traceback leads to frames that hold the whole answer, and back to this object.
                self.reason = self.reason or exc.with_traceback(None)
                if not isinstance(exc, UnreadablePictureError):
                    self._try_loosely(member)

    def look_anywhere(self, body: bytes | bytearray, prompt: str) -> None:
        """Look at all texts that begin like a picture, except web pages and the prompt, which may be repeated."""
        if begins_as_picture(body) and not self._is_broken:
            # Some servers send the picture itself.
            data = bytes(body)
            with suppress(UnreadablePictureError):
                self.picture, self._picture_data = inspect_picture(data), data
        if not _is_web_page(body):
            for member in islice(find_pictures(body), _MAX_PICTURES):
                if self.picture is None and (member.text or b"")[:_SAMPLE].decode(errors="replace") not in prompt:
                    self._try_loosely(member)

    def _try_loosely(self, member: Member) -> None:
        with suppress(ValueError):
            self._inspect(decode_loosely(member.text or b""), member)

    def _inspect(self, data: bytes, member: Member) -> None:
        if member.is_whole or not self._is_broken:
            self.picture, self._picture_data = inspect_picture(data), data


def _is_address(member: Member) -> bool:
    text = (member.text or bytearray())[:64].lstrip()
    return member.name == b"url" and not text.lower().startswith(b"data:") and not is_picture(text)


def _addresses(members: Sequence[Member]) -> list[str]:
    texts = (member.text or bytearray() for member in members if _is_address(member) and member.is_whole)
    short = (text for text in texts if 0 < len(text) <= _ADDRESS_MAX_LENGTH)
    return [text.decode(errors="replace").strip() for text in short][:_MAX_ADDRESSES]


def _rest(body: bytes | bytearray, members: Sequence[Member]) -> _Rest | None:
    """Return the rest of the answer, or None if it is no JSON object of a plausible size."""
    if len(body) - sum(member.end - member.start for member in members) > _REST_MAX_SIZE:
        return None
    try:
        return msgspec.json.decode(without(body, members).removeprefix(b"\xef\xbb\xbf"), type=_Rest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw) if bytes(raw) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _usage(rest: _Rest | None) -> Mapping[str, Any] | None:
    """Return OpenAI's account of the costs, if its size is plausible; it is no reason to lose a paid image."""
    if rest is None:
        return None
    usage, svg_usage = _value(rest.usage), _value(rest.svg_usage)
    kept = dict(usage) if isinstance(usage, dict) else {}
    if isinstance(svg_usage, dict):
        kept["svg_usage"] = svg_usage
    return kept_usage(kept) if kept else None


def _result(rest: _Rest | None) -> GenerationResult | None:
    """Return OpenAI's account of what it has drawn."""
    if rest is None:
        return None
    told = {name: _value(getattr(rest, name)) for name in ("model", "size", "quality", "background", "output_format")}
    revised = (item.get("revised_prompt") for item in _items(rest))
    return GenerationResult.of({**told, "revised_prompt": next(filter(None, revised), None)})


def _told_error(
    rest: _Rest | None, redact: Redaction, request_id: str | None, given: Mapping[str, str]
) -> GenerationError | None:
    """Return the domain's error for an error in an answer with status 200, if there is one."""
    if rest is None:
        return None
    told = (
        _value(rest.error)
        or _value(rest.errors)
        or next((item["error"] for item in _items(rest) if item.get("error")), None)
    )
    if told is True or (not told and not bytes(rest.data) and bytes(rest.code).lower() not in _SUCCESSES):
        message = _value(rest.message) or _value(rest.msg)
        told = {"code": _value(rest.code), "message": message} if message else None
    if not told:
        return None
    upstream = UpstreamError.read(200, told, redact, is_in_good_answer=True, given=given)
    error = domain_error_for(upstream)
    usage = _usage(rest) or {}
    if any(isinstance(usage.get(name), int) and usage[name] > 0 for name in ("total_tokens", "output_tokens")):
        error.maybe_billed = True
    log_upstream_error(upstream, error, redact, request_id=request_id)
    return error


def _items(rest: _Rest) -> Iterator[Mapping[str, Any]]:
    """Yield the items of an answer's data, without pictures."""
    data = _value(rest.data)
    yield from (item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()


def _failure(
    body: bytes | bytearray, members: Sequence[Member], rest: _Rest | None, found: _Candidates
) -> GenerationError:
    detail = _what_is_wrong(body, members, rest, found)
    error = GenerationFailedError(detail, maybe_billed=True)
    error.__cause__ = found.reason
    return error


def _what_is_wrong(body: bytes | bytearray, members: Sequence[Member], rest: _Rest | None, found: _Candidates) -> str:
    if not body:
        return "OpenAI answered with nothing."
    if found.reason is not None and not members[-1].is_whole:
        return "OpenAI's answer ends before its image does."
    if isinstance(found.reason, UnreadablePictureError):
        return f"OpenAI answered with something that is no image. {found.reason}"
    if found.reason is not None:
        return "OpenAI's answer has an image whose content is not valid base64."
    if rest is None:
        return f"OpenAI answered with {'a web page' if _is_web_page(body) else 'something'} instead of a JSON object."
    return _what_is_wrong_with_data(members, bytes(rest.data))


def _is_web_page(body: bytes | bytearray) -> bool:
    return bytes(body[:1024]).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _what_is_wrong_with_data(members: Sequence[Member], data: bytes) -> str:
    if any(map(_is_address, members)):
        return "OpenAI's answer has no image, but an address where it may be, and the image could not be fetched."
    if data in {b"", b"null"}:
        return "OpenAI's answer has no data."
    if not data.startswith(b"["):
        return "OpenAI's answer has data that is no list."
    return f"OpenAI's answer has {'an image without content' if data[1:].strip(b' ]') else 'no image in its data'}."
