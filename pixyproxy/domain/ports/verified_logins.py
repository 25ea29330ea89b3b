"""Recently verified logins."""

from abc import abstractmethod
from typing import NamedTuple, Protocol

from pixyproxy.domain.ports.access_version import AccessMark
from pixyproxy.domain.user import User, UserName


class VerifiedLogin(NamedTuple):
    """A login as its user was stored after the mark."""

    is_admin: bool
    mark: AccessMark


class VerifiedLogins(Protocol):
    """Recently verified logins, so that not every request costs a password hash."""

    @abstractmethod
    def put(self, user: User, password: str, address: str | None = None, *, mark: AccessMark) -> None:
        """Store that `password` was verified for the user, from `address`; never store it in the clear.

        The mark is from before the user was read.
        """

    @abstractmethod
    def find(self, name: UserName, password: str) -> VerifiedLogin | None:
        """Return the login if this name and password were verified recently enough, or None.

        The user may have changed since; see `AccessChanges`. It does not extend that time.
        """

    @abstractmethod
    def renew(self, user: User, password: str, *, mark: AccessMark) -> bool:
        """Remember the user as stored now; return whether the password was verified against the same password hash.

        If not, nothing changes. It does not extend the time of `find`.
        """

    @abstractmethod
    def was_right(self, name: UserName, password: str) -> bool:
        """Whether this name and password were verified within a day; they may be wrong by now."""

    @abstractmethod
    def is_familiar(self, name: UserName, address: str) -> bool:
        """Whether a login of `name` from `address` was verified within a day."""

    @abstractmethod
    def forget(self, name: UserName, password: str) -> None:
        """Forget this name and password."""
