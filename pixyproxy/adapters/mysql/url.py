"""The URL of a MySQL or MariaDB database; importing this module imports no driver."""

import ssl
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

_OPTIONS: Final = {"unix_socket", "ssl_ca", "tls"}
_TLS: Final = ("required", "verify-ca", "verify-identity")

ASYNCMY: Final = "asyncmy"
_SCHEMES: Final = {"mysql": "aiomysql", f"mysql+{ASYNCMY}": ASYNCMY}


def driver_of(url: str) -> str:
    """Return the driver that a URL selects: aiomysql, unless it begins with `mysql+asyncmy://`."""
    return _SCHEMES[urlsplit(url).scheme]


def parse_url(url: str) -> dict[str, Any]:
    """Return the driver's options for `mysql[+asyncmy]://user:password@host:3306/database[?unix_socket=/path]`.

    `?tls=required` encrypts the connection. `verify-ca` also requires a certificate signed by a CA that the system
    trusts, or by one in the file `?ssl_ca=…` (which implies verify-ca). `verify-identity` also checks the URL's host.
    Each part may be percent-encoded. Raises `ValueError` that names the fault, and never the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # The cause would quote the password: it is usually the part that was not encoded.
        raise ValueError(
            "The MySQL URL can't be read: its port must be a number, and characters such as / ? # @ : must be"
            " percent-encoded in the user and the password."
        ) from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in _SCHEMES:
        raise ValueError("A MySQL URL must begin with mysql:// or mysql+asyncmy://.")
    if driver_of(url) == ASYNCMY and find_spec(ASYNCMY) is None:
        raise ValueError("A URL with mysql+asyncmy:// needs the extra: pip install 'pixyproxy[asyncmy]'.")
    if not parts.username:
        raise ValueError("The MySQL URL names no user: mysql://user:password@host:3306/database.")
    if not database or "/" in database:
        raise ValueError("The MySQL URL must name one database: mysql://user:password@host:3306/database.")
    if parts.fragment:
        raise ValueError("The MySQL URL has a fragment: a # must be percent-encoded.")
    if unknown := sorted(query.keys() - _OPTIONS):
        raise ValueError(f"The MySQL URL has options that are not known: {', '.join(unknown)}.")
    unix_socket = query.get("unix_socket", [None])[-1]
    if not parts.hostname and not unix_socket:
        raise ValueError("The MySQL URL names neither a host nor a unix_socket.")
    return {
        "host": unquote(parts.hostname or "localhost"),
        "port": port,
        "unix_socket": unix_socket,
        "user": unquote(parts.username),
        # The driver encodes passwords as Latin-1, the server expects UTF-8.
        "password": unquote(parts.password or "").encode().decode("latin-1"),
        "db": database,
        **_tls_options(query, unix_socket),
    }


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
