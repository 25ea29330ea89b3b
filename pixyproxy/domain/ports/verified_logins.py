"""Recently verified logins."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.user import Principal, UserName


class VerifiedLogins(Protocol):
    """Recently verified logins, so that not every request costs a password hash."""

    @abstractmethod
    def put(self, name: UserName, password: str, address: str | None = None, *, is_admin: bool = False) -> None:
        """Store that `password` was verified for `name`, from `address`; never store it in the clear.

        `is_admin` is whether the user is an administrator.
        """

    @abstractmethod
    def find(self, name: UserName, password: str) -> Principal | None:
        """Return the principal if this name and password were verified recently enough to be accepted, or None.

        It does not extend that time.
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
