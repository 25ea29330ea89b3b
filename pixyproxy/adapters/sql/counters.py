"""Counters that processes share."""

from typing import Final

from pixyproxy.adapters.sql.database import Transaction

_COUNT_UP: Final = "INSERT INTO counters (name, value) VALUES (:name, 1) {add_one}"

_VALUE: Final = "SELECT value FROM counters WHERE name = :name"


async def count_up(transaction: Transaction, name: str) -> int:
    """Add 1 to the counter, and return it; other transactions that count it up wait for the end of this one."""
    await transaction.execute(_COUNT_UP, {"name": name})
    ((value,),) = await transaction.fetch_all(_VALUE, {"name": name})
    return int(value)
