"""Answers that are compressed without having been requested so."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import httpx2

from pixyproxy.adapters.pictures.formats import begins_as_picture

PIECE: Final = 1 << 16
# More than two codings are a mistake.
_MAX_CODINGS: Final = 3
_CODINGS: Final = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
    "x-deflate": "deflate",
    "br": "br",
    "zstd": "zstd",
}
# Of gzip (RFC 1952, 2.3.1) and zstd (RFC 8878, 3.1.1), for servers with a missing or wrong label.
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_ANSWER: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}(?:[\[{]|(?:data|event):)")


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), PIECE):
            yield bytes(self._data[start : start + PIECE])


class Inflated(NamedTuple):
    """A body without its compression; `is_all` is false if a part could not be inflated."""

    data: bytes | bytearray
    is_all: bool = True


def inflated(body: bytes | bytearray, content_encoding: str, limit: int) -> Inflated:
    """Return up to `limit` bytes of the inflated body.

    Takes the value of `Content-Encoding` (RFC 9110, 8.4). A body that is not in that coding is inflated by its own
    first bytes, or returned unchanged. Slow: call it in a worker thread.
    """
    named = [_CODINGS[word] for word in re.split(r"[^\w-]+", content_encoding.lower()) if word in _CODINGS]
    found = [coding for magic, coding in _MAGIC.items() if body.startswith(magic)]
    # The most likely ones first; for a body without magic bytes, only an answer proves that it was compressed.
    likely = [codings[:_MAX_CODINGS] for codings in (named, found) if codings]
    guesses = [] if begins_as_answer(body) or begins_as_picture(body) else [["deflate"], ["br"]]
    best: Inflated | None = None
    for codings in [*likely, *guesses]:
        result = _without(codings, body, limit)
        # A few bytes inflate to a bracket by chance, but compression makes no answer longer.
        if begins_as_answer(result.data) and (codings in likely or len(result.data) > len(body)):
            return result
        if best is None and result.data and codings in likely and not begins_as_answer(body):
            best = result
    # With a wrong label, some bytes may have inflated by chance.
    return best or Inflated(body)


def _without(codings: Sequence[str], body: bytes | bytearray, limit: int) -> Inflated:
    result = Inflated(body)
    for coding in reversed(codings):
        data, is_all = _inflated_once(coding, result.data, limit)
        result = Inflated(data, is_all and result.is_all)
    return result


def _inflated_once(coding: str, body: bytes | bytearray, limit: int) -> Inflated:
    data = bytearray()
    try:
        for piece in _gzip_pieces(body) if coding == "gzip" else _pieces(coding, body):
            if len(piece) > limit - len(data):
                data += piece[: limit - len(data)]
                return Inflated(data, is_all=False)
            data += piece
    except EOFError:
        # It is truncated; nothing is left over.
        return Inflated(data)
    except (httpx2.DecodingError, zlib.error, OSError):
        # The bytes up to here may hold the picture.
        return Inflated(data, is_all=False)
    return Inflated(data)


def _pieces(coding: str, body: bytes | bytearray) -> Iterator[bytes]:
    return httpx2.Response(200, headers={"Content-Encoding": coding}, stream=_Pieces(body)).iter_bytes(PIECE)


def _gzip_pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """Yield the content of all members of a gzip file (RFC 1952, 2.2); HTTP clients read only the first."""
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        while piece := file.read1(PIECE):
            yield piece


def begins_as_answer(body: bytes | bytearray) -> bool:
    """Whether the body begins like a JSON object or array, or like a stream of events."""
    return _ANSWER.match(body) is not None
