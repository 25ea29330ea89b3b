"""Counters that processes share."""

from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase, Transaction

_ADD_ONE: Final = "INSERT INTO counters (name, value) VALUES (:name, 1) {add_one}"

_VALUE: Final = "SELECT value FROM counters WHERE name = :name"


async def count_up(transaction: Transaction, name: str) -> None:
    """Add 1 to the counter; other transactions that count it up wait for the end of this one."""
    await transaction.execute(_ADD_ONE, {"name": name})


async def read_counter(source: SQLDatabase | Transaction, name: str) -> int:
    """Return the counter, 0 if it was never counted up."""
    rows = await source.fetch_all(_VALUE, {"name": name})
    return int(rows[0][0]) if rows else 0
