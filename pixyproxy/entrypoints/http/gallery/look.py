"""Looking at images: the list, and the page of one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from pixyproxy.application import GetImage, ListImages
from pixyproxy.domain.errors import DataValidationError, RecordNotFoundError, UnauthorizedError
from pixyproxy.domain.image import Image, ImageScope, ImageStatus
from pixyproxy.domain.listing import ImageCursor, ImagePosition
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.gallery.making import Making
from pixyproxy.entrypoints.http.gallery.queries import GalleryQuery, parse_gallery_query
from pixyproxy.entrypoints.http.gallery.rendering import Renderer
from pixyproxy.entrypoints.http.gallery.views import Shown, Sides
from pixyproxy.entrypoints.http.images.pages import FoundPage, Pages
from pixyproxy.entrypoints.http.parameters import Guid
from pixyproxy.entrypoints.http.service_path import prefix_of
from pixyproxy.entrypoints.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageViews:
    """Finds images and shows them as pages."""

    renderer: Renderer
    pages: Pages
    get_image: GetImage
    list_images: ListImages
    sides: Sides
    making: Making

    @classmethod
    def of(cls, container: Container, settings: Settings) -> Self:
        """Return the views of the container's images."""
        return cls(
            renderer=Renderer(settings),
            pages=Pages.of(container),
            get_image=container.get_image(),
            list_images=container.list_images(),
            sides=Sides.of(container.get_image_variant().policy),
            making=Making.of(container),
        )

    def shown(self, request: APIRequest, image: Image, list_query: str = "") -> Shown:
        """Return what templates show of an image."""
        return Shown(image, request.user, prefix_of(request.scope), self.sides, list_query)

    async def list(self, request: APIRequest) -> Response[Any]:
        """Answer with the page of a list; raise `UnauthorizedError` for one's own without a login."""
        query = parse_gallery_query(request.query_params)
        if query.is_mine and request.user.is_anonymous:
            raise UnauthorizedError("Your own images need a login.")
        query, found = await self._found(request, query)
        list_query = query.query()
        return self.renderer.page(
            request,
            "gallery.html",
            query=query,
            cells=[self.shown(request, image, list_query) for image in found.page.images],
            next=found.next,
            previous=found.previous,
            tiles=await self.making.tiles(request) if query.is_mine and not query.has_filters else [],
        )

    async def image(self, request: APIRequest, guid: UUID, **context: Any) -> Response[Any]:
        """Answer with the page of an image; raise `RecordNotFoundError`."""
        image = await self.find(request, guid)
        query = parse_gallery_query(request.query_params)
        list_query = query.query()
        previous, following = await self._neighbours(image, request.user, query)
        return self.renderer.page(
            request,
            "image.html",
            shown=self.shown(request, image, list_query),
            query=query,
            previous=previous and self.shown(request, previous, list_query),
            next=following and self.shown(request, following, list_query),
            **context,
        )

    async def find(self, request: APIRequest, guid: UUID) -> Image:
        """Return an image of the principal's own or a public one; raise `RecordNotFoundError`."""
        try:
            image = await self.get_image(guid, request.user, ImageScope.OWN)
        except RecordNotFoundError:
            return await self.get_image(guid, request.user, ImageScope.PUBLIC)
        log_administrator_access(request.scope, image.author, guid)
        return image

    async def _found(self, request: APIRequest, query: GalleryQuery) -> tuple[GalleryQuery, FoundPage]:
        """Return a page of images; the first one if the cursor belongs to another list."""
        try:
            return query, await self.pages.find(request, query.scope, query.images)
        except DataValidationError as exc:
            if query.images.cursor is None:
                raise
            images = msgspec.structs.replace(query.images, cursor=None)
            query = msgspec.structs.replace(query, images=images, refused={**query.refused, exc.field: exc.detail})
            return query, await self.pages.find(request, query.scope, images)

    async def _neighbours(
        self, image: Image, principal: Principal, query: GalleryQuery
    ) -> tuple[Image | None, Image | None]:
        """Return the images before and after this one in the list; none for an image that no list has."""
        if image.status is not ImageStatus.READY or (query.is_mine and principal.is_anonymous):
            return None, None
        position = ImagePosition.of(image)
        found = [
            await self.list_images(
                principal,
                query.scope,
                wanted=query.images.wanted,
                order=query.images.order,
                limit=1,
                cursor=ImageCursor(position, is_backward=is_backward),
            )
            for is_backward in (True, False)
        ]
        previous, following = (next(iter(page.images), None) for page in found)
        return previous, following


def look_routes(views: ImageViews) -> Sequence[HTTPRouteHandler]:
    """Return the routes of the list and of an image's page."""

    @get("/")
    async def show_list(request: APIRequest) -> Response[Any]:
        """Show a page of images."""
        return await views.list(request)

    @get("/image/{guid:str}")
    async def show_image(guid: Guid, request: APIRequest) -> Response[Any]:
        """Show an image and what is known of it."""
        return await views.image(request, guid)

    return [show_list, show_image]
