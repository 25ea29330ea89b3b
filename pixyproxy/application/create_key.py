"""Use case: make an API key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pixyproxy.application.user_names import find_user
from pixyproxy.domain.api_key import DEFAULT_SCOPES, TOKEN_SIZE, APIKey, KeyScope, KeySecret, make_key_secret
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.ports import APIKeyRepository, Clock, GuidSource, TokenSource, UserRepository
from pixyproxy.domain.user import Principal


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key and its secret, which is stored nowhere."""

    key: APIKey
    secret: KeySecret

    def __repr__(self) -> str:
        # Keep the secret out of logs and tracebacks.
        return f"{type(self).__name__}(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey:
    """Make an API key of the principal's own, or as an administrator one of `user`.

    Takes what `APIKey.made` takes. Raises `DataValidationError`, `OperationNotAllowedError` for another user's key, and
    `RecordNotFoundError` for an unknown user.
    """

    keys: APIKeyRepository
    users: UserRepository
    clock: Clock
    guids: GuidSource
    tokens: TokenSource

    async def __call__(
        self,
        principal: Principal,
        *,
        name: str,
        user: str | None = None,
        scopes: Collection[KeyScope] = DEFAULT_SCOPES,
        visibility: Visibility | None = None,
        tags: Sequence[str] = (),
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        wanted = principal.ensure_may_manage(user)
        secret = make_key_secret(self.tokens.new(TOKEN_SIZE))
        key = APIKey.made(
            secret,
            guid=self.guids.new(),
            name=name,
            user=(await find_user(self.users, wanted, "user")).name,
            scopes=scopes,
            visibility=visibility,
            tags=tags,
            expires_at=expires_at,
            at=self.clock.now(),
        )
        await self.keys.add(key)
        return CreatedKey(key=key, secret=secret)
