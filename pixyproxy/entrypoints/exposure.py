"""Warnings at start: settings that expose the service to others."""

import ipaddress
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pixyproxy.entrypoints.settings import ContentKind, DatabaseKind, DeliveryKind, GeneratorKind, Settings

TRUSTED_PROXIES: Final = "FORWARDED_ALLOW_IPS"


def warnings_of(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each exposure.

    Reads the trusted proxies from uvicorn's variable in `environment`, and the modes of the SQLite file and the content
    folder if they exist.
    """
    if not _is_loopback(settings.host) and not environment.get(TRUSTED_PROXIES):
        yield (
            f"PixyProxy listens on {settings.host}, beyond this machine, without a known proxy: passwords are readable"
            f" on the network unless a proxy with TLS is in front. Set its address in {TRUSTED_PROXIES}."
        )
    if not _is_loopback(settings.host) and environment.get(TRUSTED_PROXIES, "").strip() == "*":
        yield (
            f"{TRUSTED_PROXIES} is *: clients can forge the address that is logged and by which wrong logins are"
            " counted. Set the address of the proxy."
        )
    base = urlsplit(settings.openai_base_url)
    if settings.generator_kind is GeneratorKind.OPENAI and base.scheme == "http" and not _is_loopback(base.hostname):
        yield f"OPENAI_BASE_URL starts with http://: API key and prompts are sent unencrypted to {base.hostname}."
    yield from _sent_unencrypted(settings)
    if settings.anonymous_create:
        yield "PIXYPROXY_ANONYMOUS_CREATE is true: every client can create images at your cost, without a login."
    yield from _readable_by_others(settings)


def _sent_unencrypted(settings: Settings) -> Iterator[str]:
    if settings.content_kind is not ContentKind.S3:
        return
    endpoint = urlsplit(settings.content_bucket.endpoint or "")
    if endpoint.scheme == "http" and not _is_loopback(endpoint.hostname):
        yield (
            "The endpoint of PIXYPROXY_CONTENT_URL starts with http://: pictures are sent unencrypted to"
            f" {endpoint.hostname}."
        )
    public = urlsplit(settings.content_bucket.public_endpoint or "")
    is_used = settings.delivery_kind is DeliveryKind.REDIRECT
    if is_used and public.scheme == "http" and not _is_loopback(public.hostname):
        yield (
            "The public_endpoint of PIXYPROXY_CONTENT_URL starts with http://: clients get pictures unencrypted from"
            f" {public.hostname}."
        )


def _readable_by_others(settings: Settings) -> Iterator[str]:
    paths = {"content folder": Path(settings.content_path)} if settings.content_kind is ContentKind.FILE else {}
    if settings.database_kind is DatabaseKind.SQLITE:
        file = Path(settings.database_path)
        paths = {"database": file, "database's folder": file.parent, **paths}
    for what, path in paths.items():
        if rights := _rights_of_others(path):
            yield f"Other users of this machine can {rights} the {what} {path.absolute()}: run chmod o-rwx on it."


def _rights_of_others(path: Path) -> str:
    """Return what others may do with a file or folder; nothing if they can't reach it."""
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
