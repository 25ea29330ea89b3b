"""Use case: verify a login."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.login_allowance import LoginAllowance
from pixyproxy.application.login_queue import LoginQueue
from pixyproxy.domain.errors import AuthenticationError, DataValidationError, RecordNotFoundError
from pixyproxy.domain.ports import PasswordHasher, UserRepository, VerifiedLogins
from pixyproxy.domain.user import Password, Principal, User, UserName, parse_login_names, parse_password


class _Login(NamedTuple):
    name: UserName
    password: Password
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateUser:
    """Return the principal of a user name and a password.

    Takes the client's `address`; without one, wrong logins are not counted.

    Raises the same `AuthenticationError`, at the same cost, for an unknown user, a disabled user and a wrong password,
    so that clients can't find out names; a malformed name or password is refused unverified. Raises
    `TooManyLoginsError` for a name and address with too many wrong logins, and `OverloadedError` when the queue is
    full. A login that succeeded recently is verified whatever the count, and equal logins are verified once.
    A verified login is remembered. When any user or key changes (see `AccessChanges`), it stays valid if its own user
    is the same.
    """

    users: UserRepository
    hasher: PasswordHasher
    verified: VerifiedLogins
    access: AccessChanges
    allowance: LoginAllowance = field(default_factory=LoginAllowance)
    queue: LoginQueue = field(default_factory=LoginQueue)
    _verifying: dict[_Login, asyncio.Task[User]] = field(default_factory=dict, init=False, repr=False)

    async def __call__(self, name: str, password: str, *, address: str | None = None) -> Principal:
        login = await self._parse(name, password, address)
        if principal := await self._remembered(login):
            return principal
        user = await self._verify_once(login)
        return Principal(name=user.name, is_admin=user.is_admin)

    async def user(self, name: str, password: str, *, address: str | None = None) -> User:
        """Return the user whose stored password hash the password was verified against; raise the same.

        A login that is remembered may be five seconds old; this one is looked up now.
        """
        return await self._verify_once(await self._parse(name, password, address))

    async def _parse(self, name: str, password: str, address: str | None) -> _Login:
        try:
            names, parsed = parse_login_names(name), parse_password(password)
        except DataValidationError:
            raise _wrong_login() from None
        return _Login(await self._meant(names), parsed, address)

    async def _remembered(self, login: _Login) -> Principal | None:
        verified = self.verified.find(login.name, login.password)
        if verified is None or not await self.access.holds(verified.mark):
            return None
        return Principal(name=login.name, is_admin=verified.is_admin)

    async def _verify_once(self, login: _Login) -> User:
        task = self._verifying.get(login)
        if task is None:
            if login.address is not None and not self.verified.was_right(login.name, login.password):
                # A flood is refused here, where that costs least; the task counts.
                self.allowance.ensure_left(login.name, login.address)
            task = self._verifying[login] = asyncio.create_task(self._verify(login))
            task.add_done_callback(lambda task: self._end(login, task))
        return await asyncio.shield(task)

    def _end(self, login: _Login, task: asyncio.Task[User]) -> None:
        del self._verifying[login]
        if not task.cancelled():
            # The requests that waited may be gone, and asyncio complains of an error that is never retrieved.
            task.exception()

    async def _verify(self, login: _Login) -> User:
        if user := await self._still_right(login):
            return user
        name, password, address = login
        was_right = self.verified.was_right(name, password)
        is_familiar = was_right or (address is not None and self.verified.is_familiar(name, address))
        # A password that was right recently is no guess, even while others guess from the same address.
        attempt: AbstractContextManager[None] = (
            nullcontext() if was_right or address is None else self.allowance.attempt(name, address)
        )
        with attempt:
            async with self.queue.turn(name, address or "", is_familiar=is_familiar):
                mark = await self.access.mark()
                user = await self._find(name)
                fits = await self.hasher.verify(user.password_hash if user else self.hasher.dummy_hash, password)
            if user is not None and not self.access.is_current(mark):
                # The user may have changed during the verification, and later requests join this one.
                mark, password_hash = await self.access.mark(), user.password_hash
                user = await self._find(name)
                fits = fits and user is not None and user.password_hash == password_hash
            if user is None or user.is_disabled or not fits:
                self.verified.forget(name, password)
                raise _wrong_login()
        self.verified.put(user, password, address, mark=mark)
        return user

    async def _still_right(self, login: _Login) -> User | None:
        """Return the user of a remembered login if it is the same, which costs no password hash."""
        if self.verified.find(login.name, login.password) is None:
            return None
        mark = await self.access.mark()
        user = await self._find(login.name)
        if user is None or user.is_disabled or not self.verified.renew(user, login.password, mark=mark):
            return None
        return user

    async def _meant(self, names: Sequence[UserName]) -> UserName:
        """Return the first name that is a user's, or the last name."""
        *written, normalized = names
        for name in written:
            if await self._find(name) is not None:
                return name
        return normalized

    async def _find(self, name: UserName) -> User | None:
        try:
            return await self.users.get(name)
        except RecordNotFoundError:
            return None


def _wrong_login() -> AuthenticationError:
    return AuthenticationError("The user name or the password is wrong.")
