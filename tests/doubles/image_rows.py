"""Images as rows, for databases that are filled without the service."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pymysql

from pixyproxy.adapters.mysql.url import parse_url
from pixyproxy.adapters.sql.rows import image_to_row, tags_to_rows, words_to_row
from pixyproxy.domain.image import Image

Rows = Mapping[str, Sequence[Mapping[str, object]]]


def rows_of(images: Sequence[Image]) -> Rows:
    """Return the rows of images, by table; the images have ids."""
    return {
        "images": [{"id": image.id, **image_to_row(image)} for image in images],
        "image_tags": [row for image in images for row in tags_to_rows(image.tags, image.id or 0, image_to_row(image))],
        "image_words": [words_to_row(image.id or 0, image.prompt) for image in images],
    }


def write_rows(url: str, tables: Rows) -> None:
    """Insert rows into a MySQL database."""
    with (
        pymysql.connect(**parse_url(url), charset="utf8mb4", init_command="SET time_zone = '+00:00'") as connection,
        connection.cursor() as cursor,
    ):
        for table, rows in tables.items():
            names, places = ", ".join(rows[0]), ", ".join(f"%({name})s" for name in rows[0])
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608 -- our own names
        connection.commit()


def write_sqlite_rows(path: Path, tables: Rows) -> None:
    """Insert rows into an SQLite database, all or none; services may work on it meanwhile."""
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        for table, rows in tables.items():
            if not rows:
                continue
            id_column = "rowid" if table == "image_words" else "image_id"
            # A trigger of SQLite drops the words of a changed prompt, so it has no digest of it.
            kept = [name for name in rows[0] if name != "prompt_digest"]
            names = ", ".join(kept).replace("image_id", id_column)
            places = ", ".join(f":{name}" for name in kept)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608 -- our own
