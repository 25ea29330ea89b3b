"""Answers that are compressed although that was not asked for."""

import re
from collections.abc import Iterator
from typing import Final

import httpx2

PIECE: Final = 1 << 16
# Two are as many as anybody applies on purpose.
_MAX_CODINGS: Final = 2
_CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}
# Of gzip (RFC 1952, 2.3.1) and zstd (RFC 8878, 3.1.1), for servers that compress and do not say so.
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}[\[{]")


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), PIECE):
            yield bytes(self._data[start : start + PIECE])


def inflated(body: bytes | bytearray, content_encoding: str, limit: int) -> bytes | bytearray:
    """Return the body without its compression, but no more than `limit` bytes of it.

    Takes the value of `Content-Encoding` (RFC 9110, 8.4), whatever it is. A body that is not in the coding that is
    named, or in one that is unknown, is returned as it is. It takes a while: call it in a worker thread.
    """
    named = [_CODINGS[word] for word in re.split(r"[\s,]+", content_encoding.lower()) if word in _CODINGS]
    found = [coding for magic, coding in _MAGIC.items() if body.startswith(magic)]
    codings = (named or found)[:_MAX_CODINGS]
    if not codings:
        return body
    answer = httpx2.Response(200, headers={"Content-Encoding": ", ".join(codings)}, stream=_Pieces(body))
    data = bytearray()
    try:
        for piece in answer.iter_bytes(PIECE):
            data += piece[: limit - len(data)]
            if len(data) >= limit:
                break
    except httpx2.DecodingError:
        # What could be read up to here may hold the picture.
        pass
    # Where the coding is a wrong label, some bytes may have made sense by chance.
    return body if not data or (is_json(body) and not is_json(data)) else data


def is_json(body: bytes | bytearray) -> bool:
    """Whether the body begins as a JSON object or array does."""
    return _JSON.match(body) is not None
