"""How often users, sessions, API keys and link keys have changed."""

from abc import abstractmethod
from typing import NamedTuple, Protocol


class AccessVersion(Protocol):
    """A number that grows with each change of a user, an API key or a link key and each end of a session.

    It counts those of all processes. Adapters of `UserRepository`, `SessionStore`, `APIKeyRepository` and `SecretStore`
    store it in the transaction of the change.
    """

    @abstractmethod
    async def current(self) -> int:
        """Return the number."""


class AccessMark(NamedTuple):
    """The moment before something was read that processes remember: see `AccessChanges`.

    `changes` is their number known until then, and `at` the time in seconds.
    """

    changes: int
    at: float
