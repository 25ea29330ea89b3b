"""Bodies with pictures in base64, which are read from the content store while they are sent."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import StoredContent

# Bytes encoded at once: a multiple of three, so that only the last piece is padded.
_PIECE: Final = 192 << 10


class Body(msgspec.Struct, frozen=True):
    """Bytes, and contents that are sent as base64, in order; can be read once."""

    parts: Sequence[bytes | StoredContent]

    @property
    def byte_size(self) -> int:
        """The size of all of it."""
        return sum(len(part) if isinstance(part, bytes) else -(-part.byte_size // 3) * 4 for part in self.parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield it in chunks of at most some 512 KiB; raise `ContentStoreError` for a content of another size."""
        pending = b""
        for part in self.parts:
            if isinstance(part, bytes):
                pending += part
                continue
            async for piece in base64_of(part):
                pending += piece
                if len(pending) >= _PIECE:
                    yield pending
                    pending = b""
        if pending:
            yield pending


async def base64_of(content: StoredContent) -> AsyncIterator[bytes]:
    """Yield the content as base64, at most 256 KiB at once; raise `ContentStoreError` if it has another size."""
    byte_size, rest = 0, b""
    async for chunk in content.chunks:
        byte_size += len(chunk)
        data = rest + chunk
        whole = len(data) - len(data) % 3
        for start in range(0, whole, _PIECE):
            yield b64encode(data[start : min(start + _PIECE, whole)])
        rest = data[whole:]
    if byte_size != content.byte_size:
        raise ContentStoreError("The content has another size than it had before.")
    if rest:
        yield b64encode(rest)
