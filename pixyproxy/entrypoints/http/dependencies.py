"""What the handlers are given."""

from typing import Any

from litestar import Request
from litestar.di import Provide

from pixyproxy.application import CheckReadiness, CreateImage, GetImage, GetImageContent, ListImages
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who the guard found to be asking, or the anonymous principal on a route without one."""
    principal: Principal = request.scope.get("user") or ANONYMOUS
    return principal


def provide_from(container: Container) -> dict[str, Provide]:
    """Return the providers of every use case that a handler names; Litestar needs their typed functions."""

    def provide_create_image() -> CreateImage:
        return container.create_image()

    def provide_get_image() -> GetImage:
        return container.get_image()

    def provide_get_image_content() -> GetImageContent:
        return container.get_image_content()

    def provide_list_images() -> ListImages:
        return container.list_images()

    def provide_check_readiness() -> CheckReadiness:
        return container.check_readiness()

    return {
        "principal": Provide(provide_principal, sync_to_thread=False),
        "create_image": Provide(provide_create_image, sync_to_thread=False),
        "get_image": Provide(provide_get_image, sync_to_thread=False),
        "get_image_content": Provide(provide_get_image_content, sync_to_thread=False),
        "list_images": Provide(provide_list_images, sync_to_thread=False),
        "check_readiness": Provide(provide_check_readiness, sync_to_thread=False),
    }
