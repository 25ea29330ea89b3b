"""Recently verified API keys of this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from pixyproxy.domain.api_key import APIKey

CAPACITY: Final = 10_000
KNOWN_SECONDS: Final = 2.0


class KnownKeys:
    """Remembers the keys that were verified in the last `seconds`, and when each was used: the latest 10,000 of them.

    A key that another process revokes, and one of a user whom another process disables, may be used that much longer.
    `monotonic` is the clock in seconds.
    """

    def __init__(self, *, seconds: float = KNOWN_SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._keys: OrderedDict[str, tuple[APIKey, float]] = OrderedDict()
        self._uses: OrderedDict[UUID, datetime] = OrderedDict()
        self._forgotten = 0

    @property
    def forgotten(self) -> int:
        """How often a key was forgotten; see `put`."""
        return self._forgotten

    def find(self, digest: str) -> APIKey | None:
        """Return the key with this digest if it was verified recently."""
        key, verified_at = self._keys.get(digest, (None, 0.0))
        return key if self._monotonic() - verified_at < self._seconds else None

    def put(self, key: APIKey, *, forgotten: int) -> None:
        """Remember a key that was verified now.

        `forgotten` is that number before the key was read: what was read before a key was revoked is not remembered.
        """
        if forgotten != self._forgotten:
            return
        self._keys[key.digest] = key, self._monotonic()
        self._keys.move_to_end(key.digest)
        if len(self._keys) > CAPACITY:
            self._keys.popitem(last=False)

    def is_first_use(self, key: APIKey, minute: datetime) -> bool:
        """Whether no use of the key in this minute or later is known; it is from now on."""
        last = max(filter(None, (key.last_used_at, self._uses.get(key.guid))), default=None)
        if last is not None and last >= minute:
            return False
        self._uses[key.guid] = minute
        self._uses.move_to_end(key.guid)
        if len(self._uses) > CAPACITY:
            self._uses.popitem(last=False)
        return True

    def forget(self, guid: UUID) -> None:
        """Forget a key."""
        self._forgotten += 1
        for digest in [digest for digest, (key, _) in self._keys.items() if key.guid == guid]:
            del self._keys[digest]
