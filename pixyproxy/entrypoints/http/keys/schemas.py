"""Request and response bodies of API keys, independent of the domain's structs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

import msgspec
from msgspec import Meta

from pixyproxy.application.create_key import CreatedKey
from pixyproxy.domain.api_key import APIKey, KeyScope, KeyState
from pixyproxy.domain.image import Visibility
from pixyproxy.entrypoints.http.images.schemas import TagText

_SCOPES = "`read`: every GET; `create`: make images; `manage`: change and delete images, make links."
_VISIBILITY = "Who may read images that are requested below `/v1` with the key, unless the request says so."


class CreateKeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key to make; without the other fields, one that never expires and may `read` and `create`."""

    name: Annotated[
        str,
        Meta(
            description="What the key is for: one line of 1 to 64 characters, without white space around it. One of"
            " them can be seen.",
            examples=["nightly job"],
        ),
    ]
    scopes: Annotated[list[KeyScope], Meta(description=_SCOPES, examples=[["read", "create"]])] = msgspec.field(
        default_factory=lambda: [KeyScope.READ, KeyScope.CREATE]
    )
    expires_at: Annotated[
        datetime | None,
        Meta(
            description="When it expires: a time in the future with its zone (RFC 3339); null for never.",
            examples=["2127-01-31T00:00:00Z"],
        ),
    ] = None
    visibility: Annotated[Visibility | None, Meta(description=f"{_VISIBILITY} Null for `private`.")] = None
    tags: Annotated[
        list[TagText],
        Meta(
            description="Tags of these images, besides those of the request: at most 32, no duplicates.",
            examples=[["chat"]],
        ),
    ] = msgspec.field(default_factory=list)
    user: Annotated[
        str | None,
        Meta(description="Whose key it is: null for your own; another user's for administrators.", examples=["ann"]),
    ] = None

    def to_arguments(self) -> dict[str, Any]:
        """Return the arguments of `CreateKey`."""
        return msgspec.structs.asdict(self)


class KeyDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without its secret."""

    guid: Annotated[UUID, Meta(description="The key's public id.", examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"])]
    name: Annotated[str, Meta(description="What the key is for.", examples=["nightly job"])]
    user: Annotated[str, Meta(description="Whose key it is.", examples=["ann"])]
    prefix: Annotated[str, Meta(description="Its first characters, to recognise it by.", examples=["pixy_Xb3rQ"])]
    state: Annotated[
        KeyState,
        Meta(
            description="`active`: it works, unless its user is disabled; `expired` and `revoked`: it is refused.",
            examples=["active"],
        ),
    ]
    scopes: Annotated[Sequence[KeyScope], Meta(description=_SCOPES, examples=[["read", "create"]])]
    visibility: Annotated[
        Visibility | None, Meta(description=f"{_VISIBILITY} Null for `private`.", examples=["private"])
    ]
    tags: Annotated[
        Sequence[str],
        Meta(description="Tags of these images, besides those of the request.", examples=[["chat"]]),
    ]
    created_at: Annotated[datetime, Meta(description="When it was made.", examples=["2026-11-26T10:00:00Z"])]
    expires_at: Annotated[
        datetime | None,
        Meta(description="From when on it is refused; null for never.", examples=["2127-01-31T00:00:00Z"]),
    ]
    last_used_at: Annotated[
        datetime | None,
        Meta(description="When it was last used, to the minute; null for never.", examples=["2026-11-26T10:01:00Z"]),
    ]
    revoked_at: Annotated[
        datetime | None, Meta(description="When it was revoked; null if it was not.", examples=["2026-11-27T10:00:00Z"])
    ]

    @classmethod
    def from_key(cls, key: APIKey, *, at: datetime) -> Self:
        """Return what is shown of a key at a time."""
        return cls(**_shown(key, at))


class CreatedKeyDetail(KeyDetail, frozen=True, kw_only=True):
    """A new API key, with its secret."""

    key: Annotated[
        str,
        Meta(
            description="The key itself, to send as `Authorization: Bearer …`. It is shown only now: PixyProxy stores"
            " nothing that it could be found out by.",
            examples=["pixy_Xb3rQ8sV0dJmZ1kT5yWc7fLhN2pGuA9eRo4i1s4VhT"],
        ),
    ]

    @classmethod
    def from_created(cls, created: CreatedKey, *, at: datetime) -> Self:
        """Return what is shown of a new key."""
        return cls(key=created.secret, **_shown(created.key, at))


def _shown(key: APIKey, at: datetime) -> dict[str, Any]:
    names = (name for name in KeyDetail.__struct_fields__ if name != "state")
    return {"state": key.state_at(at), **{name: getattr(key, name) for name in names}}
