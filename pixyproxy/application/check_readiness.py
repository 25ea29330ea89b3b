"""Use case: readiness check."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixyproxy.domain.ports import HealthCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReadiness:
    """Return if every dependency works; raise its error if one does not."""

    dependencies: Sequence[HealthCheck]

    async def __call__(self) -> None:
        for dependency in self.dependencies:
            await dependency.check()
