"""The schema of the database."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One schema script: its number, its name, and when it was applied to this database, in UTC, or None."""

    version: int
    name: str
    applied_at: datetime | None


class Schema(Protocol):
    """The schema of the database: numbered scripts, each applied once and in order."""

    @abstractmethod
    async def status(self) -> Sequence[Migration]:
        """Return every script in order, and change nothing."""

    @abstractmethod
    async def upgrade(self) -> Sequence[Migration]:
        """Apply the missing scripts, and return those that this call has applied.

        Several processes may call it at once: one applies the scripts, the others wait.
        """
