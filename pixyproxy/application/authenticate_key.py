"""Use case: verify an API key."""

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.known_keys import KnownKeys
from pixyproxy.domain.api_key import APIKey, digest_of, parse_key_secret, wrong_key
from pixyproxy.domain.errors import PixyProxyException, RecordNotFoundError
from pixyproxy.domain.ports import APIKeyRepository, Clock, UserRepository

# A note of the last use must not hold a request up.
NOTE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateKey:
    """Return the API key with this secret, and note to the minute that it was used.

    Raises the same `AuthenticationError` for a malformed, an unknown, a revoked and an expired key, and for that of a
    disabled user. A key that was verified in the last five seconds is looked up again only after a change of
    any user or key: see `AccessChanges`.
    """

    keys: APIKeyRepository
    users: UserRepository
    clock: Clock
    access: AccessChanges
    known: KnownKeys = field(default_factory=KnownKeys)

    async def __call__(self, secret: str) -> APIKey:
        digest = digest_of(parse_key_secret(secret))
        key = await self._known(digest) or await self._verified(digest)
        now = self.clock.now()
        if not key.is_valid_at(now):
            raise wrong_key()
        await self._note_use(key, now.replace(second=0, microsecond=0))
        return key

    async def _known(self, digest: str) -> APIKey | None:
        known = self.known.find(digest)
        if known is None:
            return None
        key, mark = known
        return key if await self.access.holds(mark) else None

    async def _verified(self, digest: str) -> APIKey:
        mark = await self.access.mark()
        key = await self.keys.find(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            raise wrong_key()
        try:
            user = await self.users.get(key.user)
        except RecordNotFoundError:
            raise wrong_key() from None
        if user.is_disabled:
            raise wrong_key()
        self.known.put(key, mark)
        return key

    async def _note_use(self, key: APIKey, minute: datetime) -> None:
        # Not again in this minute, even if it fails: the request is worth more than the note.
        if not self.known.is_first_use(key, minute):
            return
        with suppress(PixyProxyException, TimeoutError):
            async with asyncio.timeout(NOTE_SECONDS):
                await self.keys.note_use(key.guid, minute)
