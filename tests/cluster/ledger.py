"""What clients asked for, what they were told, and how long it took."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.cluster.world import PICTURE_SIZE
from tests.doubles.openai_server import Order


@dataclass(slots=True, kw_only=True)
class Creation:
    """An image that a client asked for.

    `guid` is there once a response named it. It is promised by a 202 and confirmed by a 200. `tags` are those of the
    last change that was confirmed, and those of later changes whose outcome the client doesn't know.
    """

    author: str
    prompt: str
    key: str
    guid: str = ""
    is_promised: bool = False
    is_confirmed: bool = False
    tags: list[str] = field(default_factory=lambda: [""])

    @property
    def is_acknowledged(self) -> bool:
        """Whether the client was told that there is or will be an image."""
        return self.is_promised or self.is_confirmed

    @property
    def sha256(self) -> str:
        """The digest of the picture that the stand-in draws."""
        return hashlib.sha256(Order({"prompt": self.prompt, "size": PICTURE_SIZE}).picture()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: its kind, when it began and ended, and what was wrong with its response, if anything."""

    kind: str
    began_at: float
    ended_at: float
    error: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_at - self.began_at


@dataclass(slots=True)
class Ledger:
    """The requests and creations of all clients during an event."""

    requests: list[Request] = field(default_factory=list)
    creations: list[Creation] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0

    @property
    def errors(self) -> Counter[str]:
        """The number of errors of each kind."""
        return Counter(f"{request.kind}: {request.error}" for request in self.requests if request.error)

    @property
    def stall(self) -> float:
        """The longest time in which no request succeeded."""
        ends = sorted(request.ended_at for request in self.requests if not request.error)
        times = [self.began_at, *(end for end in ends if end <= self.ended_at), self.ended_at]
        return max(later - earlier for earlier, later in pairwise(times))

    def slowest(self, kinds: Sequence[str]) -> float:
        """Return the seconds of the slowest request of these kinds."""
        return max((request.seconds for request in self.requests if request.kind in kinds), default=0.0)
