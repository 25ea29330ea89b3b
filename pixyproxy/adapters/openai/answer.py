"""What an answer of OpenAI's images endpoint brings, which neither the endpoint nor its client vouches for."""

from collections.abc import Mapping
from typing import Any, Final

import jiter
import msgspec
import pybase64

from pixyproxy.adapters.pillow.inspection import inspect_picture
from pixyproxy.adapters.pillow.picture import UnreadablePictureError
from pixyproxy.domain.errors import GenerationFailedError
from pixyproxy.domain.image import MediaType
from pixyproxy.domain.ports import GeneratedImage

USAGE_MAX_SIZE = 16_384

OUTPUT_FORMATS: Final[Mapping[str, MediaType]] = {
    "png": MediaType.PNG,
    "jpeg": MediaType.JPEG,
    "webp": MediaType.WEBP,
    "gif": MediaType.GIF,
    "svg": MediaType.SVG,
}
"""The formats of `openai.types.ImageGenerateParams`."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer with a good status, and OpenAI's own name for the attempt, where it told one."""

    body: bytes
    request_id: str | None = None


def read_answer(body: bytes, requested_format: str | None, request_id: str | None = None) -> GeneratedImage:
    """Return the image in the body of a good answer, the first one if there are several.

    Takes the output format that was asked for, if one was, and OpenAI's name for the attempt. Raises a
    `GenerationFailedError` that says what is wrong. It takes a while: call it in a worker thread.
    """
    try:
        return _read(body, requested_format, request_id)
    except GenerationFailedError as exc:
        exc.request_id = request_id
        raise


def _read(body: bytes, requested_format: str | None, request_id: str | None) -> GeneratedImage:
    answer = _parse(body)
    data = _content(answer)
    try:
        picture = inspect_picture(data)
    except UnreadablePictureError as exc:
        raise _unusable(f"OpenAI answered with something that is no image. {exc}") from exc
    for origin, label in (("OpenAI names", answer.get("output_format")), ("PixyProxy asked for", requested_format)):
        if label is not None and OUTPUT_FORMATS.get(str(label)) is not picture.media_type:
            raise _unusable(f"The format of the image is {picture.media_type.name}, which is not the one {origin}.")
    return GeneratedImage(
        data=data,
        media_type=picture.media_type,
        width=picture.width,
        height=picture.height,
        usage=_usage(answer),
        request_id=request_id,
    )


def _unusable(detail: str) -> GenerationFailedError:
    """Make the error for an answer that came with status 200 and is billed, whatever is in it."""
    return GenerationFailedError(detail, maybe_billed=True)


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        raise _unusable("OpenAI answered with nothing.")
    try:
        # The quickest parser there is for one very long text, and `openai` brings it along: it, too, keeps the lock.
        answer = jiter.from_json(body, allow_inf_nan=False, cache_mode="none")
    except ValueError as exc:
        is_html = body[:1024].lstrip().startswith(b"<")
        raise _unusable(f"OpenAI answered with {'a web page' if is_html else 'something'} instead of JSON.") from exc
    if not isinstance(answer, dict):
        raise _unusable("OpenAI answered with JSON that is no object.")
    return answer


def _content(answer: dict[str, Any]) -> bytes:
    """Return the decoded bytes of the first image."""
    images = answer.get("data")
    if images is None:
        raise _unusable("OpenAI's answer has no data.")
    if not isinstance(images, list):
        raise _unusable("OpenAI's answer has data that is no list.")
    if not images:
        raise _unusable("OpenAI's answer has no image in its data.")
    encoded = images[0].get("b64_json") if isinstance(images[0], dict) else None
    if not isinstance(encoded, str) or not encoded:
        raise _unusable("OpenAI's answer has an image without content.")
    try:
        # The standard library's decoder would keep the interpreter's lock, and with it the event loop, to its end.
        return pybase64.b64decode(encoded, validate=True)
    except ValueError as exc:
        raise _unusable("OpenAI's answer has an image whose content is not valid base64.") from exc


def _usage(answer: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return OpenAI's own account, if there is one of a sensible size; it is no reason to lose a paid image."""
    usage = answer.get("usage")
    kept = dict(usage) if isinstance(usage, dict) else {}
    if isinstance(answer.get("svg_usage"), dict):
        kept["svg_usage"] = answer["svg_usage"]
    return kept if kept and len(msgspec.json.encode(kept)) <= USAGE_MAX_SIZE else None
