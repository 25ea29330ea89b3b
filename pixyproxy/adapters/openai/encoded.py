"""Pictures encoded as text."""

import re
from binascii import a2b_qp
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pybase64

# Each call into C holds the GIL, and one that looks for escapes takes longer.
PIECE: Final = 1 << 20
ESCAPED_PIECE: Final = 1 << 16

_DATA_URL: Final = re.compile(rb"\s{0,64}data:(?P<type>[^,\"]{0,1024}),", re.IGNORECASE)
# Percent signs without an escape: browsers take them literally.
# Not possessive: Python before 3.11.5 misreads such a group (python/cpython issue 106052).
_PERCENT: Final = re.compile(rb"(?:%(?![0-9A-Fa-f]{2}))+")
_MARKUP: Final = re.compile(rb"\s{0,64}<")
# The URL alphabet of RFC 4648, section 5.
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_ASCII_SPACE: Final = b" \t\n\r\v\f\0"
_OTHER_SPACE: Final = re.compile("[\\s\u180e\u200b-\u200f\u2060\ufeff]+")


_DIGIT: Final = re.compile(rb"[0-9A-Za-z+/]")
_OTHERS: Final = bytes(sign for sign in range(256) if not re.match(rb"[0-9A-Za-z+/=_-]", bytes([sign])))
_UNPADDED: Final = re.compile(rb"[^=]+")
_MAX_PADDING: Final = 100_000
# Ends of a piece that would split an escape or a character.
_IN_ESCAPE: Final = re.compile(rb"%[^%]?\Z")
_IN_LINE_BREAK: Final = re.compile(rb"\\\Z")
_IN_CHARACTER: Final = re.compile(rb"[\xc2-\xdf]\Z|[\xe0-\xef].?\Z|[\xf0-\xf4].{0,2}\Z", re.DOTALL)


def decode_picture(text: bytes | bytearray) -> bytes | bytearray:
    """Return the bytes that `text`, in UTF-8, encodes.

    It may be base64 (RFC 4648) in either alphabet, with white space anywhere and optional padding, such base64 in a
    data URL (RFC 2397), a percent-encoded data URL, or plain markup. Raises `ValueError` for anything else, and for an
    empty result. Slow: call it in a worker thread.
    """
    data: bytes | bytearray
    if url := _DATA_URL.match(text):
        payload = _unquoted(text, url.end())
        data = _from_base64(payload) if b";base64" in url["type"].lower().replace(b" ", b"") else payload
    elif _MARKUP.match(text):
        data = text
    else:
        data = _from_base64(text)
    if not data:
        raise ValueError("It is empty.")
    return data


def decode_loosely(text: bytes | bytearray) -> bytes:
    """Return the bytes of a base64 text, ignoring all other characters.

    As RFC 2045 demands (6.8); after padding the next bytes begin. Raises `ValueError` for an empty result, and for
    padding everywhere. Slow: call it in a worker thread.
    """
    digits = bytearray()
    for piece in _pieces(_unquoted(text, 0) if b"%" in text else text, 0, _IN_LINE_BREAK, PIECE):
        digits += piece.replace(b"\\n", b"").replace(b"\\r", b"").translate(_STANDARD_ALPHABET, _OTHERS)
    if digits.count(b"=") > _MAX_PADDING:
        raise ValueError("It is padding all over.")
    if data := b"".join(_from_digits(part[0]) for part in _UNPADDED.finditer(digits)):
        return data
    raise ValueError("It is empty.")


def _unquoted(text: bytes | bytearray, start: int) -> bytearray:
    """Return the percent-decoded text from `start` on (RFC 3986, 2.1)."""
    result = bytearray()
    for piece in _pieces(text, start, _IN_ESCAPE, ESCAPED_PIECE):
        if b"%" in piece:
            signs = _PERCENT.sub(lambda found: b"%25" * len(found[0]), piece)
            # Quoted-printable differs only in the sign, and is decoded in C.
            result += a2b_qp(signs.replace(b"=", b"%3D").replace(b"%", b"="))
        else:
            result += piece
    return result


def _from_base64(text: bytes | bytearray) -> bytes:
    with suppress(ValueError):
        # Almost all texts need no repair, which takes longer than decoding does.
        return pybase64.b64decode(text, validate=True)
    digits = bytearray()
    for piece in _pieces(text, 0, _IN_CHARACTER, PIECE):
        digits += _without_other_space(piece).translate(_STANDARD_ALPHABET, _ASCII_SPACE)
    if digits.endswith(b"="):
        del digits[len(digits.rstrip(b"=")) :]
    return _from_digits(digits)


def _from_digits(digits: bytes | bytearray) -> bytes:
    if len(digits) % 4 == 1 and _DIGIT.match(digits, len(digits) - 1):
        # A single digit holds no byte: the text was truncated after it.
        digits = digits[:-1]
    # The standard library's decoder would hold the GIL, and with it the event loop.
    return pybase64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)


def _without_other_space(piece: bytes) -> bytes:
    return piece if piece.isascii() else _OTHER_SPACE.sub("", piece.decode()).encode()


def _pieces(text: bytes | bytearray, start: int, is_inseparable: re.Pattern[bytes], size: int) -> Iterator[bytes]:
    while start < len(text):
        end = start + size
        if end < len(text) and (tail := is_inseparable.search(text, end - 3, end)):
            end = tail.start()
        yield bytes(text[start:end])
        start = end
