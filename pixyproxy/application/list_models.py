"""Use case: list models."""

from dataclasses import dataclass

from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.ports import ImageGenerator


@dataclass(frozen=True, slots=True, kw_only=True)
class ListModels:
    """Return the generator's models and what they take."""

    generator: ImageGenerator

    async def __call__(self) -> Capabilities:
        return self.generator.capabilities()
