"""Downloading the selected images by a form, so that the browser writes the zip to the disk."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from litestar.types import ASGIApp

from pixyproxy.domain.errors import DataValidationError, UnauthorizedError
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.auth.key_scopes import READS
from pixyproxy.entrypoints.http.images.downloads import ImageDownloads
from pixyproxy.entrypoints.http.json_request import ensure_media_type
from pixyproxy.entrypoints.http.paths import GALLERY_PATH

_FORM: Final = "application/x-www-form-urlencoded"
_FIELD: Final = "guid"


def download_routes(container: Container) -> Sequence[HTTPRouteHandler]:
    """Return the route that takes the form of the selection."""
    downloads = ImageDownloads.of(container)

    @get("/download")
    async def leave_downloading() -> Redirect:
        """Lead to the gallery: browsers open this after a login."""
        return Redirect(GALLERY_PATH, status_code=303)

    @post("/download", status_code=200, opt=READS)
    async def download_selection(request: APIRequest) -> ASGIApp:
        """Return a zip of the images that the fields `guid` name, as the API does."""
        if request.user.is_anonymous:
            raise UnauthorizedError("Downloading many images needs a login.")
        return await downloads.answer(request.scope, await _selected(request))

    return [leave_downloading, download_selection]


async def _selected(request: APIRequest) -> Sequence[UUID]:
    ensure_media_type(request, [_FORM])
    texts = (await request.form()).getall(_FIELD, [])
    try:
        return [UUID(text) for text in texts]
    except ValueError:
        raise DataValidationError(_FIELD, "must be the guid of an image") from None
