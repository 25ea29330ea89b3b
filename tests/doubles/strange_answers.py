"""Bodies of paid answers that deviate from OpenAI's reference, as seen from servers that offer its API."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import brotli
from backports import zstd


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _lines(text: str, separator: str, width: int = 76) -> str:
    return separator.join(text[start : start + width] for start in range(0, len(text), width))


def _item(text: str, name: str = "b64_json") -> bytes:
    return json.dumps({"created": 1, "data": [{name: text}]}).encode()


def _data_url(picture: bytes) -> str:
    return f"data:image/png;base64,{_text(picture)}"


ENCODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "data-url": lambda picture: _item(_data_url(picture)),
    "data-url-in-url": lambda picture: _item(_data_url(picture), "url"),
    "data-url-upper-case": lambda picture: _item(f"DATA:IMAGE/PNG;BASE64,{_text(picture)}"),
    "data-url-parameters": lambda picture: _item(f"data:image/png;name=a.png;charset=utf-8;base64,{_text(picture)}"),
    "data-url-bare": lambda picture: _item(f"data:;base64,{_text(picture)}"),
    "data-url-percent": lambda picture: _item(f"data:image/png;base64,{quote(_text(picture), safe='')}", "url"),
    "data-url-all-percent": lambda picture: _item(f"data:image/png,{quote(picture, safe='')}", "url"),
    "line-breaks": lambda picture: _item(_lines(_text(picture), "\n")),
    "crlf": lambda picture: _item(_lines(_text(picture), "\r\n") + "\r\n"),
    "raw-line-breaks": lambda picture: _item(_lines(_text(picture), "@")).replace(b"@", b"\n"),
    "spaces": lambda picture: _item(f" \t{_lines(_text(picture), ' ', 4)} "),
    "other-spaces": lambda picture: _item("\ufeff" + _lines(_text(picture), "\u00a0\u2028\u3000\u200b")),
    "other-spaces-unescaped": lambda picture: json.dumps(
        {"data": [{"b64_json": "\ufeff" + _lines(_text(picture), "\u00a0\u2028\u3000\u200b", 3)}]}, ensure_ascii=False
    ).encode(),
    "no-padding": lambda picture: _item(_text(picture).rstrip("=")),
    "more-padding": lambda picture: _item(_text(picture) + "==="),
    "url-alphabet": lambda picture: _item(base64.urlsafe_b64encode(picture).decode()),
    "url-alphabet-no-padding": lambda picture: _item(base64.urlsafe_b64encode(picture).decode().rstrip("=")),
    "escaped-slashes": lambda picture: _item(_text(picture)).replace(b"/", b"\\/"),
    "escaped-signs": lambda picture: _item(_text(picture)).replace(b"+", b"\\u002B").replace(b"=", b"\\u003d"),
    "all-escaped": lambda picture: (
        b'{"data":[{"b64_json":"%b"}]}' % "".join(f"\\u{ord(sign):04x}" for sign in _text(picture)).encode()
    ),
    "other-item": lambda picture: json.dumps(
        {"data": [None, {}, {"b64_json": None}, {"url": ""}, {"b64_json": ""}, {"b64_json": _text(picture)}]}
    ).encode(),
    "other-item-behind-garbage": lambda picture: json.dumps(
        {"data": [{"b64_json": "****"}, {"b64_json": _text(b"no picture")}, {"b64_json": _text(picture)}]}
    ).encode(),
    "other-item-behind-addresses": lambda picture: json.dumps(
        {"data": [{"url": "http://127.0.0.1:9/a.png"}, {"url": _data_url(picture)}]}
    ).encode(),
    "data-is-an-object": lambda picture: json.dumps({"data": {"b64_json": _text(picture)}}).encode(),
    "a-list": lambda picture: json.dumps([{"b64_json": _text(picture)}]).encode(),
    "deeper": lambda picture: json.dumps({"result": {"images": [{"b64_json": _text(picture)}]}}).encode(),
    "indented": lambda picture: json.dumps({"data": [{"b64_json": _text(picture)}]}, indent=8).encode(),
    "byte-order-mark": lambda picture: b"\xef\xbb\xbf" + _item(_text(picture)),
    "more-behind-it": lambda picture: _item(_text(picture)) + b"\n{}\nGoodbye",
    "cut-behind-it": lambda picture: _item(_text(picture))[:-3],
    "nan-beside-it": lambda picture: b'{"seed": NaN, "x": Infinity, ' + _item(_text(picture))[1:],
    "latin-1-beside-it": lambda picture: b'{"note": "caf\xe9", ' + _item(_text(picture))[1:],
    "event-stream": lambda picture: b"event: image_generation.completed\ndata: " + _item(_text(picture)) + b"\n\n",
    "error-beside-it": lambda picture: b'{"error": {"code": "late"}, ' + _item(_text(picture))[1:],
    "name-in-a-text": lambda picture: (
        json.dumps({"revised_prompt": '"b64_json": "AAAA", x"b64_json'}).encode()[:-1]
        + b", "
        + _item(_text(picture))[1:]
    ),
    "the-picture-itself": lambda picture: picture,
    "base64-itself": lambda picture: _text(picture).encode(),
    "data-url-itself": lambda picture: _data_url(picture).encode(),
    "a-text-of-json": lambda picture: json.dumps(_text(picture)).encode(),
    "json-in-a-text-of-json": lambda picture: json.dumps(_item(_text(picture)).decode()).encode(),
    "list-of-texts": lambda picture: json.dumps({"images": [_text(picture)]}).encode(),
    "list-of-data-urls": lambda picture: json.dumps({"output": [_data_url(picture)]}).encode(),
    **{
        f"in-{name}": lambda picture, name=name: _item(_text(picture), name)  # type: ignore[misc]
        for name in ("result", "output", "image", "base64", "bytesBase64Encoded", "B64_JSON")
    },
    "responses-api": lambda picture: json.dumps(
        {"object": "response", "output": [{"type": "image_generation_call", "result": _text(picture)}]}
    ).encode(),
    "inline-data": lambda picture: json.dumps(
        {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": _text(picture)}}]}}]}
    ).encode(),
    "markdown": lambda picture: json.dumps(
        {"choices": [{"message": {"content": f"Here it is: ![a fox]({_data_url(picture)})"}}]}
    ).encode(),
    "escaped-name": lambda picture: b'{"data":[{"b64\\u005fjson":"%b"}]}' % _text(picture).encode(),
    "python": lambda picture: repr({"data": [{"b64_json": _text(picture)}]}).encode(),
    "base64-as-an-address": lambda picture: _item(_text(picture), "url"),
    "comma-in-a-parameter": lambda picture: _item(f'data:image/png;name="a,b.png";base64,{_text(picture)}'),
    "data-url-twice": lambda picture: _item(f"data:image/png;base64,{_data_url(picture)}"),
    "prefix": lambda picture: _item(f"base64,{_text(picture)}"),
    "quotes": lambda picture: _item(f'"{_text(picture)}"'),
    "escaped-line-breaks": lambda picture: _item(_lines(_text(picture), "\\n")),
    "invisible-characters": lambda picture: _item(_lines(_text(picture), "\u00ad\u200d\u2066")),
    "padding-in-the-middle": lambda picture: _item(
        "".join(_text(picture[start : start + 100]) for start in range(0, len(picture), 100))
    ),
    "percent-without-data-url": lambda picture: _item(quote(_text(picture), safe="")),
}
"""Bodies that contain a picture, by name."""


def event(name: str, **data: Any) -> bytes:
    """Return an event as OpenAI writes it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _each(change: Callable[[bytes], bytes]) -> Callable[[Sequence[bytes]], bytes]:
    return lambda events: b"".join(map(change, events))


def _data(one: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(one.split(b"\ndata: ")[1])
    return document


def _renamed(one: bytes, name: str) -> bytes:
    return event(name, **{key: value for key, value in _data(one).items() if key != "type"})


def _with_pictures(partial: bytes) -> Callable[[Sequence[bytes]], bytes]:
    """Replace the partial images."""
    text = base64.b64encode(partial).decode()

    def change(events: Sequence[bytes]) -> bytes:
        *partials, last = events
        changed = (event(_data(one)["type"], **{**_data(one), "b64_json": text}) for one in partials)
        return b"".join([*changed, last])

    return change


STREAMS: Final[Mapping[str, Callable[[Sequence[bytes]], bytes]]] = {
    "crlf": _each(lambda one: one.replace(b"\n", b"\r\n")),
    "cr": _each(lambda one: one.replace(b"\n", b"\r")),
    "mixed-line-ends": _each(lambda one: one[:-2].replace(b"\n", b"\r") + b"\n\r\n"),
    "byte-order-mark": lambda events: b"\xef\xbb\xbf" + b"".join(events),
    "blank-lines": _each(lambda one: b"\n\n\n" + one + b"\n"),
    "comments": _each(lambda one: b": keepalive\n\n:\n" + one + b": more\n\n"),
    "other-fields": _each(lambda one: b"id: 7\nretry: 100\nnonsense\nname: value\n" + one),
    "no-names": _each(lambda one: one[one.index(b"data:") :]),
    "no-types": _each(lambda one: one.replace(b'"type": "', b'"kind": "')),
    "no-names-and-no-types": _each(lambda one: one[one.index(b"data:") :].replace(b'"type": "', b'"kind": "')),
    "wrong-names": _each(lambda one: one.replace(b"event: image", b"event: message.image")),
    "no-spaces": _each(lambda one: one.replace(b"event: ", b"event:").replace(b"data: ", b"data:")),
    "several-data-lines": _each(
        lambda one: b"data: " + json.dumps(_data(one), indent=2).encode().replace(b"\n", b"\ndata: ") + b"\n\n"
    ),
    "no-blank-line-at-the-end": lambda events: b"".join(events)[:-2],
    "done": lambda events: b"".join(events) + b"data: [DONE]\n\n",
    "unknown-events": lambda events: b"".join(
        b'event: ping\ndata: {"type": "ping"}\n\ndata: {"type": 7}\n\ndata: no json\n\ndata\n\n' + one for one in events
    ),
    "unknown-last-event": lambda events: b"".join([*events[:-1], _renamed(events[-1], "image.ready")]),
    "the-other-kind": _each(lambda one: _renamed(one, f"image_other.{_data(one)['type'].partition('.')[2]}")),
    "two-completed": lambda events: b"".join([*events, *events[:-1], event("image_edit.completed", b64_json="AAAA")]),
    "an-error-after-it": lambda events: b"".join([*events, event("error", error={"code": "late"})]),
    "a-document": lambda events: (
        b"data: " + json.dumps({"created": 1, "data": [{"b64_json": _data(events[-1])["b64_json"]}]}).encode() + b"\n\n"
    ),
    "escaped": _each(lambda one: one.replace(b"/", b"\\/").replace(b"+", b"\\u002b")),
    "data-urls": _each(lambda one: one.replace(b'"b64_json": "', b'"b64_json": "data:image/png;base64,')),
    "partials-without-picture": _with_pictures(b""),
    "partials-of-text": _with_pictures(b"GIF is only a word here"),
    "truncated-partials": _with_pictures(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "svg-partials": _with_pictures(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
}
"""Streams of events, made from good events, that all have the final picture."""

LABELS: Final = ("jpg", "image/jpeg", "PNG", ".png", "", "bmp", "x" * 10_000)

CODINGS: Final[Mapping[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "utf-8": ("UTF-8", bytes),
    "identity": ("Identity", bytes),
    "empty": ("", bytes),
    "unknown": ("aws-chunked", bytes),
    "none": ("none", bytes),
    "wrong-gzip": ("gzip", bytes),
    "wrong-deflate": ("deflate", bytes),
    "wrong-br": ("br", bytes),
    "wrong-zstd": ("zstd", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw-deflate": ("deflate", lambda body: zlib.compress(body, wbits=-15)),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "two": ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    "gzip-and-utf-8": ("gzip, UTF-8", gzip.compress),
    "three": ("gzip, deflate, br", lambda body: brotli.compress(zlib.compress(gzip.compress(body)))),
    "gzip-members": ("gzip", lambda body: gzip.compress(body[:70]) + gzip.compress(body[70:])),
    "gzip-with-junk": ("gzip", lambda body: gzip.compress(body) + b"junk"),
    "gzip-as-deflate": ("deflate", gzip.compress),
    "gzip-as-br": ("br", gzip.compress),
    "gzip-as-two": ("gzip, br", gzip.compress),
    "deflate-as-gzip": ("gzip", zlib.compress),
    "quoted": ('"gzip"', gzip.compress),
    "unsaid-deflate": ("", zlib.compress),
    "unsaid-br": ("", brotli.compress),
    "unsaid-gzip": ("identity", gzip.compress),
    "unsaid-zstd": ("", zstd.compress),
}
"""Values of `Content-Encoding`, and the encodings of the body."""

USAGES: Final[Mapping[str, bytes]] = {
    "digits": b'{"total_tokens": 1%b}' % (b"0" * 10_000),
    "large-number": b'{"total_tokens": 1e999}',
    "surrogate": b'{"total_tokens": 1, "note": "\\ud800"}',
    "surrogate-name": b'{"\\udfff": 1}',
    "text": b'"a lot"',
    "number": b"7",
    "list": b"[1, 2]",
    "true": b"true",
    "deep": b'{"a":' * 120 + b"1" + b"}" * 120,
    "very-deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge": b'{"note": "%b"}' % (b"x" * 1_000_000),
    "nan": b'{"total_tokens": NaN}',
    "not-utf-8": b'{"note": "\xff"}',
    "cut": b'{"total_tokens": ',
}
"""Values of `usage` that are no account."""

_HEAPS: Final[Mapping[str, bytes]] = {
    "arrays": b"[],",
    "objects": b"{},",
    "texts": b'"",',
    "numbers": b"0,",
    "nested": b"[[[[[[[[]]]]]]]],",
    "names": b'{"b64_json":""},',
    "names-without-text": b'{"b64_json":null},',
    "escapes": b'"\\"\\n\\u0041",',
    "base64": b'{"b64_json":"AAAA"},',
}


def heap(kind: str, size: int, picture: bytes | None) -> bytes:
    """Return a body of about `size` bytes of useless JSON, followed by the picture, if there is one.

    `deep` nests arrays; `escaped` lengthens the picture's own text.
    """
    item = _item(_text(picture))[1:] if picture else b'"data":[]}'
    if kind == "deep":
        return b'{"x":%b%b,%b' % (b"[" * (size // 2), b"]" * (size // 2), item)
    if kind == "escaped":
        return b'{"data":[{"b64_json":"%b%b"}]}' % (b"\\n" * (size // 2), _text(picture or b"").encode())
    if kind == "percent":
        return b'{"data":[{"url":"data:;base64,%b%b"}]}' % (b"%20" * (size // 3), _text(picture or b"").encode())
    piece = _HEAPS[kind]
    return b'{"x":[%b0],%b' % (piece * (size // len(piece)), item)


HEAPS: Final = (*_HEAPS, "deep", "escaped", "percent")
