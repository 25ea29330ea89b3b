"""Recently verified API keys of this process."""

from collections import OrderedDict
from datetime import datetime
from typing import Final
from uuid import UUID

from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.ports import AccessMark

CAPACITY: Final = 10_000


class KnownKeys:
    """Remembers the keys that were verified, and when each was used: the latest 10,000 of them."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, tuple[APIKey, AccessMark]] = OrderedDict()
        self._uses: OrderedDict[UUID, datetime] = OrderedDict()

    def find(self, digest: str) -> tuple[APIKey, AccessMark] | None:
        """Return the key with this digest if it was verified, and the mark; it may have changed since."""
        return self._keys.get(digest)

    def put(self, key: APIKey, mark: AccessMark) -> None:
        """Remember a key that was verified; the mark is from before it was read."""
        self._keys[key.digest] = key, mark
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
