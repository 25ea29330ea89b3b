"""Encoded answers to a GET, and their revalidation."""

import hashlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from litestar import MediaType, Request, Response
from litestar.types import Receive, Scope, Send

from pixyproxy.domain.errors import PreconditionFailedError
from pixyproxy.entrypoints.http.content.conditional import Validators, Verdict, conditions_of
from pixyproxy.entrypoints.http.headers import Header

T = TypeVar("T")

# Anything may change or disappear a moment later: caches must revalidate.
REVALIDATED: Final = "no-cache"
# Other sites may show public images.
FOR_ANYBODY: Final[Mapping[str, str]] = {"Cache-Control": REVALIDATED, "Cross-Origin-Resource-Policy": "cross-origin"}
FOR_ONE: Final[Mapping[str, str]] = {
    "Cache-Control": f"private, {REVALIDATED}",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOGIN_HEADERS: Final = "Authorization, Cookie"
"""The headers of a request that decide for whom the answer is."""

# The headers of a 200 that its 304 repeats (RFC 9110, section 15.4.5), besides the entity tag.
_KEPT: Final = frozenset({"Cache-Control", "Cross-Origin-Resource-Policy", "Vary"})


class EncodedResponse(Response[T]):
    """An answer that is encoded already; Litestar would take as long to build its head as for all else it does.

    It has no more than `body` and `headers`, whose names are in lower case.
    """

    def __init__(self, body: bytes, headers: Sequence[Header], status_code: int = HTTPStatus.OK) -> None:
        self._body = body
        self._headers = headers
        self._status = int(status_code)

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the answer itself: it is an ASGI application."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's
        """Send it."""
        start: Any = {"type": "http.response.start", "status": self._status, "headers": self._headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


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
    if related is None:
        tag = entity_tag_of(body, prefix=prefix)
    else:
        tag = f"W/{entity_tag_of(body + msgspec.json.encode(related), prefix=prefix)}"
    return conditional_response(request, body, MediaType.JSON, tag, headers)


def entity_tag_of(body: bytes, *, prefix: str = "") -> str:
    """Return the strong entity tag of a body: `prefix` and a digest."""
    return f'"{prefix}{hashlib.sha256(body).hexdigest()[:16]}"'


def conditional_response(
    request: Request[Any, Any, Any], body: bytes, media_type: str, entity_tag: str, headers: Mapping[str, str]
) -> Response[Any]:
    """Answer a GET with `body`, or with a 304 if the client has it; raise `PreconditionFailedError`."""
    validators = Validators(entity_tag, last_modified=None)
    match validators.judge(conditions_of(request.scope)):
        case Verdict.FAILED:
            raise PreconditionFailedError("It is not the one that the request names.")
        case Verdict.NOT_MODIFIED:
            kept = {name: value for name, value in headers.items() if name in _KEPT}
            return EncodedResponse(b"", _encoded({"ETag": entity_tag, **kept}), HTTPStatus.NOT_MODIFIED)
    described = {"Content-Type": media_type, "Content-Length": str(len(body)), "ETag": entity_tag, **headers}
    return EncodedResponse(body, _encoded(described))


def _encoded(headers: Mapping[str, str]) -> Sequence[Header]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
