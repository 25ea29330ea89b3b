"""How many wrong logins a client may send."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pixyproxy.domain.errors import AuthenticationError, TooManyLoginsError
from pixyproxy.domain.user import UserName

CAPACITY: Final = 10_000


class LoginAllowance:
    """Allows `wrong_logins` wrong logins in `seconds` seconds for each pair of user name and client address.

    A name is never counted alone: otherwise its user could be locked out from elsewhere. The count is a leaky bucket
    (the generic cell rate algorithm), of the 10,000 latest pairs. `monotonic` is the clock in seconds.
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
        """Return when the allowance will be whole again after another; raise `TooManyLoginsError` if none is left."""
        now = self._monotonic()
        empty_at = max(now, self._empty_at.get((name, address), now)) + self._cost
        if (excess := empty_at - now - self._seconds) > 0:
            raise TooManyLoginsError("Too many wrong logins with this user name.", retry_after=excess)
        return empty_at

    @contextmanager
    def attempt(self, name: UserName, address: str) -> Iterator[None]:
        """Count the login that the block verifies, unless it ends without an `AuthenticationError`.

        It counts from its start, so that many at once don't pass before the first has failed. Raises
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
                # Logins that are not even verified, because there are too many, must not push out those that count.
                del self._empty_at[pair]
