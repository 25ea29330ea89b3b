"""The challenges of a 401 (RFC 9110, section 11.6.1)."""

from typing import Final

from litestar.types import Scope

from pixyproxy.entrypoints.http.credentials import sends_key
from pixyproxy.entrypoints.http.paths import is_below_v1

BASIC_CHALLENGE: Final = 'Basic realm="pixyproxy", charset="UTF-8"'
BEARER_CHALLENGE: Final = 'Bearer realm="pixyproxy"'
WRONG_KEY_CHALLENGE: Final = f'{BEARER_CHALLENGE}, error="invalid_token"'


def challenge_of(scope: Scope) -> str:
    """Return the challenge that a request is refused with.

    A browser asks its user for a password only where Basic is named (RFC 7617), so that a program with a wrong key
    (RFC 6750) and clients of the OpenAI-compatible API, which have none, are not challenged with it.
    """
    if sends_key(scope):
        return WRONG_KEY_CHALLENGE
    return BEARER_CHALLENGE if is_below_v1(scope["path"]) else BASIC_CHALLENGE
