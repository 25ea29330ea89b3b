"""A library in an SQLite file and files, written past PixyProxy and without waiting for the disk."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.sql.rows import image_to_row
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.image import Image


async def prepare(folder: Path) -> None:
    """Make an empty database and an empty content store in `folder`."""
    database = SQLiteDatabase(folder / "pixyproxy.db")
    await database.open()
    await database.schema.upgrade()
    await database.close()
    await FilesystemContentStore(folder / "images").prepare()


def fill(folder: Path, images: Iterable[tuple[Image, bytes]]) -> None:
    """Write images and their contents to the database and the files in `folder`."""
    with sqlite3.connect(folder / "pixyproxy.db", isolation_level=None) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for image, data in images:
            row = image_to_row(image)
            names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(f"INSERT INTO images ({names}) VALUES ({places})", row)  # noqa: S608 -- our own names
            path = folder / "images" / image.content_key[:2] / image.content_key[2:4] / image.content_key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        connection.execute("COMMIT")
    connection.close()


def peak_mib() -> float:
    """Return the most memory that this process has had so far, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
