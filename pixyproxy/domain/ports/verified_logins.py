"""Which logins were verified lately."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.user import UserName


class VerifiedLogins(Protocol):
    """Which logins were verified lately, so that each request need not cost a password hash."""

    @abstractmethod
    def put(self, name: UserName, password: str, address: str | None = None) -> None:
        """Remember that `password` was verified as that of `name`, from `address`; never keep it in the clear."""

    @abstractmethod
    def contains(self, name: UserName, password: str) -> bool:
        """Whether this name and password were verified together so lately that they need not be verified again.

        Recalling does not lengthen that time.
        """

    @abstractmethod
    def was_right(self, name: UserName, password: str) -> bool:
        """Whether this name and password were verified together within a day; they may be wrong by now."""

    @abstractmethod
    def is_familiar(self, name: UserName, address: str) -> bool:
        """Whether a login of `name` from `address` was verified within a day."""

    @abstractmethod
    def forget(self, name: UserName, password: str) -> None:
        """Forget that this name and password were right."""
