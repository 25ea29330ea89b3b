"""Use case: revoke all API keys of a user."""

from dataclasses import dataclass

from pixyproxy.application.list_keys import ListKeys
from pixyproxy.application.revoke_key import RevokeKey
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKeys:
    """Revoke all API keys of a user, and return the number of those that were not revoked before.

    Raises what `ListKeys` raises.
    """

    list_keys: ListKeys
    revoke_key: RevokeKey

    async def __call__(self, principal: Principal, user: str | None = None) -> int:
        keys = [key for key in await self.list_keys(principal, user=user) if key.revoked_at is None]
        for key in keys:
            await self.revoke_key(key.guid, principal)
        return len(keys)
