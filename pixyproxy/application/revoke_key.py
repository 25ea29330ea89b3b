"""Use case: revoke an API key."""

from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.api_key import APIKey, key_not_found
from pixyproxy.domain.ports import APIKeyRepository, Clock
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey:
    """Revoke an API key of the principal's own, or as an administrator any.

    It counts at once in this process, and within five seconds in others. Returns the key as it was before. Raises
    `RecordNotFoundError` for an unknown key and for another user's.
    """

    keys: APIKeyRepository
    clock: Clock
    access: AccessChanges

    async def __call__(self, guid: UUID, principal: Principal) -> APIKey:
        key = await self.keys.get(guid)
        if not principal.may_manage(key.user):
            raise key_not_found()
        try:
            await self.keys.revoke(guid, self.clock.now())
        finally:
            # It may be revoked even if the answer of the database is lost.
            self.access.note_change()
        return key
