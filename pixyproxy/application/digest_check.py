"""How thoroughly the digests of stored contents are compared."""

import hashlib
from enum import StrEnum

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports import ContentStore, FoundContent, StoredContent


class DigestCheck(StrEnum):
    """Which digests of stored contents are compared.

    `NONE` compares sizes only. `KEPT` takes the digests that the store keeps, and reads only contents for which it
    keeps none. `READ` reads every byte.
    """

    NONE = "none"
    KEPT = "kept"
    READ = "read"


async def find_sha256(contents: ContentStore, key: ContentKey, found: FoundContent, check: DigestCheck) -> str | None:
    """Return the SHA-256 of a content in hex, as `check` says; None without a check.

    Raises `ContentNotFoundError` and `ContentStoreError`.
    """
    if check is DigestCheck.NONE:
        return None
    if check is DigestCheck.KEPT and found.sha256 is not None:
        return found.sha256
    return await read_sha256(await contents.open(key))


async def read_sha256(stored: StoredContent) -> str:
    """Read all of a content and return its SHA-256 in hex."""
    digest = hashlib.sha256()
    async for chunk in stored.chunks:
        digest.update(chunk)
    return digest.hexdigest()
