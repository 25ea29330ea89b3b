"""Translates SQLite's errors to the domain's."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DBConnectionError,
    PixyProxyException,
    SchemaOutdatedError,
)

_TAKEN: Final = {
    "UNIQUE constraint failed: images.guid": "An image with this guid is stored already.",
    "UNIQUE constraint failed: users.name": "A user with this name is stored already.",
}

# The lowest byte of an extended code is its primary code.
_UNAVAILABLE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_BUSY: "The database is too busy.",
    sqlite3.SQLITE_LOCKED: "The database is too busy.",
    sqlite3.SQLITE_INTERRUPT: "The database has given up the operation.",
    sqlite3.SQLITE_FULL: "The database has no space left.",
    sqlite3.SQLITE_READONLY: "The database can't be written to.",
    sqlite3.SQLITE_PERM: "The database file can't be opened.",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened.",
    sqlite3.SQLITE_IOERR: "The database file can't be read or written.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged.",
    sqlite3.SQLITE_NOTADB: "The database file is not an SQLite database.",
}


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate SQLite's errors to the domain's, with a detail that is safe for clients; pass on all others."""
    try:
        yield
    except sqlite3.Error as exc:
        error = _translate(exc)
        if error is None:
            raise
        raise error from exc
    except OSError as exc:
        raise DBConnectionError(_UNAVAILABLE[sqlite3.SQLITE_CANTOPEN]) from exc


def is_busy(error: BaseException | None) -> bool:
    """Whether the error says that the file was locked for too long."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_full(error: BaseException | None) -> bool:
    """Whether the error says that the disk is full, or may say so: if files can't grow, SQLite reports I/O errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def is_interrupted(error: BaseException | None) -> bool:
    """Whether the error says that the statement was interrupted."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT


def _translate(error: sqlite3.Error) -> PixyProxyException | None:
    code = getattr(error, "sqlite_errorcode", 0)
    message = str(error)
    if code in {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}:
        return ConstraintViolationError(_TAKEN.get(message, "The record contradicts one that is stored."))
    if detail := _UNAVAILABLE.get(code & 0xFF):
        return DBConnectionError(detail)
    if message.startswith(("no such table", "no such column")) or " has no column named " in message:
        return SchemaOutdatedError(
            "The database's schema is not the one this version needs: run `pixyproxy db upgrade`."
        )
    if message.endswith(" already exists") or message.startswith("duplicate column name"):
        return SchemaOutdatedError("The database already holds what a schema script of PixyProxy would create.")
    return None
