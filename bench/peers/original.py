"""The design that PixyProxy began with: FastAPI, plain `def` handlers, a pool of mysql-connector, five columns.

With PEER_PURE=true the driver leaves its C extension aside, as it does without a word where its OpenSSL is missing.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from fastapi import FastAPI, HTTPException
from mysql.connector.pooling import MySQLConnectionPool
from pydantic import BaseModel

# More than this a pool of mysql-connector can't have; FastAPI runs as many as 40 plain handlers at once.
POOL_SIZE = 32
COLUMNS = "guid, filename, prompt, created_at, updated_at"
IS_PUBLIC = "visibility = 'public' AND status = 'ready'"


class ShortDetail(BaseModel):
    """Five columns."""

    guid: UUID
    filename: str
    prompt: str
    created_at: datetime
    updated_at: datetime


_url = urlsplit(os.environ["PEER_DATABASE_URL"])
_pool = MySQLConnectionPool(
    pool_size=POOL_SIZE,
    unix_socket=parse_qs(_url.query)["unix_socket"][0],
    user=_url.username,
    database=_url.path.strip("/"),
    autocommit=True,
    use_pure=os.environ.get("PEER_PURE") == "true",
)
app = FastAPI(openapi_url=None)


def fetch(sql: str, parameter: object) -> Sequence[dict[str, Any]]:
    """Return the rows of a query."""
    connection = _pool.get_connection()
    try:
        cursor = connection.cursor(dictionary=True)
        cursor.execute(sql, (parameter,))
        rows: Sequence[dict[str, Any]] = cursor.fetchall()
        return rows
    finally:
        connection.close()


@app.get("/image/{guid}")
def details(guid: UUID) -> ShortDetail:
    """Return one image."""
    rows = fetch(f"SELECT {COLUMNS} FROM images WHERE guid = %s AND {IS_PUBLIC}", str(guid))
    if not rows:
        raise HTTPException(404, "There is no such image.")
    return ShortDetail(**rows[0])


@app.get("/image")
def images(limit: int = 100) -> list[ShortDetail]:
    """Return the newest images."""
    sql = f"SELECT {COLUMNS} FROM images WHERE {IS_PUBLIC} ORDER BY created_at DESC, guid DESC LIMIT %s"
    return [ShortDetail(**row) for row in fetch(sql, limit)]
