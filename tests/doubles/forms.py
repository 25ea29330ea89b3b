"""Multipart forms (RFC 7578), read piece by piece: files are counted and hashed, not kept."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

HEAD_MAX_SIZE = 8_192
KEPT_SIZE = 64


@dataclass(slots=True, kw_only=True)
class Part:
    """A field, whose `content` is its value, or a file, of which `content` is the beginning."""

    name: str
    filename: str | None
    headers: Mapping[str, str]
    byte_size: int = 0
    content: bytes = b""
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)

    @property
    def media_type(self) -> str:
        """The type that the part says it has."""
        return self.headers.get("content-type", "text/plain")

    @property
    def sha256(self) -> str:
        """The SHA-256 of all of it."""
        return self._hash.hexdigest()

    @property
    def text(self) -> str:
        """The value of a field."""
        return self.content.decode()

    def feed(self, piece: bytes | bytearray) -> None:
        """Take the next bytes."""
        self.byte_size += len(piece)
        self._hash.update(piece)
        if self.filename is None:
            self.content += piece
        else:
            self.content += piece[: max(0, KEPT_SIZE - len(self.content))]


class Form:
    """A form on its way in: feed it the body; `parts` are those that have begun, in order.

    Feeding raises `ValueError` for a malformed form.
    """

    def __init__(self, content_type: str) -> None:
        boundary = re.fullmatch(r'multipart/form-data;\s*boundary="?([^";]{1,70})"?', content_type)
        if boundary is None:
            raise ValueError("The content type has no boundary.")
        self._mark = b"\r\n--" + boundary[1].encode()
        self._rest = bytearray(b"\r\n")
        self._part: Part | None = None
        self.parts: list[Part] = []
        self.is_complete = False

    @property
    def fields(self) -> dict[str, str]:
        """The values of the fields by name; the last one counts."""
        return {part.name: part.text for part in self.parts if part.filename is None}

    def files(self, *names: str) -> list[Part]:
        """Return the files in these fields, in order."""
        return [part for part in self.parts if part.filename is not None and part.name in names]

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        self._rest += piece
        while not self.is_complete and (self._read_head() if self._part is None else self._read_content(self._part)):
            pass

    def _read_head(self) -> bool:
        """Read a boundary and the head of the part after it, if they are there."""
        end = self._rest.find(b"\r\n\r\n", len(self._mark))
        if self._rest.startswith(self._mark + b"--\r\n"):
            self.is_complete = True
        elif end < 0 and len(self._rest) > HEAD_MAX_SIZE:
            raise ValueError("A part has no head.")
        if self.is_complete or end < 0:
            return False
        if not self._rest.startswith(self._mark + b"\r\n"):
            raise ValueError("A part does not begin with the boundary.")
        lines = self._rest[len(self._mark) + 2 : end].decode().split("\r\n")
        del self._rest[: end + 4]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        disposition = re.fullmatch(
            r'form-data; name="([^"]+)"(?:; filename="([^"]*)")?', headers.get("content-disposition", "")
        )
        if disposition is None:
            raise ValueError("A part has no name.")
        self._part = Part(name=disposition[1], filename=disposition[2], headers=headers)
        self.parts.append(self._part)
        return True

    def _read_content(self, part: Part) -> bool:
        """Read the content of the part up to the next boundary, if that is there."""
        end = self._rest.find(self._mark)
        size = max(0, len(self._rest) - len(self._mark)) if end < 0 else end
        part.feed(self._rest[:size])
        del self._rest[:size]
        if end >= 0:
            self._part = None
        return end >= 0
