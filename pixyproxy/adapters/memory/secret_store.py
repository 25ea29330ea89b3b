"""Shared keys in memory."""

import secrets

from pixyproxy.domain.ports import SecretStore


class InMemorySecretStore(SecretStore):
    """Keeps keys as long as the object lives."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes:
        return self._secrets.setdefault(name, secrets.token_bytes(32))
