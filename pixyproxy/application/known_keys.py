"""Recently verified API keys of this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from pixyproxy.domain.api_key import APIKey

CAPACITY: Final = 10_000


class KnownKeys:
    """Remembers the keys that were verified in the last `seconds`, the latest 10,000 of them.

    A key that another process revokes, and one of a user whom another process disables, may be used that much longer.
    `monotonic` is the clock in seconds.
    """

    def __init__(self, *, seconds: float = 2.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._keys: OrderedDict[str, tuple[APIKey, float]] = OrderedDict()

    def find(self, digest: str) -> APIKey | None:
        """Return the key with this digest if it was verified recently."""
        key, verified_at = self._keys.get(digest, (None, 0.0))
        return key if self._monotonic() - verified_at < self._seconds else None

    def put(self, key: APIKey) -> None:
        """Remember a key that was verified now."""
        self._keys[key.digest] = key, self._monotonic()
        self._keys.move_to_end(key.digest)
        if len(self._keys) > CAPACITY:
            self._keys.popitem(last=False)

    def replace(self, key: APIKey) -> None:
        """Remember a key as it is now, for as long as before."""
        if key.digest in self._keys:
            self._keys[key.digest] = key, self._keys[key.digest][1]

    def forget(self, guid: UUID) -> None:
        """Forget a key."""
        for digest in [digest for digest, (key, _) in self._keys.items() if key.guid == guid]:
            del self._keys[digest]
