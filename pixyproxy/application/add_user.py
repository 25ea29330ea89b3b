"""Use case: add a user."""

from dataclasses import dataclass

from pixyproxy.domain.ports import Clock, PasswordHasher, UserRepository
from pixyproxy.domain.user import User, parse_new_user_name, parse_password


@dataclass(frozen=True, slots=True, kw_only=True)
class AddUser:
    """Store a new user, or with `is_admin` a new administrator, and return it.

    Raises `DataValidationError` for a name or password that breaks a rule and `ConstraintViolationError` for a name
    that is taken.
    """

    users: UserRepository
    hasher: PasswordHasher
    clock: Clock

    async def __call__(self, name: str, password: str, *, is_admin: bool = False) -> User:
        parsed = parse_new_user_name(name)
        password_hash = await self.hasher.hash(parse_password(password))
        user = User(name=parsed, password_hash=password_hash, created_at=self.clock.now(), is_admin=is_admin)
        return await self.users.add(user)
