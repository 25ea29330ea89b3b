"""What the handlers are given."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

from litestar import Request
from litestar.di import Provide

from pixyproxy.application import (
    ChangeImage,
    CheckReadiness,
    CreateImage,
    DeleteImage,
    DeleteImages,
    GetImage,
    ListImages,
    ListTags,
    TagImages,
    WatchImage,
)
from pixyproxy.application.pages import LIMIT_DEFAULT
from pixyproxy.domain.idempotency import IdempotencyKey, parse_idempotency_key
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.delivery import ContentDelivery, delivery_from
from pixyproxy.entrypoints.http.content.variants import provide_variant_query
from pixyproxy.entrypoints.http.images.filters import provide_image_filter, provide_tag_prefix
from pixyproxy.entrypoints.http.images.pages import Pager
from pixyproxy.entrypoints.http.images.parameters import Cursor, IdempotencyKeyHeader, IfMatch, Limit, Prefer
from pixyproxy.entrypoints.http.images.preferences import Preferences, parse_preferences
from pixyproxy.entrypoints.http.images.versions import parse_if_match

T = TypeVar("T")


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who the guard found to be asking, or the anonymous principal on a route without one."""
    principal: Principal = request.scope.get("user") or ANONYMOUS
    return principal


def provide_preferences(request: Request[Any, Any, Any], prefer: Prefer = None) -> Preferences:  # noqa: ARG001 -- for the OpenAPI document
    """Return how the client wants to be answered."""
    return parse_preferences(request.headers.getall("prefer", []))


def provide_versions(request: Request[Any, Any, Any], if_match: IfMatch = None) -> Collection[int] | None:  # noqa: ARG001 -- for the OpenAPI document
    """Return which versions of an image may be changed, None for any; raise what `parse_if_match` raises."""
    is_required = request.app.state.settings.require_if_match
    return parse_if_match(request.headers.getall("if-match", []), is_required=is_required)


def provide_pager(request: Request[Any, Any, Any], limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Pager:
    """Return what makes the page of a list that the client asks for."""
    return Pager(request, request.app.state.container.cursor_signer(), limit, cursor)


def provide_idempotency_key(
    request: Request[Any, Any, Any],
    idempotency_key_header: IdempotencyKeyHeader = None,  # noqa: ARG001 -- for the OpenAPI document
) -> IdempotencyKey | None:
    """Return the client's idempotency key, if it has sent one; raise `DataValidationError` for a malformed one."""
    lines = request.headers.getall("idempotency-key", [])
    return parse_idempotency_key(", ".join(lines)) if lines else None


def provide_from(container: Container) -> dict[str, Provide]:
    """Return the providers of everything that a handler names."""
    return {
        "principal": Provide(provide_principal, sync_to_thread=False),
        "preferences": Provide(provide_preferences, sync_to_thread=False),
        "idempotency_key": Provide(provide_idempotency_key, sync_to_thread=False),
        "versions": Provide(provide_versions, sync_to_thread=False),
        "image_filter": Provide(provide_image_filter, sync_to_thread=False),
        "tag_prefix": Provide(provide_tag_prefix, sync_to_thread=False),
        "pager": Provide(provide_pager, sync_to_thread=False),
        "variant_query": Provide(provide_variant_query, sync_to_thread=False),
        "content_delivery": _provide(ContentDelivery, partial(delivery_from, container)),
        "change_image": _provide(ChangeImage, container.change_image),
        "check_readiness": _provide(CheckReadiness, container.check_readiness),
        "create_image": _provide(CreateImage, container.create_image),
        "delete_image": _provide(DeleteImage, container.delete_image),
        "delete_images": _provide(DeleteImages, container.delete_images),
        "get_image": _provide(GetImage, container.get_image),
        "list_images": _provide(ListImages, container.list_images),
        "list_tags": _provide(ListTags, container.list_tags),
        "tag_images": _provide(TagImages, container.tag_images),
        "watch_image": _provide(WatchImage, container.watch_image),
    }


def _provide(use_case: type[T], provider: Callable[[], T]) -> Provide:
    def provide() -> T:
        return provider()

    # Litestar wants to know what it gets.
    provide.__annotations__["return"] = use_case
    return Provide(provide, sync_to_thread=False)
