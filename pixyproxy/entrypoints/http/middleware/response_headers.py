"""Headers of every response."""

from collections.abc import Iterable, Sequence
from typing import Final

from pixyproxy.entrypoints.http.headers import Header

REQUEST_ID_HEADER: Final = "X-Request-ID"
REQUEST_ID: Final = REQUEST_ID_HEADER.lower().encode()

# Defaults of a response: not cached, not sniffed, not embedded by other sites.
_DEFAULTS: Final[Sequence[Header]] = (
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


def complete_headers(headers: Iterable[Header], request_id: str) -> Sequence[Header]:
    """Return `headers` with the request id and the missing defaults.

    `Allow` lists HEAD next to GET (RFC 9110, section 9.1).
    """
    kept = [header for header in headers if header[0] != REQUEST_ID]
    names = {name for name, _ in kept}
    if b"allow" in names:
        kept = [(name, _with_head(value) if name == b"allow" else value) for name, value in kept]
    return [*kept, *(default for default in _DEFAULTS if default[0] not in names), (REQUEST_ID, request_id.encode())]


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    return b", ".join(sorted(methods | {b"HEAD"} if b"GET" in methods else methods))
