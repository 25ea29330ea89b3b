"""The challenges of a 401 (RFC 9110, section 11.6.1)."""

from collections.abc import Mapping
from typing import Any, Final

from litestar.types import Scope

from pixyproxy.entrypoints.http.credentials import sends_key
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.paths import is_below_gallery, is_below_v1
from pixyproxy.entrypoints.http.service_path import service_path
from pixyproxy.entrypoints.http.session_cookie import token_of

BASIC_CHALLENGE: Final = 'Basic realm="pixyproxy", charset="UTF-8"'
BEARER_CHALLENGE: Final = 'Bearer realm="pixyproxy"'
WRONG_KEY_CHALLENGE: Final = f'{BEARER_CHALLENGE}, error="invalid_token"'
SESSION_CHALLENGE: Final = 'Session realm="pixyproxy"'

TAKES_SESSIONS: Final = {"sessions": True}
"""The option of the handlers of a service with sessions."""


def challenge_of(scope: Scope) -> str:
    """Return the challenge that a request is refused with.

    A browser asks its user for a password only where Basic is named (RFC 7617), so that a program with a wrong key
    (RFC 6750) and clients of the OpenAI-compatible API, which have none, are not challenged with it. Nor are
    pages with a session, whose `fetch`, pictures and streams would wait for the prompt.
    """
    if sends_key(scope):
        return WRONG_KEY_CHALLENGE
    if is_below_v1(scope["path"]):
        return BEARER_CHALLENGE
    return SESSION_CHALLENGE if _takes_sessions(scope) and _is_of_page(scope) else BASIC_CHALLENGE


def _takes_sessions(scope: Scope) -> bool:
    opt: Mapping[str, Any] = getattr(dict(scope).get("route_handler"), "opt", {})
    return TAKES_SESSIONS.items() <= opt.items()


def _is_of_page(scope: Scope) -> bool:
    """Whether a request is for a page of the gallery, from a page, or from a browser that has logged in there."""
    mode = header_of(scope, b"sec-fetch-mode")
    return is_below_gallery(service_path(scope)) or mode not in {None, b"navigate"} or token_of(scope) is not None
