"""Bodies of requests, a chunk at a time."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from litestar.exceptions import HTTPException

from pixyproxy.domain.errors import BadRequestError
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.headers import header_of


async def body_chunks(request: APIRequest, max_size: int) -> AsyncIterator[bytes]:
    """Yield the body of a request as it arrives, whatever Litestar's own limit is.

    Raises `HTTPException` (413) for a body of more than `max_size` bytes, at once if it says so, and `BadRequestError`
    for one that breaks off.
    """
    if (declared_size(request) or 0) > max_size:
        raise too_large(f"The body is larger than {max_size:,} bytes.")
    byte_size = 0
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("The client left before the body was whole.")
        chunk = message.get("body", b"")
        byte_size += len(chunk)
        if byte_size > max_size:
            raise too_large(f"The body is larger than {max_size:,} bytes.")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


def declared_size(request: APIRequest) -> int | None:
    """Return the size that the head of a request gives its body, None for a chunked one."""
    length = header_of(request.scope, b"content-length")
    return int(length) if length is not None and length.isdigit() else None


def too_large(detail: str) -> HTTPException:
    """Return the error for a body that is too large."""
    return HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail=detail)


def too_slow(seconds: float) -> HTTPException:
    """Return the error for a body that was not whole after `seconds`."""
    return HTTPException(
        status_code=HTTPStatus.REQUEST_TIMEOUT, detail=f"The body took longer than {seconds:g} seconds."
    )
