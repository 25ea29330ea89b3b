"""Text members of a JSON document, found without parsing the rest.

A document of 60 MB of empty arrays becomes 1.4 GB of objects in any parser, and even a parser that builds nothing holds
the GIL for as long as it reads. This module builds only the wanted texts, each call into C ends after a quarter of a
mebibyte, and errors in the rest of the document do no harm.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pixyproxy.adapters.pictures.formats import FIRST_BYTES

PIECE: Final = 1 << 18

# A text up to its end or the end of the piece, without splitting an escape (RFC 8259, section 7).
_TEXT: Final = re.compile(
    rb'(?:[^"\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u])*+',
    re.DOTALL,
)
_LONGEST_ESCAPE: Final = 12
_QUOTE: Final = ord('"')
_CONTINUATION: Final = 0x80
# Some servers break the lines of a text without an escape.
_SIMPLE_ESCAPES: Final = ((b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\/", b"/"))
_LENIENT: Final = json.JSONDecoder(strict=False)
_COLON: Final = re.compile(rb'[ \t\r\n]{0,256}+:[ \t\r\n]{0,256}+"')
# The first bytes of pictures in base64, as far as they don't depend on what follows, in either alphabet.
_STARTS: Final = [b64encode(head)[: len(head) * 8 // 6].replace(b"/", rb"(?:_|\\?/)") for head in FIRST_BYTES]
# A letter or digit before them would belong to the text.
_PICTURE: Final = re.compile(rb"(?:(?<![A-Za-z0-9+/_-])|(?<=\\n))(?:%b)[A-Za-z0-9+/\\_-]{8}" % b"|".join(_STARTS))
_SIGN_LENGTH: Final = 24
# Stop searching a document that has more of these members than any answer.
_MAX_MEMBERS: Final = 10_000


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member with a text: its name, the text as UTF-8, and its range between the quotes.

    `text` is None if it has a malformed escape. `is_whole` is false if the document ends within the text.
    """

    name: bytes
    text: bytearray | None
    start: int
    end: int
    is_whole: bool


def find_members(document: bytes | bytearray, names: Sequence[bytes]) -> Iterator[Member]:
    """Yield the members with one of these names and a text, in order and at any depth.

    The document may be damaged or truncated. A name within a text does not match: its quotes would be escaped there.
    """
    needles = {b'"%b"' % name: name for name in names}
    found = {needle: _find(document, needle, 0) for needle in needles}
    for _ in range(_MAX_MEMBERS):
        found = {needle: position for needle, position in found.items() if position >= 0}
        if not found:
            return
        needle = min(found, key=found.__getitem__)
        position = found[needle]
        end = position + len(needle)
        colon = _COLON.match(document, end)
        if colon is not None and document[position - 1 : position] != b"\\":
            member = _read(document, needles[needle], colon.end())
            yield member
            end = member.end
        for other, at in found.items():
            if at < end:
                found[other] = _find(document, other, end)


def find_pictures(document: bytes | bytearray) -> Iterator[Member]:
    """Yield the texts that begin like a picture in base64, wherever they are.

    Each ends at the next unescaped quote, or with the document. They have no name.
    """
    position = 0
    while position < len(document):
        end = position + PIECE
        found = _PICTURE.search(document, position, end + _SIGN_LENGTH)
        if found is None or found.start() >= end:
            position = end
            continue
        member = _read(document, b"", found.start())
        yield member
        position = max(member.end, found.end())


def is_picture(text: bytes | bytearray) -> bool:
    """Whether a text begins like a picture in base64."""
    return _PICTURE.match(text) is not None


def without(document: bytes | bytearray, members: Sequence[Member]) -> bytes:
    """Return the document with the texts of these members emptied."""
    pieces, position = [], 0
    for member in members:
        pieces.append(document[position : member.start])
        position = member.end
    return b"".join([*pieces, document[position:]])


def _find(document: bytes | bytearray, needle: bytes, start: int) -> int:
    for position in range(start, len(document), PIECE):
        found = document.find(needle, position, position + PIECE + len(needle) - 1)
        if found >= 0:
            return found
    return -1


def _read(document: bytes | bytearray, name: bytes, start: int) -> Member:
    text: bytearray | None = bytearray()
    end, position = start, -1
    while position < end < len(document) and document[end] != _QUOTE:
        position = end
        end = _end_of_piece(document, position)
        piece = _unescaped(bytes(document[position:end]))
        if text is None or piece is None:
            text = None
        else:
            text += piece
    is_whole = document[end : end + 1] == b'"'
    # An escape that the document truncates is no part of the text; any other malformed escape spoils it.
    is_readable = is_whole or len(document) - end < _LONGEST_ESCAPE
    return Member(name=name, text=text if is_readable else None, start=start, end=end, is_whole=is_whole)


def _end_of_piece(document: bytes | bytearray, start: int) -> int:
    limit = min(start + PIECE, len(document))
    quote = document.find(b'"', start, limit)
    end = limit if quote < 0 else quote
    if document.find(b"\\", start, end) >= 0:
        # The expression is a hundred times slower than a search.
        match = _TEXT.match(document, start, limit)
        end = start if match is None else match.end()
    while start < end < len(document) and document[end] & 0xC0 == _CONTINUATION:
        # The piece must not end within a character.
        end -= 1
    return end


def _unescaped(piece: bytes) -> bytes | None:
    if b"\\" not in piece:
        return piece
    if b"\\\\" not in piece:
        # Base64 has many escapes, and JSON decoders are slow with them.
        for escape, sign in _SIMPLE_ESCAPES:
            piece = piece.replace(escape, sign)
    if b"\\" not in piece:
        return piece
    try:
        text: str = _LENIENT.decode(f'"{piece.decode()}"')
        return text.encode()
    except ValueError:
        return None
