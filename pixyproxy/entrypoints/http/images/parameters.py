"""Parameters that several routes take."""

from typing import Annotated, Literal
from uuid import UUID

from litestar.params import HeaderParameter, PathParameter, QueryParameter

from pixyproxy.application.pages import LIMIT_MAX
from pixyproxy.domain.listing import ImageOrder
from pixyproxy.entrypoints.cursor_signer import CURSOR_MAX_LENGTH

Guid = Annotated[UUID, PathParameter(description="The image's public id, a UUID.")]
Limit = Annotated[
    int, QueryParameter(name="limit", ge=1, le=LIMIT_MAX, description="How many entries to return at most, 1 to 1,000.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(
        name="cursor",
        max_length=CURSOR_MAX_LENGTH,
        description="Where the page begins. Never made up: it comes with the `Link` header of a page of the same list.",
    ),
]
Sort = Annotated[
    ImageOrder, QueryParameter(name="sort", description="`-created_at`: the newest first; `created_at`: the oldest.")
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description="`respond-async`: answer 202 at once; `wait=N`: after N seconds at the latest (RFC 7240).",
    ),
]
PreferCount = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", description="`count=exact`: say in `X-Total-Count` how many there are; that may take long."
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the details as you have seen them: if they have changed since, nothing is done.",
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
Download = Annotated[
    Literal["", "true", "false"] | None,
    QueryParameter(name="download", description="Whether a browser should save the picture instead of showing it."),
]


def is_wanted(flag: str | None) -> bool:
    """Whether a parameter of the query that stands for itself is there, and is not `false`."""
    return flag in {"", "true"}
