"""Parameters that several routes take."""

from typing import Annotated
from uuid import UUID

from litestar.params import HeaderParameter, PathParameter, QueryParameter

from pixyproxy.application.list_images import LIMIT_MAX
from pixyproxy.domain.image import CURSOR_PATTERN

Guid = Annotated[UUID, PathParameter(description="The image's public id, a UUID.")]
Limit = Annotated[
    int, QueryParameter(name="limit", ge=1, le=LIMIT_MAX, description="How many images to return at most, 1 to 1,000.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(
        name="cursor",
        pattern=CURSOR_PATTERN,
        description="Where the page begins. Never made up: it comes with the `Link` header of the page before.",
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description="`respond-async`: answer 202 at once; `wait=N`: after N seconds at the latest (RFC 7240).",
    ),
]
IdempotencyKeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="1 to 255 visible ASCII characters, in double quotes or not. A second request with the same key and"
        " the same body buys nothing and gets the answer of the first.",
    ),
]
