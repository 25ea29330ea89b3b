"""The routes of the gallery."""

from collections.abc import Callable
from typing import Any

from litestar import HttpMethod, Request, Response, Router, get
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from pixyproxy.domain.errors import PixyProxyException, UnauthorizedError
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import authentication
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.gallery.accept import is_for_program
from pixyproxy.entrypoints.http.gallery.change import change_routes
from pixyproxy.entrypoints.http.gallery.create import Creations, create_routes
from pixyproxy.entrypoints.http.gallery.download import download_routes
from pixyproxy.entrypoints.http.gallery.login import login_routes, logout_route
from pixyproxy.entrypoints.http.gallery.look import ImageViews, look_routes
from pixyproxy.entrypoints.http.gallery.making import making_routes
from pixyproxy.entrypoints.http.gallery.rendering import Renderer, login_path
from pixyproxy.entrypoints.http.gallery.static import static_route
from pixyproxy.entrypoints.http.paths import GALLERY_PATH
from pixyproxy.entrypoints.http.problems.handler import problem_response
from pixyproxy.entrypoints.settings import Settings


def gallery(container: Container, settings: Settings) -> Router:
    """Return the routes of the gallery."""
    views = ImageViews.of(container, settings)

    @get("/{rest:path}")
    async def unknown_page(rest: FromPath[str]) -> None:  # noqa: ARG001 -- Litestar's
        """Refuse an unknown address with a page."""
        raise NotFoundException

    pages = Router(
        "/",
        route_handlers=[
            *look_routes(views),
            *change_routes(views, container, settings),
            *login_routes(container, settings, views.renderer),
            *create_routes(Creations.of(container, views)),
            *making_routes(views.making, views.renderer),
            *download_routes(container),
            unknown_page,
        ],
        middleware=[authentication(*logins(container))],
    )
    handler = problem_page(views.renderer)
    return Router(
        GALLERY_PATH,
        route_handlers=[static_route(), logout_route(container, views.renderer), pages],
        include_in_schema=False,
        exception_handlers={PixyProxyException: handler, HTTPException: handler, Exception: handler},
    )


def problem_page(renderer: Renderer) -> Callable[[Request[Any, Any, Any], Exception], Response[Any]]:
    """Return the handler that answers errors with a page; to a visitor who needs a login, with the login page."""

    def handle(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
        answer = problem_response(request, exc)
        if is_for_program(request):
            return answer
        if isinstance(exc, UnauthorizedError) and request.method == HttpMethod.GET:
            return Redirect(login_path(request), status_code=303)
        return renderer.page(
            request,
            "problem.html",
            status=answer.content.status,
            headers={"Cache-Control": "no-store", **answer.headers},
            problem=answer.content,
        )

    return handle
