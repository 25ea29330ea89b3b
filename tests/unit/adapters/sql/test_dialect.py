"""Statements as the drivers take them."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from pixyproxy.adapters.mysql.dialect import MYSQL
from pixyproxy.adapters.sqlite.dialect import SQLITE


def test_parameters_and_the_fields_of_the_dialect_are_filled_in() -> None:
    statement = "UPDATE image_deletions SET lease_until = {later} WHERE guid = :guid AND lease_until <= {now}"
    assert MYSQL.sql(statement) == (
        "UPDATE image_deletions SET lease_until = CURRENT_TIMESTAMP(6) + INTERVAL %(seconds)s SECOND"
        " WHERE guid = %(guid)s AND lease_until <= CURRENT_TIMESTAMP(6)"
    )
    assert SQLITE.sql(statement) == (
        "UPDATE image_deletions SET lease_until = strftime('%Y-%m-%d %H:%M:%f000', 'now', :seconds || ' seconds')"
        " WHERE guid = :guid AND lease_until <= strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    )


def test_times_and_json_in_a_statement_stay() -> None:
    statement = """SELECT '2026-01-01 10:20:30', '{}', '{"a": 1}'"""
    assert MYSQL.sql(statement) == SQLITE.sql(statement) == statement


@pytest.mark.parametrize(
    ("time", "microseconds", "shifted"),
    [
        ("2026-12-31 23:59:59.999999", 1, "2027-01-01 00:00:00.000000"),
        ("2026-12-31 23:59:59.999600", 0, "2026-12-31 23:59:59.999600"),
        ("2026-01-01 00:00:00.000000", -1, "2025-12-31 23:59:59.999999"),
        ("2024-02-28 12:00:00.123456", 86_400_000_600, "2024-02-29 12:00:00.124056"),
    ],
)
def test_sqlite_shifts_times_by_microseconds(time: str, microseconds: int, shifted: str) -> None:
    statement = SQLITE.sql(f"SELECT {SQLITE.shifted(':time', 'microseconds')}")
    with closing(sqlite3.connect(":memory:")) as database:
        rows = database.execute(statement, {"time": time, "microseconds": microseconds}).fetchall()
    assert rows == [(shifted,)]


def test_sqlite_knows_the_microseconds_until_a_time() -> None:
    time = "2099-12-31 23:59:59.999999"
    statement = SQLITE.sql(f"SELECT {{now}}, {SQLITE.microseconds_until.format(time=':time')}")
    with closing(sqlite3.connect(":memory:")) as database:
        now, left = database.execute(statement, {"time": time}).fetchone()
    assert left == (datetime.fromisoformat(time) - datetime.fromisoformat(now)) // timedelta(microseconds=1)
