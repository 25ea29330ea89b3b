"""Names of files that any system can unpack side by side."""

import re
import unicodedata
from collections import Counter
from typing import Final

MAX_BYTES: Final = 255
"""The longest name that disks take, in bytes of UTF-8."""

# What Windows refuses, what can't be seen, and what is no text.
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f"*/:<>?\\|\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff'
    r"\ud800-\udfff]"
)
# Windows has devices of these names, whatever their extension.
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=\s*(?:\.|$))", re.IGNORECASE)


class MemberNames:
    """Makes file names safe, and different from each other on disks that ignore case and Unicode forms."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._count: Counter[str] = Counter()

    def name(self, filename: str) -> str:
        """Return a safe name for `filename` that has not been returned before, with the same extension."""
        safe = safe_name(filename)
        stem, dot, extension = safe.rpartition(".")
        if not dot:
            stem, extension = safe, ""
        key = _folded(safe)
        name = safe
        while _folded(name) in self._taken:
            self._count[key] += 1
            name = _shortened(stem, f"-{self._count[key] + 1}{dot}{extension}")
        self._taken.add(_folded(name))
        return name


def safe_name(filename: str) -> str:
    """Return `filename` as a name that means nothing but a file on any system: no path, device or hidden file."""
    name = unicodedata.normalize("NFC", _UNSAFE.sub("_", filename))
    # Windows drops dots and spaces at the end; other systems hide what begins with a dot, or read `-` as an option.
    name = name.strip().rstrip(". ")
    if not name or name[0] in ".-":
        name = f"_{name}"
    if _DEVICE.match(name):
        name = f"_{name}"
    stem, dot, extension = name.rpartition(".")
    return _shortened(stem, f".{extension}") if dot else _shortened(name, "")


def _shortened(stem: str, end: str) -> str:
    """Return `stem` and `end` in at most 255 bytes, with as much of the stem as fits."""
    room = MAX_BYTES - len(end.encode())
    if room < 1:
        return _shortened(stem + end, "")
    kept = stem.encode()[:room].decode(errors="ignore")
    return (kept.rstrip() if len(kept) < len(stem) else kept) + end


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
