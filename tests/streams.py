"""Bytes as a stream."""

from collections.abc import AsyncIterator


async def pieces(data: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    """Yield the bytes in pieces of `size`."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
