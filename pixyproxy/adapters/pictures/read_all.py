"""Content as a whole, to be inspected or converted."""

from pixyproxy.domain.content import CONTENT_MAX_SIZE
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import StoredContent


async def read_all(content: StoredContent) -> bytes:
    """Read the content to its end; raise `DamagedContentError` if it has more than 64 MiB."""
    chunks, byte_size = [], 0
    async for chunk in content.chunks:
        byte_size += len(chunk)
        if byte_size > CONTENT_MAX_SIZE:
            raise DamagedContentError("The content has more than 64 MiB.")
        chunks.append(chunk)
    return b"".join(chunks)
