"""Use case: find out who is asking."""

from dataclasses import dataclass

from pixyproxy.domain.errors import AuthenticationError, DataValidationError, RecordNotFoundError
from pixyproxy.domain.ports import PasswordHasher, UserRepository, VerifiedLogins
from pixyproxy.domain.user import Principal, User, UserName, parse_password, parse_user_name


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateUser:
    """Return the principal that a user name and a password belong to.

    Raises one and the same `AuthenticationError`, at the same cost, for a user who is unknown or disabled and for a
    wrong password, so that nobody learns which names exist.
    """

    users: UserRepository
    hasher: PasswordHasher
    verified: VerifiedLogins

    async def __call__(self, name: str, password: str) -> Principal:
        try:
            login = parse_user_name(name), parse_password(password)
        except DataValidationError:
            await self.hasher.verify(self.hasher.decoy, "")
            raise _wrong_login() from None
        if not self.verified.recall(*login):
            user = await self._find(login[0])
            fits = await self.hasher.verify(user.password_hash if user else self.hasher.decoy, login[1])
            if user is None or user.is_disabled or not fits:
                raise _wrong_login()
            self.verified.remember(*login)
        return Principal(name=login[0])

    async def _find(self, name: UserName) -> User | None:
        try:
            return await self.users.get(name)
        except RecordNotFoundError:
            return None


def _wrong_login() -> AuthenticationError:
    return AuthenticationError("The user name or the password is wrong.")
