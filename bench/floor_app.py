"""An application that does the least that sending a picture takes; `delivery_floor.py` measures PixyProxy against it.

It takes the name of the file from the path and has the kernel send it, on the protocol class of PixyProxy and with
those of its parts that FLOOR names: `log` (two lines a request) and `database` (the image is looked up, no more).
"""

import os
from typing import Any, Final
from uuid import UUID

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.log import configure_logging
from pixyproxy.entrypoints.server.sendfile_protocol import ZERO_COPY
from pixyproxy.entrypoints.settings import LogFormat

HAS_LOG: Final = "log" in os.environ["FLOOR"]
HAS_DATABASE: Final = "database" in os.environ["FLOOR"]
FOLDER: Final = os.environ["PIXYPROXY_CONTENT_URL"].removeprefix("file://")
GUID: Final = slice(len("/image/"), -len("/content"))

_database = MySQLDatabase(os.environ["PIXYPROXY_DATABASE_URL"])
_images = _database.images


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer `/image/{guid}/content`."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    key = scope["path"][GUID]
    facts = {"request_id": key, "method": scope["method"], "path": scope["path"]}
    if HAS_LOG:
        log_request("request started", facts)
    if HAS_DATABASE:
        await _images.get(UUID(key))
    with open(f"{FOLDER}/{key[:2]}/{key[2:4]}/{key}", "rb", buffering=0) as file:  # noqa: ASYNC230, PTH123 -- the least
        count = os.fstat(file.fileno()).st_size
        headers = [(b"content-type", b"image/png"), (b"content-length", str(count).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": ZERO_COPY, "file": file, "offset": 0, "count": count, "more_body": False})
    if HAS_LOG:
        log_request("request finished", {**facts, "status": 200, "duration_ms": 0.1})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    configure_logging(LogFormat.CONSOLE)
    await _database.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _database.close()
    await send({"type": "lifespan.shutdown.complete"})
