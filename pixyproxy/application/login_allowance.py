"""Rate limit of wrong logins."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pixyproxy.domain.errors import AuthenticationError, TooManyLoginsError
from pixyproxy.domain.user import UserName

CAPACITY: Final = 10_000


class LoginAllowance:
    """Allows `wrong_logins` wrong logins per `seconds` for each pair of user name and client address.

    Names are never counted alone, or users could be locked out from elsewhere. The count is a leaky bucket (the generic
    cell rate algorithm) of the latest 10,000 pairs. `monotonic` is the clock in seconds.
    """

    def __init__(
        self, *, wrong_logins: int = 10, seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._cost = seconds / wrong_logins
        self._monotonic = monotonic
        # When the bucket of a pair will be empty, if no further login is wrong.
        self._empty_at: OrderedDict[tuple[UserName, str], float] = OrderedDict()

    def ensure_left(self, name: UserName, address: str) -> float:
        """Return when the allowance is full again after one more login; raise `TooManyLoginsError` if it is used up."""
        now = self._monotonic()
        empty_at = max(now, self._empty_at.get((name, address), now)) + self._cost
        if (excess := empty_at - now - self._seconds) > 0:
            raise TooManyLoginsError("Too many wrong logins with this user name.", retry_after=excess)
        return empty_at

    @contextmanager
    def attempt(self, name: UserName, address: str) -> Iterator[None]:
        """Count the login that the block verifies, unless the block ends without an `AuthenticationError`.

        Counts from the start, so that parallel logins don't pass before the first has failed. Raises
        `TooManyLoginsError` when the allowance is used up.
        """
        pair = name, address
        self._empty_at[pair] = self.ensure_left(name, address)
        self._empty_at.move_to_end(pair)
        if len(self._empty_at) > CAPACITY:
            self._empty_at.popitem(last=False)
        try:
            yield
        except AuthenticationError:
            raise
        except BaseException:
            self._give_back(pair)
            raise
        self._give_back(pair)

    def _give_back(self, pair: tuple[UserName, str]) -> None:
        if pair in self._empty_at:
            self._empty_at[pair] -= self._cost
            if self._empty_at[pair] <= self._monotonic():
                # Logins that are refused unverified must not evict the pairs that count.
                del self._empty_at[pair]
