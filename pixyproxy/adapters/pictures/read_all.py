"""Content that is needed as a whole, to be looked at or made into something else."""

from typing import Final

from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import StoredContent

MAX_BYTE_SIZE: Final = 64 << 20


async def read_whole(content: StoredContent) -> bytes:
    """Read the content to its end; raise `DamagedContentError` if it has more than 64 MiB."""
    chunks, byte_size = [], 0
    async for chunk in content.chunks:
        byte_size += len(chunk)
        if byte_size > MAX_BYTE_SIZE:
            raise DamagedContentError("The content has more than 64 MiB.")
        chunks.append(chunk)
    return b"".join(chunks)
