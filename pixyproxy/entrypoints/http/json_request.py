"""Requests with a JSON body."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from pixyproxy.domain.errors import BadRequestError, DataValidationError

# A prompt of 32,000 characters and 32 tags have at most 420 KB, all characters escaped.
MAX_BODY_SIZE = 1024 * 1024

_AT_ONCE: Final = 32 * 1024
_NAME_SHOWN: Final = 100
_DATA_URL: Final = b'"data:'
_ESCAPE: Final = b"\\"


class JSONRequest(Request[Any, Any, Any]):
    """Refuses a body that is not JSON, with a problem that says why.

    Refuses other media types before reading the body, so that no form on another site can make a logged-in browser buy
    images: browsers ask a site before they send it JSON from another.
    """

    media_types: ClassVar[Sequence[str]] = ["application/json"]

    async def body(self) -> bytes:
        ensure_media_type(self, self.media_types)
        try:
            body = await super().body()
        except InternalServerException as exc:
            raise BadRequestError("The client left before the body was whole.") from exc
        except RequestEntityTooLarge as exc:
            raise RequestEntityTooLarge(detail=f"The body is larger than {MAX_BODY_SIZE:,} bytes.") from exc
        if not body:
            raise BadRequestError("The body is empty; it must be a JSON object.")
        return body

    async def json(self) -> Any:
        return await read_json(await self.body())


def ensure_media_type(request: Request[Any, Any, Any], media_types: Sequence[str]) -> None:
    """Raise `HTTPException` (415) unless the `Content-Type` is one of `media_types`."""
    if request.content_type[0] not in media_types:
        raise HTTPException(
            status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            detail=f"The Content-Type must be {' or '.join(media_types)}.",
            # RFC 5789, section 2.2, and RFC 9110, section 12.5.1.
            headers={"Accept-Patch" if request.method == "PATCH" else "Accept": ", ".join(media_types)},
        )


async def read_json(body: bytes | bytearray) -> Any:
    """Return what `decode_json` returns, without blocking other requests for long."""
    # A MiB of small objects takes a tenth of a second.
    return decode_json(body) if len(body) <= _AT_ONCE else await asyncio.to_thread(decode_json, body)


def decode_json(body: bytes | bytearray) -> Any:
    """Return the decoded `body`; raise `BadRequestError` if it is not JSON, or has a field twice.

    Of two such fields msgspec takes the last, and other programs the first (RFC 8259, section 4).
    """
    try:
        decoded = msgspec.json.decode(body)
        json.loads(_without_pictures(body), object_pairs_hook=_refuse_duplicates, parse_int=float, strict=False)
    except UnicodeDecodeError:
        raise BadRequestError("The body is not valid UTF-8.") from None
    except RecursionError:
        raise BadRequestError("The body is nested too deeply.") from None
    except msgspec.DecodeError as exc:
        raise BadRequestError(f"The body is not valid JSON: {exc}.") from None
    return decoded


def _without_pictures(body: bytes | bytearray) -> bytes:
    """Return valid JSON without the `data:` URLs in it, which need not be decoded twice."""
    kept: list[bytes | bytearray] = []
    start = 0
    while (begin := body.find(_DATA_URL, start)) >= 0 and (end := body.find(b'"', begin + 1)) >= 0:
        kept.append(body[start : begin + 1])
        is_name = body[end + 1 : end + 64].lstrip().startswith(b":")
        is_whole = not is_name and _has_escaped_slashes_only(body, begin, end)
        start = end if is_whole else begin + 1
    return b"".join([*kept, body[start:]])


def _has_escaped_slashes_only(body: bytes | bytearray, begin: int, end: int) -> bool:
    """Whether a quotation mark at `end` is not escaped, nor anything before it but slashes, as PHP does."""
    if body.find(_ESCAPE, begin, end) < 0:
        return True
    return body.count(_ESCAPE, begin, end) == body.count(_ESCAPE + b"/", begin, end)


def json_in(field: str, text: str) -> Any:
    """Return the JSON value in the text of a form's field; raise `DataValidationError` if there is none."""
    try:
        return decode_json(text.encode())
    except DataValidationError:
        raise
    except BadRequestError as exc:
        raise DataValidationError(field, f"must be JSON: {exc.detail}") from None


def _refuse_duplicates(pairs: Sequence[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise DataValidationError(twice[:_NAME_SHOWN], "must not be there twice")


class StrictJSONRequest(JSONRequest):
    """The same, and takes a text such as "2" for no number, as Litestar would."""

    async def json(self) -> Any:
        return self.converted(await super().json())

    def converted(self, decoded: Any) -> Any:
        """Return a decoded body as the handler takes it; raise `ValidationException` if it does not fit."""
        body = self.route_handler.parsed_data_field
        return converted_to(Any if body is None else body.annotation, decoded)


def converted_to(kind: Any, decoded: Any) -> Any:
    """Return a decoded body as an object of a kind; raise `ValidationException`, which names the field."""
    try:
        return msgspec.convert(decoded, kind)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `$")
        raise ValidationException(extra=[{"key": path.strip(".`") or "data", "message": message}]) from None


class MergePatchRequest(JSONRequest):
    """The same for a merge patch (RFC 7396), whose media type may also be JSON."""

    media_types: ClassVar[Sequence[str]] = ["application/merge-patch+json", "application/json"]
