"""The routes that public and private images share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypedDict
from uuid import UUID

from litestar import Response
from litestar.response import ServerSentEvent

from pixyproxy.application import CreateBatch, CreateImage, GetBatch, GetImage, WatchImage
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import IdempotencyKey, parse_idempotency_key
from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, OpenLogin
from pixyproxy.entrypoints.http.content.content_response import ContentResponse
from pixyproxy.entrypoints.http.content.delivery import ContentDelivery, parse_download
from pixyproxy.entrypoints.http.content.partials import PartialDelivery
from pixyproxy.entrypoints.http.content.variants import VariantQuery
from pixyproxy.entrypoints.http.images.forms import FormUploads
from pixyproxy.entrypoints.http.images.pages import Pages
from pixyproxy.entrypoints.http.images.preferences import Preferences, preferences_of
from pixyproxy.entrypoints.http.images.responses import (
    batch_creation_response,
    batch_response,
    creation_response,
    detail_response,
    events_response,
)
from pixyproxy.entrypoints.http.images.schemas import CreatePublicBatch, CreatePublicImage, CreationBody


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResource:
    """Answers requests for the images of one `scope`."""

    scope: ImageScope
    create_image: CreateImage
    create_batch: CreateBatch
    get_image: GetImage
    get_batch: GetBatch
    watch_image: WatchImage
    access: AccessChanges
    pages: Pages
    delivery: ContentDelivery
    partials: PartialDelivery

    @classmethod
    def of(cls, container: Container, scope: ImageScope) -> Self:
        """Return the resource of the container's images."""
        return cls(
            scope=scope,
            create_image=container.create_image(),
            create_batch=container.create_batch(),
            get_image=container.get_image(),
            get_batch=container.get_batch(),
            watch_image=container.watch_image(),
            access=container.access_changes(),
            pages=Pages.of(container),
            delivery=ContentDelivery.of(container),
            partials=PartialDelivery.of(container),
        )

    async def create(self, request: APIRequest, body: CreatePublicImage) -> Response[Any]:
        """Generate an image; answer when it is ready, or when the client's wait is over."""
        preferences = preferences_of(request)
        created = await self.create_image(_asked(request, body), **_creation(request, body, preferences))
        return creation_response(created, preferences, self.scope)

    async def create_several(self, request: APIRequest, body: CreatePublicBatch) -> Response[Any]:
        """Generate the images of a batch; answer when all have ended, or when the client's wait is over."""
        preferences = preferences_of(request)
        created = await self.create_batch(_asked(request, body), body.n, **_creation(request, body, preferences))
        return batch_creation_response(created, preferences, self.scope)

    async def list(self, request: APIRequest) -> Response[Any]:
        """Answer with a page of images."""
        return await self.pages.images(request, self.scope)

    async def details(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Answer with an image's details."""
        return detail_response(request, await self.get_image(guid, request.user, self.scope), self.scope)

    async def batch(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Answer with the details of the images of a batch."""
        return batch_response(request, await self.get_batch(guid, request.user, self.scope), self.scope)

    async def events(self, request: APIRequest, guid: UUID) -> ServerSentEvent:
        """Answer with an image's states, as they change, and its partial images, as long as the login is valid."""
        login = await OpenLogin.of(request, self.access)
        watched = await self.watch_image(
            guid, request.user, self.scope, ensure_login=None if login is None else login.ensure_valid
        )
        return events_response(request, watched, self.scope)

    async def partial(self, request: APIRequest, guid: UUID, position: int) -> ContentResponse:
        """Answer with the bytes of a partial image."""
        return await self.partials.answer(request.scope, guid, position, request.user, self.scope)

    async def reference(self, request: APIRequest, guid: UUID, position: str) -> ContentResponse:
        """Answer with the bytes of a reference or the mask."""
        return await self.delivery.reference(
            request.scope,
            guid,
            None if position == "mask" else int(position),
            request.user,
            is_download=parse_download(request.query_params),
        )

    async def content(self, request: APIRequest, guid: UUID) -> ContentResponse:
        """Answer with an image's bytes; those of a public image are the same for all."""
        return await self.delivery.answer(
            request.scope,
            guid,
            ANONYMOUS if self.scope is ImageScope.PUBLIC else request.user,
            self.scope,
            VariantQuery.parse(request.query_params),
            is_download=parse_download(request.query_params),
        )


class _Creation(TypedDict):
    tags: Sequence[str]
    visibility: Visibility
    principal: Principal
    idempotency_key: IdempotencyKey | None
    wait: float | None


def _creation(request: APIRequest, body: CreatePublicImage | CreatePublicBatch, preferences: Preferences) -> _Creation:
    """Return what a request says about a creation, besides what to draw."""
    return {
        "tags": body.tags,
        "visibility": body.visibility,
        "principal": request.user,
        "idempotency_key": _idempotency_key(request),
        "wait": preferences.seconds,
    }


def _asked(request: APIRequest, body: CreationBody) -> GenerationRequest:
    return FormUploads.of(request.scope).added_to(body.to_request())


def _idempotency_key(request: APIRequest) -> IdempotencyKey | None:
    """Return the client's idempotency key, if any; raise `DataValidationError` for a malformed one."""
    lines = request.headers.getall("idempotency-key", [])
    return parse_idempotency_key(", ".join(lines)) if lines else None
