"""The address of a MySQL or MariaDB database; importing this imports no driver."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def parse_url(url: str) -> dict[str, Any]:
    """Return the driver's options for `mysql://user:password@host:3306/database[?unix_socket=/path]`.

    Each part may be percent-encoded. Raises `ValueError` that names what is wrong and never the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # The cause would quote the password, which is what has to be encoded when this happens.
        raise ValueError(
            "The MySQL URL can't be read: its port must be a number, and characters such as / ? # @ : must be"
            " percent-encoded in the user and the password."
        ) from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "mysql":
        raise ValueError("A MySQL URL must begin with mysql://.")
    if not parts.username:
        raise ValueError("The MySQL URL names no user: mysql://user:password@host:3306/database.")
    if not database or "/" in database:
        raise ValueError("The MySQL URL must name one database: mysql://user:password@host:3306/database.")
    if parts.fragment:
        raise ValueError("The MySQL URL has a fragment: a # must be percent-encoded.")
    if unknown := sorted(query.keys() - {"unix_socket"}):
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
    }
