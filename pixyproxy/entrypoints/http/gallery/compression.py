"""Compressed answers."""

import re
from typing import Any, Final

from litestar import Request

_REFUSED: Final = re.compile(r"gzip\s*;\s*q=0(?:\.0{0,3})?\s*(?:,|\Z)")


def accepts_gzip(request: Request[Any, Any, Any]) -> bool:
    """Whether the client names gzip in `Accept-Encoding` (RFC 9110, section 12.5.3)."""
    accepted = request.headers.get("accept-encoding", "").lower()
    return "gzip" in accepted and not _REFUSED.search(accepted)
