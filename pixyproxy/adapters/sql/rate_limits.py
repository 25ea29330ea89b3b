"""Rates in a database."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.domain.ports import RateLimits

_ADD: Final = "INSERT INTO rate_limits (name, next_at) VALUES (:name, '2000-01-01 00:00:00.000000') {skip_taken}"

# A push-back has a row of its own, so that `give_back` can't shorten it.
_PUSHED_BACK: Final = "{name}:pushed-back"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLRateLimits(RateLimits):
    """Keeps rates in table `rate_limits`: `next_at` is when a rate lets the next one through.

    It is the theoretical arrival time of the generic cell rate algorithm less its tolerance, so that a time alone says
    how long to wait, whatever `interval` and `burst` are.
    """

    database: SQLDatabase

    async def acquire(self, name: str, *, interval: float, burst: int) -> float:
        pushed_back = _PUSHED_BACK.format(name=name)
        while True:
            waits = await self._waits(name, pushed_back)
            if interval and waits.get(name, 0) > _microseconds(interval):
                waits[name] = await self._shorten(name, interval)
            wait = max(waits.get(name, 0) if interval else 0, waits.get(pushed_back, 0))
            if wait > 0:
                return wait / 1_000_000
            if not interval:
                return 0.0
            if name not in waits:
                await self._add(name)
            if await self._take(name, interval, burst):
                return 0.0
            # Another one was let through since.

    async def push_back(self, name: str, seconds: float) -> None:
        later = self.database.dialect.shifted("{now}", "microseconds")
        pushed_back = _PUSHED_BACK.format(name=name)
        await self._add(pushed_back)
        await self.database.execute(
            f"UPDATE rate_limits SET next_at = {later} WHERE name = :name AND next_at < {later}",  # noqa: S608
            {"name": pushed_back, "microseconds": _microseconds(seconds)},
        )

    async def give_back(self, name: str, *, interval: float) -> None:
        earlier = self.database.dialect.shifted("next_at", "microseconds")
        await self.database.execute(
            f"UPDATE rate_limits SET next_at = {earlier} WHERE name = :name",  # noqa: S608
            {"name": name, "microseconds": -_microseconds(interval)},
        )

    async def _waits(self, name: str, pushed_back: str) -> dict[str, int]:
        """Return the microseconds until the `next_at` of each row there is."""
        wait = self.database.dialect.microseconds_until.format(time="next_at")
        rows = await self.database.fetch_all(
            f"SELECT name, {wait} FROM rate_limits WHERE name IN (:name, :pushed_back)",  # noqa: S608
            {"name": name, "pushed_back": pushed_back},
        )
        return {str(row[0]): int(row[1]) for row in rows}

    async def _shorten(self, name: str, interval: float) -> int:
        """End a wait that comes from a lower rate, or from a clock that was ahead, after an interval at most."""
        microseconds = _microseconds(interval)
        latest = self.database.dialect.shifted("{now}", "microseconds")
        await self.database.execute(
            f"UPDATE rate_limits SET next_at = {latest} WHERE name = :name AND next_at > {latest}",  # noqa: S608
            {"name": name, "microseconds": microseconds},
        )
        return microseconds

    async def _add(self, name: str) -> None:
        await self.database.execute(_ADD, {"name": name})

    async def _take(self, name: str, interval: float, burst: int) -> bool:
        dialect = self.database.dialect
        after_next, at_least = dialect.shifted("next_at", "interval"), dialect.shifted("{now}", "at_least")
        microseconds = _microseconds(interval)
        taken = await self.database.execute(
            f"""
                UPDATE rate_limits
                SET next_at = CASE WHEN {after_next} > {at_least} THEN {after_next} ELSE {at_least} END
                WHERE name = :name AND next_at <= {{now}}
            """,  # noqa: S608
            {"name": name, "interval": microseconds, "at_least": (2 - burst) * microseconds},
        )
        return taken == 1


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
