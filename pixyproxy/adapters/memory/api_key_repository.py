"""API keys in memory."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.domain.api_key import APIKey, key_not_found
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.ports import APIKeyRepository
from pixyproxy.domain.user import UserName


class InMemoryAPIKeyRepository(APIKeyRepository):
    """Keeps keys as long as the object lives; for tests and for hosts without a database."""

    def __init__(self, access_version: InMemoryAccessVersion | None = None) -> None:
        self._access_version = access_version or InMemoryAccessVersion()
        self._keys: dict[UUID, APIKey] = {}

    async def add(self, key: APIKey) -> None:
        if key.guid in self._keys or await self.find(key.digest) is not None:
            raise ConstraintViolationError("This API key is stored already.")
        self._keys[key.guid] = key

    async def get(self, guid: UUID) -> APIKey:
        try:
            return self._keys[guid]
        except KeyError:
            raise key_not_found() from None

    async def find(self, digest: str) -> APIKey | None:
        return next((key for key in self._keys.values() if key.digest == digest), None)

    async def list(self, user: UserName | None = None) -> Sequence[APIKey]:
        found = [key for key in self._keys.values() if user in {None, key.user}]
        return sorted(found, key=attrgetter("created_at", "guid"))

    async def revoke(self, guid: UUID, at: datetime) -> None:
        key = await self.get(guid)
        if key.revoked_at is None:
            self._keys[guid] = msgspec.structs.replace(key, revoked_at=at)
        self._access_version.grow()

    async def note_use(self, guid: UUID, at: datetime) -> None:
        key = self._keys.get(guid)
        if key is not None and (key.last_used_at is None or key.last_used_at < at):
            self._keys[guid] = msgspec.structs.replace(key, last_used_at=at)
