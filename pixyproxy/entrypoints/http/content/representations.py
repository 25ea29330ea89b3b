"""What a GET answers with, and when a client that has it already needs it again."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response

from pixyproxy.domain.errors import PreconditionFailedError
from pixyproxy.entrypoints.http.content.conditional import Validators, Verdict, conditions_of

# Anything may be changed, hidden or deleted a moment later: a cache asks before it uses what it has.
REVALIDATED: Final = "no-cache"
# Other sites may show what is public.
FOR_ANYBODY: Final[Mapping[str, str]] = {"Cache-Control": REVALIDATED, "Cross-Origin-Resource-Policy": "cross-origin"}
FOR_ONE: Final[Mapping[str, str]] = {
    "Cache-Control": f"private, {REVALIDATED}",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# What a 304 repeats of a 200 (RFC 9110, section 15.4.5), beside the entity tag.
_KEPT: Final = frozenset({"Cache-Control", "Cross-Origin-Resource-Policy", "Vary"})


def json_response(
    request: Request[Any, Any, Any],
    content: object,
    headers: Mapping[str, str],
    *,
    prefix: str = "",
    related: object = None,
) -> Response[Any]:
    """Answer a GET with `content` as JSON, or with a 304 if the client has it already.

    The strong entity tag is `prefix` and a digest of the body. If `related` is given, which stands for what the headers
    say beside the body, the tag is weak and depends on that, too. Raises `PreconditionFailedError`.
    """
    body = msgspec.json.encode(content)
    tag = entity_tag_of(body, prefix=prefix)
    if related is not None:
        tag = f"W/{entity_tag_of(body + msgspec.json.encode(related), prefix=prefix)}"
    return conditional_response(request, body, MediaType.JSON, tag, headers)


def entity_tag_of(body: bytes, *, prefix: str = "") -> str:
    """Return the strong entity tag of a body: `prefix` and a digest."""
    return f'"{prefix}{hashlib.sha256(body).hexdigest()[:16]}"'


def conditional_response(
    request: Request[Any, Any, Any], body: bytes, media_type: str, entity_tag: str, headers: Mapping[str, str]
) -> Response[Any]:
    """Answer a GET with `body`, or with a 304 if the client has it already; raise `PreconditionFailedError`."""
    validators = Validators(entity_tag, last_modified=None)
    match validators.judge(conditions_of(request.scope)):
        case Verdict.FAILED:
            raise PreconditionFailedError("It is not the one that the request names.")
        case Verdict.NOT_MODIFIED:
            kept = {name: value for name, value in headers.items() if name in _KEPT}
            return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": entity_tag, **kept})
    return Response(body, media_type=media_type, headers={"ETag": entity_tag, **headers})
