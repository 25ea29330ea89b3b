"""A stand-in for OpenAI's images endpoint on a real socket, which misbehaves on request.

In a test::

    async with OpenAIServer() as server:
        server.script("rate-limit 1", "ok")  # the next two answers; after that every answer is "ok"
        ...  # a client of server.base_url with server.api_key
        assert server.billed == ["a red fox"]

As a process of its own: ``python -m tests.doubles.openai_server --port 8081``. There, and wherever nothing is scripted,
the prompt chooses: ``a red fox [[slow 5]]``. `BEHAVIOURS` has all names. ``GET /stand-in`` tells what was asked and
billed::

    {
        "requests": 2,
        "billed": ["a red fox"],
        "times_billed": {"a red fox": 1},
        "request_ids": {"a red fox": ["req_6b0f…"]},
        "waiting": {"a": 1}
    }

``GET /pictures/good`` brings a picture for an answer that only refers to it; `_picture` has other names.

An answer with ``[[gate a]]`` is billed and then held until ``POST /stand-in/open/a`` (or `open_gate`); with
``[[gate-body a]]`` the head and half of the body go out first. ``waiting`` has the gates at which answers are held, and
how many; a client that goes away waits no longer. A gate that was opened stays open.

A request with ``stream`` brings events: as many partial images as it asks for, and the final one. ``[[slow 5]]``
spreads them over that time, and ``[[gate-body a]]`` holds the final one. ``[[stream …]]`` and ``[[stream-end …]]``
bring strange ones; every other behaviour answers as if nothing was said about streams.

An edit is read part by part; what it consists of is in `requests`, where `Form` tells names, types, sizes and digests.
``[[cut-upload 1000]]``, ``[[reset-upload 1000]]`` and ``[[stall-upload 1000]]`` hang up, or read no further, after that
many bytes of the body, and ``[[early 413]]`` answers before it has come, and drops the rest.

It checks a request as the real endpoint does (key, path, parameters and their values as the types of the installed
`openai` package have them) and counts as billed every prompt it began to draw, whatever became of the answer.
"""

import argparse
import asyncio
import base64
import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import re
import secrets
import signal
import socket
import struct
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import responses
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, get_type_hints
from urllib.parse import unquote

from openai.types.image_edit_params import ImageEditParamsBase
from openai.types.image_generate_params import ImageGenerateParamsBase
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from tests.doubles.forms import Form
from tests.doubles.hostile_svg import hostile_svg
from tests.doubles.strange_answers import CODINGS, ENCODINGS, STREAMS, USAGES, event, heap

KEY: Final = "sk-stand-in-0123456789"
ANSWERS: Final = Path(__file__).parent.parent / "answers"

SHUT_DOWN_MODELS = {"dall-e-2", "dall-e-3", "gpt-image-1"}
RETIRED_PARAMETERS = {"response_format", "style"}
DIRECTIVE = re.compile(r"\[\[(?P<name>[a-z0-9-]+)(?: (?P<argument>(?:[^\]]|\](?!\]))+))?\]\]")
FOREVER = 86_400.0


EDIT_FILES: Final = frozenset({"image", "mask", "markup"})
PICTURE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
MAX_PICTURES: Final = 16


def _parameters(kind: Any) -> type[BaseModel]:
    """Return the parameters that the installed `openai` package knows, and no others; files are not among them."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in EDIT_FILES}
    fields: dict[str, Any] = {
        name: (hint, ... if name in kind.__required_keys__ else None) for name, hint in hints.items()
    }
    return create_model(
        kind.__name__, __config__=ConfigDict(extra="forbid", strict=True), stream=(bool | None, None), **fields
    )


PARAMETERS: Final = _parameters(ImageGenerateParamsBase)
EDIT_PARAMETERS: Final = _parameters(ImageEditParamsBase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer over the socket.

    `delay` seconds pass before the first byte and `drip` seconds between pieces of `piece` bytes. The connection is cut
    after `cut_after` bytes of the body, in good manners (FIN) or, with `is_reset`, without (RST). With a `gate` it is
    held until that is open: before the first byte or, with `held_after`, after that many bytes of the body. `marks` are
    places in the body where pieces begin, too.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_billed: bool = True
    is_chunked: bool = False
    is_reset: bool = False
    delay: float = 0.0
    drip: float = 0.0
    piece: int = 65_536
    cut_after: int | None = None
    gate: str | None = None
    held_after: int | None = None
    marks: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request as it came in, and the id that its answer brings.

    `json` is its body, or None if that is no JSON; `form` is its body if that is a form, as far as it came.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    json: Any
    at: float
    form: Form | None = None
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")


class Order:
    """A valid request and its picture."""

    def __init__(self, parameters: Mapping[str, Any], *, is_edit: bool = False) -> None:
        self.parameters = parameters
        self.prompt: str = parameters["prompt"]
        self.format: str = parameters.get("output_format") or "png"
        self.is_streamed = bool(parameters.get("stream"))
        self.event_prefix = "image_edit" if is_edit else "image_generation"

    def picture(self) -> bytes:
        """Return a real picture in the size and the format asked for, tinted by the prompt."""
        size = self.parameters.get("size") or "auto"
        width, height = (1024, 1024) if size == "auto" else map(int, size.split("x"))
        red, green, blue, *_ = hashlib.sha256(self.prompt.encode()).digest()
        if self.format == "svg":
            return (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
                f'<rect width="100%" height="100%" fill="rgb({red},{green},{blue})"/></svg>'
            ).encode()
        gradient = ImageOps.colorize(Image.linear_gradient("L"), (red, green, blue), (255, 250, 235))
        picture = gradient.resize((width, height), Image.Resampling.NEAREST)
        if self.parameters.get("background") == "transparent":
            picture.putalpha(200)
        target = io.BytesIO()
        picture.save(target, self.format, compress_level=1)
        return target.getvalue()

    def partial(self, number: int) -> bytes:
        """Return the picture on its way: its colours are not there yet."""
        grey = Order({**self.parameters, "prompt": f"{self.prompt} {number}", "background": "opaque"})
        return grey.picture()

    def events(self, final: bytes, **changes: Any) -> list[bytes]:
        """Return the events that bring `final`, the partial images before it; `changes` replace fields of the last."""
        document = self.document()
        common = {name: document[name] for name in ("size", "quality", "background", "output_format")}
        common["created_at"] = document["created"]
        usage = {name: value for name, value in document["usage"].items() if name != "output_tokens_details"}
        events = [
            event(
                f"{self.event_prefix}.partial_image",
                b64_json=base64.b64encode(self.partial(number)).decode(),
                partial_image_index=number,
                **common,
            )
            for number in range(self.parameters.get("partial_images") or 0)
        ]
        last = {"b64_json": base64.b64encode(final).decode(), **common, "usage": usage, **changes}
        return [*events, event(f"{self.event_prefix}.completed", **last)]

    def noise(self, byte_size: int) -> bytes:
        """Return a PNG of about `byte_size` bytes, which no compression makes smaller."""
        edge = max(1, math.isqrt(byte_size // 3))
        target = io.BytesIO()
        Image.frombytes("RGB", (edge, edge), os.urandom(edge * edge * 3)).save(target, "png", compress_level=0)
        return target.getvalue()

    def document(self, *pictures: bytes, **changes: Any) -> dict[str, Any]:
        """Return the JSON document that brings `pictures`; `changes` replace its fields."""
        width, height = (self.parameters.get("size") or "1024x1024").replace("auto", "1024x1024").split("x")
        drawn, read = int(width) * int(height) // 256, len(self.prompt) // 4 + 1
        return {
            "created": int(time.time()),
            "background": "transparent" if self.parameters.get("background") == "transparent" else "opaque",
            "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
            "output_format": self.format,
            "quality": (self.parameters.get("quality") or "auto").replace("auto", "medium"),
            "size": f"{width}x{height}",
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": read},
                "output_tokens": drawn,
                "output_tokens_details": {"image_tokens": drawn, "text_tokens": 0},
                "total_tokens": read + drawn,
            },
            **changes,
        }


JSON: Final = {"content-type": "application/json"}


def document_answer(document: object, **how: Any) -> Answer:
    """Return the answer that brings `document` as JSON."""
    return Answer(headers=JSON, body=json.dumps(document).encode(), **how)


EVENT_STREAM: Final = {"content-type": "text/event-stream; charset=utf-8"}


def stream_answer(events: Sequence[bytes], **how: Any) -> Answer:
    """Return the answer that brings these events, each in a piece of its own."""
    body = b"".join(events)
    marks = [len(b"".join(events[:count])) for count in range(1, len(events))]
    how = {"piece": 1 << 30, **how}
    return Answer(headers=EVENT_STREAM, body=body, is_chunked=True, marks=marks, **how)


def good_answer(order: Order, picture: bytes, **how: Any) -> Answer:
    """Return the answer that brings `picture`, as it was asked for: a document or a stream."""
    if order.is_streamed:
        return stream_answer(order.events(picture), **how)
    return document_answer(order.document(picture), **how)


def error_answer(
    status: int,
    code: str | None,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    is_billed: bool = False,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """Return an error in the shape that OpenAI gives its errors."""
    error = {"message": message, "type": kind, "param": param, "code": code, **more}
    body = json.dumps({"error": error}).encode()
    return Answer(status=status, headers={**JSON, **(headers or {})}, body=body, is_billed=is_billed)


Behaviour = Callable[[Order, str], Answer]


def _ok(order: Order, argument: str) -> Answer:
    return good_answer(order, order.picture())


def _slow(order: Order, argument: str) -> Answer:
    seconds = float(argument or 1)
    if order.is_streamed:
        events = order.events(order.picture())
        return stream_answer(events, delay=seconds / len(events), drip=seconds / len(events))
    return document_answer(order.document(order.picture()), delay=seconds)


def _big(order: Order, argument: str) -> Answer:
    return good_answer(order, order.noise(int(argument or 2_000_000)))


def _with(**changes: Any) -> Behaviour:
    """Answer with a good document of which some fields are changed."""
    return lambda order, _: document_answer(order.document(order.picture(), **changes))


def _sent(**how: Any) -> Behaviour:
    """Answer with a good picture that is sent in a peculiar way."""

    def answer(order: Order, argument: str) -> Answer:
        return replace(_ok(order, argument), **how)

    return answer


def _content(content: bytes) -> Behaviour:
    """Answer with a good document whose content is no picture."""
    return lambda order, _: document_answer(order.document(content))


def _plain(body: bytes, content_type: str = "application/json") -> Behaviour:
    """Answer 200 with a body that is not the document."""
    return lambda _order, _: Answer(headers={"content-type": content_type}, body=body)


def _error(*args: Any, **kwargs: Any) -> Behaviour:
    return lambda _order, _: error_answer(*args, **kwargs)


def _failure(order: Order, argument: str) -> Answer:
    status = int(argument or 500)
    headers = {"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    message = "The server had an error."
    return error_answer(status, None, message, kind="server_error", is_billed=status >= 500, headers=headers)


def _refuse(stage: str) -> Behaviour:
    details = {"moderation_stage": stage, "categories": ["violence", "self-harm"]}
    message = "Your request was rejected by the safety system."
    return _error(
        400,
        "moderation_blocked",
        message,
        kind="image_generation_user_error",
        is_billed=stage == "output",
        moderation_details=details,
    )


def _rate_limit(order: Order, argument: str) -> Answer:
    headers = {"retry-after": argument} if argument else {}
    return error_answer(429, "rate_limit_exceeded", "Rate limit reached.", kind="requests", headers=headers)


def _cut(order: Order, argument: str) -> Answer:
    answer = _ok(order, "")
    return replace(answer, cut_after=int(argument or len(answer.body) // 2))


def _gate(order: Order, argument: str) -> Answer:
    return replace(_ok(order, ""), gate=argument)


def _gate_body(order: Order, argument: str) -> Answer:
    answer = _gate(order, argument)
    return replace(answer, held_after=answer.marks[-1] if answer.marks else len(answer.body) // 2)


def _request_id(order: Order, argument: str) -> Answer:
    answer = _ok(order, "")
    return replace(answer, headers={**answer.headers, "x-request-id": argument})


def _stream(order: Order, argument: str) -> Answer:
    """Bring good events in a strange way; `STREAMS` has the names."""
    return replace(stream_answer([STREAMS[argument](order.events(order.picture()))]), piece=65_536)


def _stream_bytes(order: Order, argument: str) -> Answer:
    """Bring good events in pieces of a few bytes."""
    return replace(_ok(order, ""), piece=int(argument or 1))


def _stream_end(order: Order, argument: str) -> Answer:
    """End the stream before its final picture, which `argument` bytes of come: in good manners."""
    answer = _ok(order, "")
    return replace(answer, body=answer.body[: (answer.marks or [0])[-1] + int(argument or 0)])


def _stream_cut(order: Order, argument: str) -> Answer:
    """Break the stream off before its final picture, which `argument` bytes of come."""
    answer = _ok(order, "")
    return replace(answer, cut_after=(answer.marks or [0])[-1] + int(argument or 0))


def _stream_error(order: Order, argument: str) -> Answer:
    """Bring an error after some partial images: how many, its code and, if it is not that of a server, its type."""
    count, code, kind = (argument.split(" ", 2) + [""] * 2)[:3]
    error = {"message": "It failed.", "type": kind or "server_error", "param": None, "code": code or None}
    return stream_answer([*order.events(b"")[: int(count)], event("error", error=error)])


def _stream_open(order: Order, argument: str) -> Answer:
    """Bring the picture and then comments for ever."""
    answer = _ok(order, "")
    comments = b": keepalive\n\n" * 10_000
    body = answer.body + comments
    return replace(answer, body=body, marks=[*answer.marks, *range(len(answer.body), len(body), 13)], drip=0.05)


def _stream_idle(order: Order, argument: str) -> Answer:
    """Bring the partial images, and nothing more."""
    return _gate_body(order, "never")


def _stream_flood(order: Order, argument: str) -> Answer:
    """Bring an event that has no end, of `argument` bytes."""
    return stream_answer([*order.events(b"")[:-1], b"data: " + b"x" * int(argument or 32 << 20)], piece=65_536)


def _oversized(order: Order, argument: str) -> Answer:
    body = document_answer(order.document(order.picture())).body
    return Answer(headers=JSON, body=body + b" " * int(argument or 32 << 20), is_chunked=True)


def _truncated(order: Order, argument: str) -> Answer:
    # Of half a picture browsers show half of it.
    return document_answer(order.document(order.picture()[:40]))


def _half(order: Order, argument: str) -> Answer:
    picture = order.picture()
    return document_answer(order.document(picture[: len(picture) // 2]))


def _trailing(order: Order, argument: str) -> Answer:
    return document_answer(order.document(order.picture() + b"more" * int(argument or 1)))


def _bad_base64(order: Order, argument: str) -> Answer:
    document = order.document(order.picture())
    document["data"][0]["b64_json"] = "****" + document["data"][0]["b64_json"][7:]
    return document_answer(document)


def _wrong_label(order: Order, argument: str) -> Answer:
    return document_answer(order.document(order.picture(), output_format="jpeg" if order.format != "jpeg" else "webp"))


def _wrong_format(order: Order, argument: str) -> Answer:
    other = Order({**order.parameters, "output_format": "webp" if order.format != "webp" else "png"})
    return document_answer(other.document(other.picture()))


def _two(order: Order, argument: str) -> Answer:
    return document_answer(order.document(order.picture(), order.noise(3_000)))


def _gzip(order: Order, argument: str) -> Answer:
    answer = _ok(order, "")
    headers = {**answer.headers, "content-encoding": "gzip"}
    return replace(answer, headers=headers, body=gzip.compress(answer.body), marks=())


def _encoding(order: Order, argument: str) -> Answer:
    return Answer(headers=JSON, body=ENCODINGS[argument](order.picture()))


def _coding(order: Order, argument: str) -> Answer:
    value, compress = CODINGS[argument]
    answer = _ok(order, "")
    headers = {**answer.headers, "content-encoding": value}
    return replace(answer, headers=headers, body=compress(answer.body), marks=())


def _bomb(order: Order, argument: str) -> Answer:
    """Bring a picture and then a lot of nothing, compressed: `argument` is the coding and how many MiB there are."""
    coding, _, mebibytes = argument.partition(" ")
    value, compress = CODINGS[coding]
    body = _ok(order, "").body[:-1] + b" " * (int(mebibytes or 256) << 20)
    return Answer(headers={**JSON, "content-encoding": value}, body=compress(body))


def _usage(order: Order, argument: str) -> Answer:
    body = json.dumps(order.document(order.picture(), usage="here")).encode().replace(b'"here"', USAGES[argument])
    return Answer(headers=JSON, body=body)


def _label(order: Order, argument: str) -> Answer:
    return document_answer(order.document(order.picture(), output_format=argument))


def _changed(order: Order, argument: str) -> Answer:
    """Answer with a good document that has these members, and in its data these `items`, each with a picture."""
    changes = json.loads(argument)
    items = changes.pop("items", [{}])
    (picture,) = order.document(order.picture())["data"]
    data = [picture | item if isinstance(item, dict) else item for item in items]
    return document_answer(order.document(data=data, **changes))


def _heap(order: Order, argument: str) -> Answer:
    """Return a picture after this many MiB of useless JSON."""
    kind, _, mebibytes = argument.partition(" ")
    return Answer(headers=JSON, body=heap(kind, int(mebibytes or 60) << 20, order.picture()))


def _case(order: Order, argument: str) -> Answer:
    """Answer with a file in `tests/answers`, whose name begins with `answer` or with `error` and the status."""
    status = re.match(r"error-(\d+)", argument)
    return Answer(
        status=int(status[1]) if status else 200,
        headers=JSON,
        body=(ANSWERS / argument).read_bytes(),
        is_billed=status is None,
    )


def _says(order: Order, argument: str) -> Answer:
    """Answer with a status and a body, such as `says 403 {"error": {}}`."""
    status, _, body = argument.partition(" ")
    is_page = body.startswith("<")
    headers = {"content-type": "text/html"} if is_page else JSON
    return Answer(status=int(status), headers=headers, body=body.encode(), is_billed=False)


def _refers(order: Order, argument: str) -> Answer:
    """Answer with addresses of pictures instead of pictures."""
    return document_answer({"created": 1, "data": [{"url": url} for url in argument.split(" ")]})


def _part(order: Order, argument: str) -> Answer:
    """Break off after the picture, or `argument` bytes before its end."""
    answer = _ok(order, "")
    end = answer.body.index(b'"', answer.body.index(b'"b64_json": "') + 13) + 1
    return Answer(headers=answer.headers, body=answer.body, cut_after=end - int(argument or 0))


def _echo(order: Order, argument: str) -> Answer:
    return error_answer(400, order.prompt, f"Bad prompt: {order.prompt}", param=order.prompt, kind=order.prompt)


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    # Good answers.
    "ok": _ok,
    "slow": _slow,
    "big": _big,
    "two": _two,
    "chunked": _sent(is_chunked=True),
    "gate": _gate,
    "gate-body": _gate_body,
    "request-id": _request_id,
    "changed": _changed,
    "stream": _stream,
    "stream-bytes": _stream_bytes,
    "stream-open": _stream_open,
    "no-usage": _with(usage=None),
    "svg-usage": _with(
        svg_usage={"input_tokens": 1, "model": "gpt-6", "output_tokens": 2, "reasoning_tokens": 0, "total_tokens": 3}
    ),
    # Refusals and errors.
    "refuse": _refuse("input"),
    "refuse-output": _refuse("output"),
    "refuse-bare": _error(400, "moderation_blocked", "Your request was rejected.", kind="image_generation_user_error"),
    "content-policy": _error(400, "content_policy_violation", "Your request was rejected."),
    "rate-limit": _rate_limit,
    "no-quota": _error(
        429,
        "insufficient_quota",
        "You exceeded your current quota.",
        kind="insufficient_quota",
        headers={"retry-after": "1"},
    ),
    "billing-limit": _error(400, "billing_hard_limit_reached", "Billing hard limit has been reached."),
    "bad-key": _error(401, "invalid_api_key", "Incorrect API key provided.", kind="authentication_error"),
    "forbidden": _error(403, "unsupported_country_region_territory", "Country not supported.", kind="forbidden"),
    "invalid-size": _error(400, "invalid_value", "Invalid size.", param="size"),
    "echo": _echo,
    "error": _failure,
    "redirect": lambda _order, _: Answer(status=307, headers={"location": "http://127.0.0.1:9/"}, is_billed=False),
    # Broken streams.
    "stream-end": _stream_end,
    "stream-cut": _stream_cut,
    "stream-error": _stream_error,
    "stream-idle": _stream_idle,
    "stream-flood": _stream_flood,
    # Broken connections.
    "hang": _sent(delay=FOREVER),
    "drip": _sent(drip=0.05, piece=16),
    "drop": _sent(cut_after=-1),
    "cut": _cut,
    "reset": _sent(cut_after=1_000, is_reset=True),
    "oversized": _oversized,
    # Malformed answers.
    "html": _plain(b"<!doctype html><title>Welcome</title><h1>It works!</h1>", "text/html"),
    "empty": _plain(b""),
    "not-json": _plain(b'{"created": 1, "data": [{"b64_json": "iVBORw0'),
    "nan": _plain(b'{"created": 1, "data": [], "usage": {"total_tokens": NaN}}'),
    "a-list": _plain(b"[]"),
    "gzip": _gzip,
    "no-data": _plain(b'{"created": 1}'),
    "null-data": _with(data=None),
    "empty-data": _with(data=[]),
    "object-data": _with(data={"b64_json": ""}),
    "string-data": _with(data=["iVBORw0KGgo="]),
    "url-only": _with(data=[{"url": "https://example.com/picture.png"}]),
    "null-base64": _with(data=[{"b64_json": None}]),
    "empty-base64": _with(data=[{"b64_json": ""}]),
    "number-base64": _with(data=[{"b64_json": 7}]),
    "bad-base64": _bad_base64,
    "no-picture": _content(b"GIF is only a word here, not a picture"),
    "hostile-svg": lambda order, url: document_answer(order.document(hostile_svg(url or "http://127.0.0.1:9"))),
    "broken-svg": _content(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script>'),
    "html-picture": _content(b"<!doctype html><script>alert(1)</script>"),
    "truncated": _truncated,
    "half": _half,
    "trailing": _trailing,
    "wrong-label": _wrong_label,
    "wrong-format": _wrong_format,
    "label": _label,
    "encoding": _encoding,
    "coding": _coding,
    "bomb": _bomb,
    "usage": _usage,
    "heap": _heap,
    "case": _case,
    "says": _says,
    "refers": _refers,
    "part": _part,
    "odd-usage": _with(usage="a lot"),
    "huge-usage": _with(usage={"notes": "x" * 1_000_000}),
}

UPLOADS: Final = ("cut-upload", "reset-upload", "stall-upload", "early")
"""What is done while the body of an edit comes in."""


def _invalid(code: str, param: str, message: str, status: int = 400) -> Answer:
    return error_answer(status, code, message, param=param)


def check_parameters(parameters: object, *, is_edit: bool = False) -> Answer | None:
    """Return the error with which the real endpoint answers `parameters`, or None if it takes them."""
    if not isinstance(parameters, dict):
        return error_answer(400, None, "We could not parse the JSON body of your request.")
    for name in sorted(RETIRED_PARAMETERS & parameters.keys()):
        return _invalid("unknown_parameter", name, f"Unknown parameter: '{name}'.")
    try:
        (EDIT_PARAMETERS if is_edit else PARAMETERS).model_validate(parameters)
    except ValidationError as exc:
        problem = exc.errors()[0]
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            return _invalid("unknown_parameter", name, f"Unknown parameter: '{name}'.")
        if problem["type"] == "missing":
            return _invalid("missing_required_parameter", name, f"Missing required parameter: '{name}'.")
        return _invalid("invalid_value", name, f"Invalid value for '{name}'.")
    return _check_values(parameters)


def _check_values(parameters: Mapping[str, Any]) -> Answer | None:
    """Check the rules that stand in the descriptions of the parameters' types."""
    model, size = parameters.get("model"), parameters.get("size") or "auto"
    is_flat = parameters.get("output_format") not in {None, "png", "webp"}
    is_streamable = parameters.get("output_format") not in {"gif", "svg"}
    rules = (
        (model is None, "missing_required_parameter", "model"),
        (model in SHUT_DOWN_MODELS, "model_not_found", "model"),
        (not 1 <= len(parameters["prompt"]) <= 32_000, "invalid_value", "prompt"),
        (not 1 <= (parameters.get("n") or 1) <= 10, "invalid_value", "n"),
        (size != "auto" and not _is_size(size), "invalid_value", "size"),
        (is_flat and parameters.get("background") == "transparent", "invalid_value", "background"),
        (not 0 <= (parameters.get("partial_images") or 0) <= 3, "invalid_value", "partial_images"),
        (parameters.get("stream") and not is_streamable, "invalid_value", "stream"),
    )
    for is_broken, code, name in rules:
        if is_broken:
            return _invalid(code, name, f"'{name}' is missing or invalid.", 404 if code == "model_not_found" else 400)
    return None


def form_parameters(form: Form) -> dict[str, Any]:
    """Return the fields of an edit with the types that their texts stand for."""
    words = {"true": True, "false": False}
    return {
        name: int(text)
        if name in {"n", "output_compression", "partial_images"} and text.isdecimal()
        else words.get(text, text)
        if name == "stream"
        else text
        for name, text in form.fields.items()
    }


def check_files(form: Form) -> Answer | None:
    """Return the error with which the real endpoint answers the files of an edit, or None if it takes them."""
    pictures, masks = form.files("image", "image[]"), form.files("mask")
    if not form.is_complete:
        return error_answer(400, None, "We could not parse the body of your request.")
    if not pictures:
        return _invalid("missing_required_parameter", "image", "Missing required parameter: 'image'.")
    if len(pictures) > MAX_PICTURES or len(masks) > 1:
        return _invalid("invalid_value", "image" if len(masks) < 2 else "mask", "Too many files.")
    for part in [*pictures, *masks]:
        if part.media_type not in PICTURE_TYPES:
            message = f"Invalid file '{part.name}': unsupported mimetype ('{part.media_type}')."
            return _invalid("unsupported_file_mimetype", part.name, message)
        if not part.content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF")):
            return _invalid("invalid_image_file", part.name, "Invalid image file or mode.")
    return None


def _is_size(text: str) -> bool:
    match = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", text)
    if match is None:
        return False
    short, long = sorted(map(int, match.groups()))
    return short % 16 == long % 16 == 0 and long <= 3 * short and long <= 3840 and short <= 2160


class OpenAIServer:
    """The stand-in, from entering the context to leaving it.

    Takes the `host` and `port` to listen on (0: a free one), the `api_key` that it accepts (None: any), and the
    `delay` in seconds of every answer.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = KEY,
        delay: float = 0,
    ) -> None:
        self.host = host
        self.port = port
        self.api_key = api_key
        self.delay = delay
        self.requests: list[RecordedRequest] = []
        self.billed: list[str] = []
        self.request_ids: defaultdict[str, list[str]] = defaultdict(list)
        self.bodies: dict[str, list[bytes]] = {}
        """The whole bodies of the billed answers, by prompt, however much of them was sent."""
        self.waiting: Counter[str] = Counter()
        self.most_at_once = 0
        self._late: Counter[str] = Counter()
        self.began_to_draw = asyncio.Event()
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._scripted: deque[str] = deque()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """The address that a client takes for `OPENAI_BASE_URL`."""
        return f"http://{self.host}:{self.port}/v1"

    def script(self, *directives: str) -> None:
        """Let the next requests be answered with these behaviours, such as "slow 5", one after the other."""
        for directive in directives:
            if directive.split(" ")[0] not in {*BEHAVIOURS, *UPLOADS}:
                raise KeyError(directive)
        self._scripted.extend(directives)

    def open_gate(self, name: str) -> None:
        """Open the gate: release held answers, and hold no later ones."""
        self._gates[name].set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        self.most_at_once = max(self.most_at_once, len(self._connections))
        try:
            # Clients go away when they like; that is their business and no error of this server.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                request = await self._read_request(reader, writer)
                answer = await self._answer(request)
                await _send(writer, answer, request.request_id, lambda: self._hold(answer, reader))
        finally:
            self._connections.discard(connection)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _hold(self, answer: Answer, reader: asyncio.StreamReader) -> None:
        """Return when the answer's gate is open; raise `ConnectionError` if the client goes away before."""
        if answer.gate is None:
            return
        opened = asyncio.create_task(self._gates[answer.gate].wait())
        gone = asyncio.create_task(reader.read(1))
        self.waiting[answer.gate] += 1
        try:
            await asyncio.wait([opened, gone], return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                raise ConnectionError
        finally:
            self.waiting[answer.gate] -= 1
            opened.cancel()
            gone.cancel()
            await asyncio.gather(opened, gone, return_exceptions=True)

    def _account(self) -> Answer:
        account = {
            "requests": len(self.requests),
            "billed": self.billed,
            "times_billed": Counter(self.billed),
            "request_ids": self.request_ids,
            "waiting": +self.waiting,
        }
        return document_answer(account, is_billed=False)

    async def _answer(self, request: RecordedRequest) -> Answer:
        if request.path.startswith("/stand-in"):
            if request.method == "POST" and request.path.startswith("/stand-in/open/"):
                self.open_gate(unquote(request.path.removeprefix("/stand-in/open/")))
            return self._account()
        if request.form is None:
            self.requests.append(request)
        if request.method == "GET" and request.path.startswith("/pictures/"):
            return await self._picture(request.path.removeprefix("/pictures/"))
        order = self._order(request)
        if isinstance(order, Answer):
            return order
        answer = await asyncio.to_thread(self._behaviour(order.prompt), order)
        if answer.is_billed:
            self.billed.append(order.prompt)
            self.request_ids[order.prompt].append(request.request_id)
            self.bodies.setdefault(order.prompt, []).append(answer.body)
            self.began_to_draw.set()
        await asyncio.sleep(self.delay + answer.delay)
        return answer

    def _order(self, request: RecordedRequest) -> Order | Answer:
        """Return what is to be drawn, or what is wrong with the request."""
        is_edit = request.path == "/v1/images/edits"
        if request.method != "POST" or not (is_edit or request.path == "/v1/images/generations"):
            return error_answer(404, "unknown_url", f"Unknown request URL: {request.method} {request.path}.")
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key or self.api_key not in {None, key}:
            return error_answer(401, "invalid_api_key", f"Incorrect API key provided: {key[:4]}***.")
        if is_edit and request.form is None:
            return error_answer(400, None, "Unsupported content type.")
        parameters = request.json if request.form is None else form_parameters(request.form)
        rejection = check_parameters(parameters, is_edit=is_edit)
        if rejection is None and request.form is not None:
            rejection = check_files(request.form)
        return rejection or Order(parameters, is_edit=is_edit)

    async def _picture(self, name: str) -> Answer:
        """Answer a client that fetches a picture which an answer referred to; the name says how."""
        order = Order({"prompt": "a picture", "size": "64x64"})
        picture = Answer(headers={"content-type": "image/png"}, body=order.picture(), is_billed=False)
        answers: dict[str, Callable[[], Answer]] = {
            "good": lambda: picture,
            "chunked": lambda: replace(picture, is_chunked=True),
            "gzip": lambda: replace(picture, headers={"content-encoding": "gzip"}, body=gzip.compress(picture.body)),
            "bomb": lambda: replace(picture, headers={"content-encoding": "gzip"}, body=gzip.compress(bytes(64 << 20))),
            "large": lambda: replace(picture, body=picture.body + bytes(8 << 20)),
            "large-chunked": lambda: replace(picture, body=picture.body + bytes(8 << 20), is_chunked=True),
            "page": lambda: Answer(body=b"<!doctype html><h1>Log in</h1>", is_billed=False),
            "cut": lambda: replace(picture, cut_after=100),
            "slow": lambda: replace(picture, delay=FOREVER),
            "drip": lambda: replace(picture, drip=0.2, piece=16),
            "forbidden": lambda: Answer(status=403, is_billed=False),
        }
        if name.startswith("redirect-to-"):
            return Answer(status=302, headers={"location": unquote(name[12:])}, is_billed=False)
        if name.startswith("late-"):
            # The picture becomes available after this many requests.
            self._late[name] += 1
            return picture if self._late[name] > int(name[5:]) else Answer(status=404, is_billed=False)
        answer = answers.get(name, lambda: Answer(status=404, is_billed=False))()
        await asyncio.sleep(answer.delay)
        return answer

    def _behaviour(self, prompt: str) -> Callable[[Order], Answer]:
        name, argument = self._directive(prompt)
        if self._scripted:
            self._scripted.popleft()
        if name not in BEHAVIOURS:
            return lambda order: _ok(order, "")
        return lambda order: BEHAVIOURS[name](order, argument)

    def _directive(self, prompt: str) -> tuple[str, str]:
        """Return the name and the argument of the next behaviour."""
        match = DIRECTIVE.fullmatch(f"[[{self._scripted[0]}]]") if self._scripted else DIRECTIVE.search(prompt)
        return (match["name"], match["argument"] or "") if match else ("", "")

    async def _read_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> RecordedRequest:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip().split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        content_type = headers.get("content-type", "")
        request = RecordedRequest(method=method, path=path, headers=headers, json=None, at=time.monotonic())
        if content_type.startswith("multipart/"):
            request = replace(request, form=Form(content_type))
            self.requests.append(request)
            await self._read_form(request, length, reader, writer)
            return request
        body = await reader.readexactly(length)
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        return replace(request, json=document)

    async def _read_form(
        self, request: RecordedRequest, length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Read the form of a request; raise `ConnectionError` where it is to break off."""
        form = request.form
        assert form is not None
        received = 0
        while received < length:
            name, argument = self._directive(form.fields.get("prompt", ""))
            is_due = name in UPLOADS and "prompt" in form.fields and (name == "early" or received >= int(argument))
            if is_due and self._scripted:
                self._scripted.popleft()
            if is_due and name == "early":
                answer = error_answer(int(argument), None, "That is enough.")
                await _send(writer, answer, request.request_id, lambda: asyncio.sleep(0))
                # As proxies do: closing at once would take the answer with it.
                while await reader.read(65_536):
                    pass
                raise ConnectionResetError
            if is_due and name == "stall-upload":
                await asyncio.sleep(FOREVER)
            if is_due:
                if name == "reset-upload":
                    _reset(writer)
                raise ConnectionResetError
            piece = await reader.read(min(65_536, length - received))
            if not piece:
                raise ConnectionResetError
            received += len(piece)
            form.feed(piece)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST instead of FIN: its socket lingers for no time."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _send(
    writer: asyncio.StreamWriter, answer: Answer, request_id: str, hold: Callable[[], Awaitable[None]]
) -> None:
    if answer.cut_after == -1:
        return
    if answer.held_after is None:
        await hold()
    framing = {"transfer-encoding": "chunked"} if answer.is_chunked else {"content-length": str(len(answer.body))}
    headers = {"x-request-id": request_id, "connection": "close", **framing, **answer.headers}
    phrase = responses.get(answer.status, "Unheard Of")
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{n}: {v}" for n, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    for start, piece in _pieces(answer):
        if start == answer.held_after:
            await hold()
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.is_chunked else piece)
        await writer.drain()
        await asyncio.sleep(answer.drip)
    if answer.is_chunked and answer.cut_after is None:
        writer.write(b"0\r\n\r\n")
    if answer.is_reset:
        _reset(writer)


def _pieces(answer: Answer) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces and where each begins; one begins where the answer is held."""
    body = answer.body[: answer.cut_after]
    marks = {mark for mark in (*answer.marks, answer.held_after or 0) if mark < len(body)}
    starts = sorted({*range(0, len(body), answer.piece), *marks})
    for start, end in pairwise([*starts, len(body)]):
        yield start, body[start:end]


async def _run(host: str, port: int, api_key: str | None, delay: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with OpenAIServer(host=host, port=port, api_key=api_key, delay=delay) as server:
        sys.stdout.write(f"OPENAI_BASE_URL={server.base_url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line on standard output tells the address."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.openai_server", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--api-key", help="the only key that is accepted; without it any key is")
    parser.add_argument("--delay", type=float, default=0, help="seconds before each answer")
    options = parser.parse_args()
    asyncio.run(_run(options.host, options.port, options.api_key, options.delay))


if __name__ == "__main__":
    main()
