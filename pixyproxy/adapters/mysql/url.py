"""The URL of a MySQL or MariaDB database; importing this module imports no driver."""

import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import IPv6Address
from typing import Any, Final, NamedTuple
from unicodedata import normalize
from urllib.parse import parse_qs, unquote

_OPTIONS: Final = {"unix_socket", "ssl_ca", "tls"}
_TLS: Final = ("required", "verify-ca", "verify-identity")

ASYNCMY: Final = "asyncmy"
_SCHEMES: Final = {"mysql": "aiomysql", f"mysql+{ASYNCMY}": ASYNCMY}
_PORT: Final = 3306

_PARTS: Final = re.compile(
    r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_HOST: Final = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^\[\]:@\s]*))(?::(?P<port>[0-9]{0,5}))?")

_EXAMPLE: Final = "mysql://user:password@host:3306/database"
_SEVERAL: Final = "mysql://user:password@a:3306,b:3306,c:3306/database"

# Part of a password that was not encoded may look like anything, so no message quotes the URL.
_UNREADABLE: Final = (
    "The MySQL URL can't be read: its port must be a number, and characters such as / ? # @ : must be"
    " percent-encoded in the user and the password."
)


class Host(NamedTuple):
    """Where a server listens."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def driver_of(url: str) -> str:
    """Return the driver that a URL selects: aiomysql, unless it begins with `mysql+asyncmy://`."""
    return _SCHEMES[url.partition(":")[0].lower()]


def hosts_of(url: str) -> Sequence[Host]:
    """Return the hosts of a URL, the preferred one first, and none if it names a `unix_socket`."""
    if parse_url(url)["unix_socket"]:
        return ()
    parts = _PARTS.fullmatch(url)
    return _hosts(parts["authority"].rpartition("@")[2]) if parts else ()


def parse_url(url: str) -> dict[str, Any]:
    """Return the driver's options for `mysql[+asyncmy]://user:password@host:3306/database[?unix_socket=/path]`.

    They are those of the first host, if the URL names several between commas (see `hosts_of`). An IPv6 address is in
    brackets.

    `?tls=required` encrypts the connection. `verify-ca` also requires a certificate signed by a CA that the system
    trusts, or by one in the file `?ssl_ca=…` (which implies verify-ca). `verify-identity` also checks the URL's host.
    Each part may be percent-encoded. Raises `ValueError` that names the fault, and never the password.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None or parts["scheme"].lower() not in _SCHEMES:
        raise ValueError("A MySQL URL must begin with mysql:// or mysql+asyncmy://.")
    login, is_with_login, places = parts["authority"].rpartition("@")
    user, _, password = login.partition(":")
    if is_with_login and any(place.count(":") > 1 and "[" not in place for place in places.split(",")):
        raise ValueError(f"The MySQL URL has an IPv6 address without brackets: {_EXAMPLE.replace('host', '[::1]')}.")
    if set("[]") & set(login) or set("/?#@:") & (set(normalize("NFKC", login)) - set(login)):
        raise ValueError(_UNREADABLE)
    hosts = _hosts(places)
    try:
        query = parse_qs(parts["query"] or "", keep_blank_values=True, strict_parsing=bool(parts["query"]))
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    database = unquote(parts["path"].removeprefix("/"))
    if driver_of(url) == ASYNCMY and find_spec(ASYNCMY) is None:
        raise ValueError("A URL with mysql+asyncmy:// needs the extra: pip install 'pixyproxy[asyncmy]'.")
    if not user:
        raise ValueError(f"The MySQL URL names no user: {_EXAMPLE}.")
    if not database or "/" in database:
        raise ValueError(f"The MySQL URL must name one database: {_EXAMPLE}.")
    if parts["fragment"]:
        raise ValueError("The MySQL URL has a fragment: a # must be percent-encoded.")
    if unknown := sorted(query.keys() - _OPTIONS):
        raise ValueError(f"The MySQL URL has options that are not known: {', '.join(unknown)}.")
    unix_socket = query.get("unix_socket", [None])[-1]
    _check_hosts(hosts, unix_socket)
    return {
        "host": hosts[0].name or "localhost",
        "port": hosts[0].port,
        "unix_socket": unix_socket,
        "user": unquote(user),
        # The driver encodes passwords as Latin-1, the server expects UTF-8.
        "password": unquote(password).encode().decode("latin-1"),
        "db": database,
        **_tls_options(query, unix_socket),
    }


def _hosts(places: str) -> Sequence[Host]:
    return [_host(place) for place in places.split(",")]


def _host(place: str) -> Host:
    found = _HOST.fullmatch(place)
    if found is not None:
        port = int(found["port"] or _PORT)
        name = unquote(found["address"] or found["name"])
        # As `urlsplit` does: a name must not become another URL where it is normalized.
        if 0 < port < 1 << 16 and not set("/?#@,\0") & set(normalize("NFKC", name)):
            if found["address"] is None:
                return Host(name.lower(), port)
            with suppress(ValueError):
                return Host(str(IPv6Address(name)), port)
    raise ValueError(_UNREADABLE) from None


def _check_hosts(hosts: Sequence[Host], unix_socket: str | None) -> None:
    if len(hosts) > 1:
        if unix_socket:
            raise ValueError("The MySQL URL names a unix_socket beside several hosts.")
        if not all(host.name for host in hosts):
            raise ValueError(f"The MySQL URL names an empty host; commas are between hosts: {_SEVERAL}.")
        if len(set(hosts)) < len(hosts):
            raise ValueError("The MySQL URL names a host twice.")
    elif not hosts[0].name and not unix_socket:
        raise ValueError("The MySQL URL names neither a host nor a unix_socket.")


def _tls_options(query: Mapping[str, Sequence[str]], unix_socket: str | None) -> Mapping[str, Any]:
    if not query.keys() & {"tls", "ssl_ca"}:
        return {}
    ssl_ca = query["ssl_ca"][-1] if "ssl_ca" in query else None
    tls = query["tls"][-1] if "tls" in query else "verify-ca"
    if unix_socket:
        raise ValueError("The MySQL URL names a unix_socket, on which there is no TLS: leave out tls and ssl_ca.")
    if tls not in _TLS:
        raise ValueError(f"The MySQL URL's tls must be one of {', '.join(_TLS)}.")
    if ssl_ca == "":
        raise ValueError("The MySQL URL's ssl_ca names no file.")
    if tls == "required" and ssl_ca:
        raise ValueError("The MySQL URL's ssl_ca goes with tls=verify-ca or tls=verify-identity.")
    return {"ssl": _context(tls, ssl_ca)}


def _context(tls: str, ssl_ca: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ssl_ca)
    except OSError as exc:
        reason = "it has no certificate" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise ValueError(f"The MySQL URL's ssl_ca {ssl_ca} can't be used: {reason}.") from None
    # MySQL's self-made certificates lack fields that Python 3.13 requires (RFC 5280).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = tls == "verify-identity"
    if tls == "required":
        context.verify_mode = ssl.CERT_NONE
    return context
