"""Use case: give a user another password."""

from dataclasses import dataclass

from pixyproxy.domain.ports import PasswordHasher, UserRepository
from pixyproxy.domain.user import parse_password, parse_user_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """Replace a user's password.

    Raises `DataValidationError` for a password that breaks a rule and `RecordNotFoundError` for an unknown user.
    """

    users: UserRepository
    hasher: PasswordHasher

    async def __call__(self, name: str, password: str) -> None:
        parsed = parse_user_name(name)
        await self.users.set_password_hash(parsed, await self.hasher.hash(parse_password(password)))
