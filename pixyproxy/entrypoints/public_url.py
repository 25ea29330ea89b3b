"""The address that clients know the service by, which may differ from the one it listens on."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec

# Where the routes begin: a prefix that begins with one of these could not be told from a route.
_ROUTES: Final = frozenset({"image", "private", "tag", "health", "schema"})
_PREFIX: Final = re.compile(r"(/(?!\.{1,2}(?:/|$))[0-9A-Za-z._~-]+)*", re.ASCII)
_PREFIX_MAX_LENGTH: Final = 255
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_HOST: Final = re.compile(r"([0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


class PublicURL(msgspec.Struct, frozen=True):
    """The origin of the service, such as `https://example.org`, its host, and its path prefix.

    The host has its port unless that is the scheme's default. The prefix is empty or begins with a slash and ends
    without one.
    """

    origin: str
    host: str
    prefix: str


@lru_cache(maxsize=16)
def parse_public_url(text: str) -> PublicURL:
    """Return the parts of an http or https URL; raise `ValueError` with a sentence that says what is wrong."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("It is no URL.") from None
    if parts.scheme not in {"http", "https"} or not is_host(parts.netloc) or port == 0:
        raise ValueError("It must begin with http:// or https:// and name a host, and a port if need be.")
    prefix = parts.path.rstrip("/")
    if parts.query or parts.fragment or "?" in text or "#" in text or not is_prefix(prefix):
        raise ValueError("Behind the host it may have a path of letters, digits and ._~- between slashes, no more.")
    if begins_with_route(prefix):
        raise ValueError(f"Its path can't begin with one of PixyProxy's own: {', '.join(sorted(_ROUTES))}.")
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return PublicURL(f"{parts.scheme}://{host}", host, prefix)


def begins_with_route(path: str) -> bool:
    """Whether the first segment of a path is that of a route of ours."""
    return path.partition("/")[2].partition("/")[0] in _ROUTES


def is_host(text: str) -> bool:
    """Whether `text` is a name or an address, and a port if need be (RFC 9110, section 7.2)."""
    return _HOST.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Whether `text` is a path that a service can be mounted at: empty, or segments with a slash before each."""
    return len(text) <= _PREFIX_MAX_LENGTH and _PREFIX.fullmatch(text) is not None
