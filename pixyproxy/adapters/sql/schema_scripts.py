"""The numbered scripts under `sql/`, and their records in table `schema_migrations`."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from importlib import resources

import msgspec

from pixyproxy.adapters.sql.rows import time_from_text
from pixyproxy.domain.errors import SchemaOutdatedError
from pixyproxy.domain.ports import Migration


class SchemaScript(msgspec.Struct, frozen=True, kw_only=True):
    """One script: its number, its name and its SQL."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the SQL in hex, which reveals edits after the release."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class SchemaRecord(msgspec.Struct, frozen=True):
    """The record of a script; `applied_at` is None if the script was started and did not finish."""

    version: int
    name: str
    checksum: str
    applied_at: str | None


def load_scripts(dialect: str) -> Sequence[SchemaScript]:
    """Return the scripts of folder `sql/<dialect>`, ordered by number."""
    files = (resources.files("pixyproxy") / "sql" / dialect).iterdir()
    matches = [(file, re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)) for file in files]
    scripts = [
        SchemaScript(version=int(match[1]), name=match[2], sql=file.read_text(encoding="utf-8"))
        for file, match in matches
        if match
    ]
    return sorted(scripts, key=lambda script: script.version)


def compare(scripts: Sequence[SchemaScript], records: Sequence[SchemaRecord]) -> Sequence[Migration]:
    """Return for each script whether and when it was applied, according to these records.

    Raises `SchemaOutdatedError` if the database has a script that is not among `scripts`, or that was edited since.
    """
    known = {script.version: script for script in scripts}
    applied_at: dict[int, datetime] = {}
    for record in records:
        if record.version not in known:
            raise SchemaOutdatedError(
                f"The database has schema script {record.version} ({record.name}), which this version of PixyProxy"
                " does not know: a newer one upgraded it."
            )
        if record.applied_at is not None:
            if record.checksum != known[record.version].checksum:
                raise SchemaOutdatedError(
                    f"Schema script {record.version} ({record.name}) was edited after it was applied to the database."
                )
            applied_at[record.version] = time_from_text(record.applied_at)
    return [
        Migration(version=script.version, name=script.name, applied_at=applied_at.get(script.version))
        for script in scripts
    ]


def missing(scripts: Sequence[SchemaScript], records: Sequence[SchemaRecord]) -> Sequence[SchemaScript]:
    """Return the scripts that are not applied yet; raise what `compare` raises."""
    return [
        script
        for script, migration in zip(scripts, compare(scripts, records), strict=True)
        if migration.applied_at is None
    ]
