"""The log of what administrators do with what is another user's."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec
from litestar import HttpMethod
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.errors import DamagedRecordError, RecordNotFoundError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports.bundles import ImagePorts
from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.middleware.head import is_head
from pixyproxy.entrypoints.http.middleware.request_log import logged_path

_LOGGED: Final = "logged_accesses"


def log_administrator_access(scope: Scope, author: str | None, guid: UUID | None = None) -> None:
    """Log once that a request reaches something of `author`, unless that is its own user.

    `guid` is that of one image or key; None is a list. Without a login as an administrator, nothing is logged: such a
    request reaches nothing of another user.
    """
    principal = scope["user"]
    if not principal.is_admin or author == principal.name:
        return
    logged = scope["state"].setdefault(_LOGGED, set())
    if (author, guid) in logged:
        return
    logged.add((author, guid))
    facts = {
        "request_id": scope["state"]["request_id"],
        "user": principal.name,
        "author": author,
        "method": "HEAD" if is_head(scope) else dict(scope)["method"],
        "path": logged_path(scope),
        "guid": None if guid is None else str(guid),
    }
    log_request("administrator access", facts)


async def log_administrator_access_to(scope: Scope, images: ImagePorts, guids: Iterable[UUID]) -> None:
    """Log the access to each of these images, as far as there are any."""
    if scope["user"].is_admin:
        for guid in guids:
            with suppress(RecordNotFoundError, DamagedRecordError):
                _log_images(scope, [await images.get(guid)])


def administrator_log(images: ImagePorts) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that logs access to the image or batch in the path, before anything happens to it.

    It follows `authentication`. Only an administrator's request waits for the database here.
    """

    def middleware(app: ASGIApp) -> ASGIApp:
        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["user"].is_admin and dict(scope).get("method") != HttpMethod.OPTIONS:
                parameters = scope["path_params"]
                if (guid := _guid(parameters.get("guid"))) is not None:
                    await log_administrator_access_to(scope, images, [guid])
                if (batch := _guid(parameters.get("batch"))) is not None:
                    _log_images(scope, await images.list_batch(batch))
            await app(scope, receive, send)

        return logged

    return middleware


def _log_images(scope: Scope, images: Iterable[Image]) -> None:
    for image in images:
        log_administrator_access(scope, image.author, image.guid)


def _guid(text: object) -> UUID | None:
    """Return a guid as routes read it; None for what is none."""
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        return None
