"""Use case: list API keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixyproxy.application.user_names import find_user
from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.ports import APIKeyRepository, UserRepository
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys:
    """List the principal's own API keys, or as an administrator those of `user` or `of_all` users, oldest first.

    Raises `OperationNotAllowedError` for another user's keys, and `RecordNotFoundError` for an unknown user.
    """

    keys: APIKeyRepository
    users: UserRepository

    async def __call__(
        self, principal: Principal, *, user: str | None = None, of_all: bool = False
    ) -> Sequence[APIKey]:
        if of_all:
            principal.ensure_admin()
            return await self.keys.list()
        wanted = principal.ensure_may_manage(user)
        return await self.keys.list((await find_user(self.users, wanted, "user")).name)
