"""What the handlers are given."""

from typing import Any

from litestar import Request
from litestar.di import Provide

from pixyproxy.application import CheckReadiness, CreateImage, GetImage, GetImageContent, ListImages, WatchImage
from pixyproxy.domain.idempotency import IdempotencyKey, parse_idempotency_key
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.parameters import IdempotencyKeyHeader, Prefer
from pixyproxy.entrypoints.http.preferences import Preferences, parse_preferences


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who the guard found to be asking, or the anonymous principal on a route without one."""
    principal: Principal = request.scope.get("user") or ANONYMOUS
    return principal


def provide_preferences(request: Request[Any, Any, Any], prefer: Prefer = None) -> Preferences:  # noqa: ARG001 -- for the OpenAPI document
    """Return how the client wants to be answered."""
    return parse_preferences(request.headers.getall("prefer", []))


def provide_idempotency_key(
    request: Request[Any, Any, Any],
    idempotency_key_header: IdempotencyKeyHeader = None,  # noqa: ARG001 -- for the OpenAPI document
) -> IdempotencyKey | None:
    """Return the client's idempotency key, if it has sent one; raise `DataValidationError` for a malformed one."""
    lines = request.headers.getall("idempotency-key", [])
    return parse_idempotency_key(", ".join(lines)) if lines else None


def provide_from(container: Container) -> dict[str, Provide]:
    """Return the providers of every use case that a handler names; Litestar needs their typed functions."""

    def provide_create_image() -> CreateImage:
        return container.create_image()

    def provide_get_image() -> GetImage:
        return container.get_image()

    def provide_get_image_content() -> GetImageContent:
        return container.get_image_content()

    def provide_watch_image() -> WatchImage:
        return container.watch_image()

    def provide_list_images() -> ListImages:
        return container.list_images()

    def provide_check_readiness() -> CheckReadiness:
        return container.check_readiness()

    return {
        "principal": Provide(provide_principal, sync_to_thread=False),
        "preferences": Provide(provide_preferences, sync_to_thread=False),
        "idempotency_key": Provide(provide_idempotency_key, sync_to_thread=False),
        "create_image": Provide(provide_create_image, sync_to_thread=False),
        "get_image": Provide(provide_get_image, sync_to_thread=False),
        "get_image_content": Provide(provide_get_image_content, sync_to_thread=False),
        "watch_image": Provide(provide_watch_image, sync_to_thread=False),
        "list_images": Provide(provide_list_images, sync_to_thread=False),
        "check_readiness": Provide(provide_check_readiness, sync_to_thread=False),
    }
