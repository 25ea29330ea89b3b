"""The images that are being made, and those of which there is no picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from pixyproxy.application import GetImage, ListImages
from pixyproxy.domain.errors import RecordNotFoundError, UnauthorizedError
from pixyproxy.domain.image import Image, ImageScope, ImageStatus
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import Clock
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.gallery.drafts import guids_in
from pixyproxy.entrypoints.http.gallery.rendering import Renderer
from pixyproxy.entrypoints.http.gallery.views import Shown, Sides
from pixyproxy.entrypoints.http.service_path import prefix_of

_UNFINISHED_MAX_COUNT: Final = 40
_FAILED_MAX_COUNT: Final = 6
_FAILED_SHOWN: Final = timedelta(days=1)
_KNOWN_MAX_COUNT: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Shows the tiles above the list of one's own images."""

    list_images: ListImages
    get_image: GetImage
    clock: Clock
    sides: Sides

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the one of the container."""
        return cls(
            list_images=container.list_images(),
            get_image=container.get_image(),
            clock=container.clock(),
            sides=Sides.of(container.get_image_variant().policy),
        )

    async def tiles(self, request: APIRequest, known: Sequence[str] = ()) -> Sequence[Shown]:
        """Return the tiles of all unfinished images, of the newest failed ones, and of `known` guids, newest first."""
        principal = request.user
        images = {image.guid: image for image in await self._unready(principal)}
        for guid in guids_in(known)[:_KNOWN_MAX_COUNT]:
            if guid not in images:
                try:
                    image = images[guid] = await self.get_image(guid, principal, ImageScope.OWN)
                except RecordNotFoundError:
                    continue
                log_administrator_access(request.scope, image.author, guid)
        prefix = prefix_of(request.scope)
        return [
            Shown(image, principal, prefix, self.sides, "scope=mine")
            for image in sorted(images.values(), key=lambda image: image.created_at, reverse=True)
        ]

    async def _unready(self, principal: Principal) -> Sequence[Image]:
        since = self.clock.now() - _FAILED_SHOWN
        wanted = [
            (ImageFilter(status=ImageStatus.GENERATING), _UNFINISHED_MAX_COUNT),
            (ImageFilter(status=ImageStatus.PENDING), _UNFINISHED_MAX_COUNT),
            (ImageFilter(status=ImageStatus.FAILED, created_after=since), _FAILED_MAX_COUNT),
            (ImageFilter(status=ImageStatus.UNKNOWN, created_after=since), _FAILED_MAX_COUNT),
        ]
        pages = [await self.list_images(principal, ImageScope.OWN, wanted=each, limit=limit) for each, limit in wanted]
        return [image for page in pages for image in page.images]


def making_routes(making: Making, renderer: Renderer) -> Sequence[HTTPRouteHandler]:
    """Return the route of the tiles alone, which a page asks for when something has changed."""

    @get("/making")
    async def show_making(request: APIRequest) -> Response[Any]:
        """Show the tiles: those that the page has, and new ones."""
        if request.user.is_anonymous:
            raise UnauthorizedError("Your own images need a login.")
        tiles = await making.tiles(request, request.query_params.getall("guid", []))
        return renderer.page(request, "_tiles.html", tiles=tiles)

    return [show_making]
