"""Leases, judged by observation."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pixyproxy.domain.ports import Lease


@dataclass(slots=True, kw_only=True)
class LeaseWatch:
    """Says which leases are over: those that were not renewed for `seconds` while this process looked.

    It must look at least every half of these: after a longer gap, in which perhaps no process could renew a lease, it
    begins anew. No two machines have the same clock, so a lease is judged by its renewals alone, and by how long this
    process has seen none, as leader elections of Kubernetes do. `monotonic` is its clock in seconds.
    """

    seconds: float = 15.0
    monotonic: Callable[[], float] = time.monotonic
    _since: dict[Lease, float] = field(default_factory=dict, init=False, repr=False)
    _looked_at: float = field(default=-math.inf, init=False, repr=False)

    @property
    def seconds_left(self) -> float:
        """The seconds until all leases that were seen last are over, if they are not renewed."""
        now = self.monotonic()
        return max((since + self.seconds - now for since in self._since.values()), default=0.0)

    def over(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Return those of all present leases that are over, and those without an owner."""
        now = self.monotonic()
        if now - self._looked_at > self.seconds / 2:
            self._since = {}
        self._looked_at = now
        self._since = {lease: self._since.get(lease, now) for lease in leases}
        return [lease for lease in leases if lease.owner is None or now - self._since[lease] >= self.seconds]
