"""What a start warns of: settings that work, and that an operator may not have meant."""

import ipaddress
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pixyproxy.entrypoints.settings import DatabaseKind, GeneratorKind, Settings

TRUSTED_PROXIES: Final = "FORWARDED_ALLOW_IPS"


def warnings_of(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each thing that others could use or see.

    Takes the `environment` for the trusted proxies, which uvicorn's own variable names. Looks at the modes of the
    SQLite file and of the content folder, where they are there.
    """
    if not _is_loopback(settings.host) and not environment.get(TRUSTED_PROXIES):
        yield (
            f"PixyProxy listens on {settings.host}, beyond this machine, and no proxy is known: passwords are sent"
            f" readably unless a proxy with TLS is in front. Name its address in {TRUSTED_PROXIES}."
        )
    if not _is_loopback(settings.host) and environment.get(TRUSTED_PROXIES, "").strip() == "*":
        yield (
            f"{TRUSTED_PROXIES} is *: every client may claim any address, which is then logged, and wrong logins are"
            " counted by. Name the address of the proxy."
        )
    base = urlsplit(settings.openai_base_url)
    if settings.generator_kind is GeneratorKind.OPENAI and base.scheme == "http" and not _is_loopback(base.hostname):
        yield f"OPENAI_BASE_URL begins with http://: the API key and the prompts are sent readably to {base.hostname}."
    if settings.anonymous_create:
        yield "PIXYPROXY_ANONYMOUS_CREATE is true: every client can buy images at your cost, without a login."
    yield from _readable_by_others(settings)


def _readable_by_others(settings: Settings) -> Iterator[str]:
    paths = {"content folder": Path(settings.content_path)}
    if settings.database_kind is DatabaseKind.SQLITE:
        file = Path(settings.database_path)
        paths = {"database": file, "database's folder": file.parent, **paths}
    for what, path in paths.items():
        if rights := _rights_of_others(path):
            yield f"Other users of this machine may {rights} the {what} {path.absolute()}: chmod o-rwx takes that away."


def _rights_of_others(path: Path) -> str:
    """Return what others may do with a file, or in a folder: nothing where they can't get there."""
    path = path.absolute()
    try:
        mode = path.stat().st_mode
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents):
            return ""
    except OSError:
        return ""
    rights = {stat.S_IROTH: "read", stat.S_IWOTH: "write to"}
    return " and ".join(right for bit, right in rights.items() if mode & bit)


def _is_loopback(host: str | None) -> bool:
    name = (host or "").lower().removesuffix(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
