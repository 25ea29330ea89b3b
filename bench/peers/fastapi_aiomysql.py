"""A well-written service of today: FastAPI, pydantic models, aiomysql with its own pool.

`/image` and `/image/{guid}` answer PixyProxy's fields, tags included, with one query each, in which MariaDB joins the
tags of an image. `/short/…` does the same with five columns and no tags. FastAPI makes the models from the rows, which
costs less than making them in the handlers.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import aiomysql
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

Row = dict[str, Any]

POOL_SIZE = 16

COLUMNS = (
    "guid, filename, status, prompt, author, visibility, created_at, updated_at, media_type, byte_size, sha256, width,"
    " height, model, size, quality, background, output_format, batch"
)
TAGS = "(SELECT GROUP_CONCAT(tag ORDER BY position SEPARATOR '\\n') FROM image_tags WHERE image_id = images.id) AS tags"
SHORT_COLUMNS = "guid, filename, prompt, created_at, updated_at"
ONE = "FROM images WHERE guid = %s AND visibility = 'public' AND status = 'ready'"
NEWEST = "FROM images WHERE visibility = 'public' AND status = 'ready' ORDER BY created_at DESC, guid DESC LIMIT %s"


class ShortDetail(BaseModel):
    """Five columns."""

    guid: UUID
    filename: str
    prompt: str
    created_at: datetime
    updated_at: datetime


class ImageDetail(ShortDetail):
    """The same fields as PixyProxy's."""

    status: str
    tags: list[str]
    author: str | None
    visibility: str
    media_type: str | None
    byte_size: int | None
    sha256: str | None
    width: int | None
    height: int | None
    model: str
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    batch: UUID | None = None
    problem: None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool."""
    url = urlsplit(os.environ["PEER_DATABASE_URL"])
    app.state.pool = await aiomysql.create_pool(
        unix_socket=parse_qs(url.query)["unix_socket"][0],
        user=url.username,
        db=url.path.strip("/"),
        minsize=POOL_SIZE,
        maxsize=POOL_SIZE,
        autocommit=True,
        cursorclass=aiomysql.DictCursor,
    )
    yield
    app.state.pool.close()
    await app.state.pool.wait_closed()


app = FastAPI(lifespan=lifespan, openapi_url=None)


async def fetch(sql: str, parameter: object) -> Sequence[Row]:
    """Return the rows of a query; times are in UTC."""
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(sql, (parameter,))
        rows: Sequence[Row] = await cursor.fetchall()
    for row in rows:
        row["created_at"] = row["created_at"].replace(tzinfo=UTC)
        row["updated_at"] = row["updated_at"].replace(tzinfo=UTC)
        if "tags" in row:
            row["tags"] = row["tags"].split("\n") if row["tags"] else []
    return rows


def only(rows: Sequence[Row]) -> Row:
    """Return the only row."""
    if not rows:
        raise HTTPException(404, "There is no such image.")
    return rows[0]


@app.get("/image/{guid}", response_model=ImageDetail)
async def details(guid: UUID) -> Row:
    """Return one image."""
    return only(await fetch(f"SELECT {COLUMNS}, {TAGS} {ONE}", str(guid)))


@app.get("/image", response_model=list[ImageDetail])
async def images(limit: int = 100) -> Sequence[Row]:
    """Return the newest images."""
    return await fetch(f"SELECT {COLUMNS}, {TAGS} {NEWEST}", limit)


@app.get("/short/image/{guid}", response_model=ShortDetail)
async def short_details(guid: UUID) -> Row:
    """Return five columns of one image."""
    return only(await fetch(f"SELECT {SHORT_COLUMNS} {ONE}", str(guid)))


@app.get("/short/image", response_model=list[ShortDetail])
async def short_images(limit: int = 100) -> Sequence[Row]:
    """Return five columns of the newest images."""
    return await fetch(f"SELECT {SHORT_COLUMNS} {NEWEST}", limit)
