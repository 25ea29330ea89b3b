"""Images as rows, for databases that are filled without the service."""

from collections.abc import Mapping, Sequence

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
