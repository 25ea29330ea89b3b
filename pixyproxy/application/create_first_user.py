"""Use case: add the first user."""

from dataclasses import dataclass

from pixyproxy.application.add_user import AddUser
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.ports import UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFirstUser:
    """Add a user if there is none yet; return whether it was added.

    Raises `DataValidationError` for a name or password that breaks a rule.
    """

    users: UserRepository
    add_user: AddUser

    async def __call__(self, name: str, password: str) -> bool:
        if await self.users.list():
            return False
        try:
            await self.add_user(name, password)
        except ConstraintViolationError:
            # Another process that starts on the same database was faster.
            return False
        return True
