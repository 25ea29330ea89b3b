"""Downloading many images as one zip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self
from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body
from litestar.types import ASGIApp, HTTPScope

from pixyproxy.application import PackImages
from pixyproxy.application.bulk import BULK_MAX
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access_to
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.auth.key_scopes import READS
from pixyproxy.entrypoints.http.content.zip_response import ZipResponse
from pixyproxy.entrypoints.http.images.responses import ZIPPED
from pixyproxy.entrypoints.http.images.schemas import DownloadImagesBody
from pixyproxy.entrypoints.http.json_request import JSONRequest
from pixyproxy.entrypoints.http.problems.responses import problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDownloads:
    """Answers requests for many images with a zip; logs an administrator's access to each of them first."""

    pack_images: PackImages
    images: ImagePorts
    send_timeout: float

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the downloads of the container's images."""
        return cls(
            pack_images=container.pack_images(),
            images=container.images(),
            send_timeout=container.settings().send_timeout,
        )

    async def answer(self, scope: HTTPScope, guids: Sequence[UUID]) -> ZipResponse:
        """Return the answer to a request for these images; raise the errors of `PackImages`."""
        await log_administrator_access_to(scope, self.images, guids[:BULK_MAX])
        return ZipResponse(await self.pack_images(guids, scope["user"]), self.send_timeout)


def download_routes(container: Container) -> Sequence[HTTPRouteHandler]:
    """Return the route that downloads many images."""
    downloads = ImageDownloads.of(container)

    @post(
        "/bulk/content",
        status_code=200,
        opt=READS,
        summary="Download many images as a zip",
        request_class=JSONRequest,
        responses=ZIPPED | problems(400, 401, 404, 413, 415, 503),
    )
    async def download_images(
        data: Annotated[DownloadImagesBody, Body(description="Which images to download.")], request: APIRequest
    ) -> ASGIApp:
        """Return one zip with the bytes of images you authored and of public ones, uncompressed, in this order.

        Images that are not there, not yours or not ready are left out, and a file `missing.txt` in the zip names them
        with the reason; if no image is left, the answer is a problem. The zip is made while it is sent. If one of the
        images can't be read any more, the connection breaks before `Content-Length` bytes: try again.
        """
        return await downloads.answer(request.scope, data.guids)

    return [download_images]
