"""Problem details on the wire (RFC 9457)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType


class FieldError(msgspec.Struct, frozen=True):
    """An error in one field."""

    field: Annotated[str, Meta(description="The field, parameter or header.", examples=["prompt"])]
    detail: Annotated[
        str, Meta(description="Which rule it breaks.", examples=["must have 1 to 32,000 characters, not 0"])
    ]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not served (RFC 9457)."""

    type: Annotated[
        str,
        Meta(
            description="The kind of problem, or `about:blank` where the status says it all.",
            examples=["urn:pixyproxy:problem:data-validation"],
        ),
    ]
    title: Annotated[str, Meta(description="The kind of problem, for people.", examples=["Data validation"])]
    status: Annotated[int, Meta(description="The HTTP status.", ge=400, le=599, examples=[400])]
    detail: Annotated[
        str, Meta(description="What is wrong this time.", examples=["must have 1 to 32,000 characters, not 0"])
    ]
    request_id: Annotated[
        str,
        Meta(description="Under which the log says more.", examples=["4e5a3d6c0b8f4f0d9a7c1e2b3f4a5d6c"]),
    ]
    errors: Annotated[Sequence[FieldError], Meta(description="Which fields are wrong, where fields are.")]
    retryable: Annotated[
        bool | UnsetType, Meta(description="Of a creation: whether the same request may succeed another time.")
    ] = UNSET
    maybe_billed: Annotated[
        bool | UnsetType, Meta(description="Of a creation: false only if it surely cost nothing.")
    ] = UNSET
    guid: Annotated[
        UUID | UnsetType,
        Meta(description="Of a creation that was begun: its image; the details have its outcome."),
    ] = UNSET
    batch: Annotated[
        UUID | UnsetType,
        Meta(description="Of a batch that was begun: its public id, under which its images have their outcomes."),
    ] = UNSET
