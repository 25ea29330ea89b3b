"""Shared keys in memory."""

import secrets
from collections.abc import Sequence

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.domain.ports import SecretStore


class InMemorySecretStore(SecretStore):
    """Keeps keys as long as the object lives."""

    def __init__(self, access_version: InMemoryAccessVersion | None = None) -> None:
        self._access_version = access_version or InMemoryAccessVersion()
        self._secrets: dict[str, bytes] = {}
        self._earlier: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes:
        return self._secrets.setdefault(name, secrets.token_bytes(32))

    async def accepted(self, name: str) -> Sequence[bytes]:
        earlier = self._earlier.get(name)
        return [await self.get(name), *([] if earlier is None else [earlier])]

    async def rotate(self, name: str, *, revoke: bool = False) -> None:
        replaced = self._secrets.get(name)
        self._earlier.pop(name, None)
        if replaced is not None and not revoke:
            self._earlier[name] = replaced
        self._secrets[name] = secrets.token_bytes(32)
        self._access_version.grow()
