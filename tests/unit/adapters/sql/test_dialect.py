"""Statements as the drivers take them."""

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
