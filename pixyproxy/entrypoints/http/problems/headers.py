"""Headers that an error has in any shape."""

from http import HTTPStatus
from typing import Final

from litestar.exceptions import HTTPException

from pixyproxy.domain import errors

REPLAYED: Final = "Idempotency-Replayed"


def error_headers(exc: Exception, status: int) -> dict[str, str]:
    """Return the headers of the answer to an exception, but for the challenge of a 401 and `Retry-After`."""
    # Caches would keep a 404 by default (RFC 9110, section 15.1), and the image may exist later.
    headers = {"Cache-Control": "no-store"}
    if isinstance(exc, HTTPException) and exc.headers:
        headers.update(exc.headers)
    # The rest of a body that is too large is unread, so the connection can't be reused; and retrying a refused login or
    # an overloaded service at once has to cost a new connection each time.
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or isinstance(
        exc, errors.TooManyLoginsError | errors.OverloadedError
    ):
        headers["Connection"] = "close"
    if isinstance(exc, errors.GenerationError) and exc.is_replay:
        headers[REPLAYED] = "true"
    return headers
