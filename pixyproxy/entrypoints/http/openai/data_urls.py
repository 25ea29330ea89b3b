"""Pictures in `data:` URLs (RFC 2397), decoded as browsers do."""

import asyncio
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from pixyproxy.domain.errors import DataValidationError

_SCHEME: Final = "data:"
_IS_BASE64: Final = re.compile(r".*; *base64 *", re.IGNORECASE | re.DOTALL)
_HEAD_MAX_LENGTH: Final = 1_000
_PIECE: Final = 1 << 20
_WHITE_SPACE: Final = b"\t\n\f\r "
_PADDING: Final = b"="


def is_data_url(url: str) -> bool:
    """Whether the scheme of a URL is `data`."""
    return url[: len(_SCHEME)].lower() == _SCHEME


async def data_url_chunks(url: str, *, field: str) -> AsyncIterator[bytes]:
    """Yield the bytes in a `data:` URL, a MiB of its text at a time and off the event loop.

    As the Fetch standard has it, white space is ignored, and padding may be missing. Raises `DataValidationError` for
    `field`.
    """
    comma = url.find(",", 0, _HEAD_MAX_LENGTH)
    if comma < 0:
        raise DataValidationError(field, "must have a comma after the media type of its data: URL")
    is_base64 = _IS_BASE64.fullmatch(url, len(_SCHEME), comma) is not None
    if not is_base64 or "%" in url:
        content = await asyncio.to_thread(unquote_to_bytes, url[comma + 1 :])
        if not is_base64:
            yield content
            return
        start, text = 0, content.decode("latin-1")
    else:
        start, text = comma + 1, url
    base64 = _Base64()
    try:
        for position in range(start, len(text), _PIECE):
            yield await asyncio.to_thread(base64.decoded, text[position : position + _PIECE])
        yield base64.rest_decoded()
    except ValueError:
        # binascii.Error and UnicodeEncodeError are some.
        raise DataValidationError(field, "must be base64 in its data: URL") from None


@dataclass(slots=True)
class _Base64:
    """Decodes base64 (RFC 4648, section 4) in pieces of any length."""

    rest: bytes = b""
    padding: int = 0

    def decoded(self, piece: str) -> bytes:
        """Return the bytes of all whole groups so far; raise `ValueError` for anything else."""
        digits, padding, behind = piece.encode("ascii").translate(None, _WHITE_SPACE).partition(_PADDING)
        if (self.padding and digits) or behind.strip(_PADDING):
            raise ValueError("There is something after the padding.")
        self.padding += len(padding) + len(behind)
        whole = self.rest + digits
        end = len(whole) - len(whole) % 4
        self.rest = whole[end:]
        return binascii.a2b_base64(whole[:end], strict_mode=True)

    def rest_decoded(self) -> bytes:
        """Return the bytes of the last group, which need not be padded; raise `ValueError`."""
        missing = -len(self.rest) % 4
        if self.padding and self.padding != missing:
            raise ValueError("The padding has another length.")
        return binascii.a2b_base64(self.rest + _PADDING * missing, strict_mode=True)
