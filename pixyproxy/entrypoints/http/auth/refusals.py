"""What refused logins cost their client, and what the log says of them."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from litestar.types import Scope

from pixyproxy.domain.errors import AuthenticationError, OverloadedError, TooManyLoginsError
from pixyproxy.domain.user import USER_NAME_MAX_LENGTH
from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.middleware.client_address import client_address

# Refusals are cheap: without a pause, a flood of them would starve other requests.
REFUSAL_PAUSE: Final = 0.1

# A subscriber gets at least a /64 (RFC 6177), so counting single addresses is useless.
_IPV6_PREFIX: Final = 64


@asynccontextmanager
async def noted_refusals(scope: Scope, name: str) -> AsyncIterator[None]:
    """Log that the block refuses a login as `name`, and delay refusals that cost nothing; pass on what it raises."""
    try:
        yield
    except (AuthenticationError, TooManyLoginsError) as exc:
        facts = {
            "request_id": scope["state"]["request_id"],
            "client": client_address(scope),
            "user": ascii(name[:USER_NAME_MAX_LENGTH]),
            "problem": type(exc).__name__,
        }
        log_request("login refused", facts)
        if isinstance(exc, TooManyLoginsError):
            await asyncio.sleep(REFUSAL_PAUSE)
        raise
    except OverloadedError:
        await asyncio.sleep(REFUSAL_PAUSE)
        raise


def subscriber_of(scope: Scope) -> str | None:
    """Return the part of a client's address that a subscriber can't easily change: of IPv6, the first 64 bits."""
    client = client_address(scope)
    if client is None or ":" not in client:
        return client
    return str(ipaddress.ip_network((client, _IPV6_PREFIX), strict=False))
