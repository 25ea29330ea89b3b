"""The public URL of the service, which may differ from the address it listens on."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec

# First segments of the routes: a prefix starting with one would be ambiguous.
_ROUTES: Final = frozenset({"image", "private", "tag", "model", "v1", "gallery", "health", "schema"})
_PREFIX: Final = re.compile(r"(/(?!\.{1,2}(?:/|$))[0-9A-Za-z._~-]+)*", re.ASCII)
_PREFIX_MAX_LENGTH: Final = 255
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_HOST: Final = re.compile(r"([0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


class PublicURL(msgspec.Struct, frozen=True):
    """The origin of the service, such as `https://example.org`, its host, and its path prefix.

    The host includes the port unless it is the scheme's default. The prefix is empty, or starts with a slash and ends
    without one.
    """

    origin: str
    host: str
    prefix: str


@lru_cache(maxsize=16)
def parse_public_url(text: str) -> PublicURL:
    """Return the parts of an http or https URL; raise `ValueError` with the reason as a sentence."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("It is not a URL.") from None
    if parts.scheme not in {"http", "https"} or not is_host(parts.netloc) or port == 0:
        raise ValueError("It must start with http:// or https:// and a host, optionally with a port.")
    prefix = parts.path.rstrip("/")
    if parts.query or parts.fragment or "?" in text or "#" in text or not is_prefix(prefix):
        raise ValueError("After the host it may only have a path of letters, digits and ._~- between slashes.")
    if begins_with_route(prefix):
        raise ValueError(f"Its path can't start with one of PixyProxy's own: {', '.join(sorted(_ROUTES))}.")
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return PublicURL(f"{parts.scheme}://{host}", host, prefix)


def begins_with_route(path: str) -> bool:
    """Whether a path starts with the first segment of one of our routes."""
    return path.partition("/")[2].partition("/")[0] in _ROUTES


def is_host(text: str) -> bool:
    """Whether `text` is a host name or an address, optionally with a port (RFC 9110, section 7.2)."""
    return _HOST.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Whether `text` is a path prefix: empty, or segments that each start with a slash."""
    return len(text) <= _PREFIX_MAX_LENGTH and _PREFIX.fullmatch(text) is not None
