"""Logging in and out."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from pixyproxy.domain.errors import AuthenticationError, PixyProxyException
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.auth.refusals import noted_refusals, subscriber_of
from pixyproxy.entrypoints.http.gallery.accept import is_for_program
from pixyproxy.entrypoints.http.gallery.rendering import Renderer
from pixyproxy.entrypoints.http.paths import GALLERY_PATH
from pixyproxy.entrypoints.http.problems.handler import PROBLEM_MEDIA_TYPE, problem_response
from pixyproxy.entrypoints.http.problems.schemas import Problem
from pixyproxy.entrypoints.http.session_cookie import login_cookie, no_cookie, token_of
from pixyproxy.entrypoints.settings import Settings

LOGIN_PATH: Final = f"{GALLERY_PATH}/login"
OWN_IMAGES: Final = f"{GALLERY_PATH}?scope=mine"

# A path of the gallery without dot segments, and anything in its query: it can lead nowhere else.
_NEXT: Final = re.compile(rf"{GALLERY_PATH}(/[0-9A-Za-z_-]+)*([?#][!-~]*)?", re.ASCII)
_NEXT_MAX_LENGTH: Final = 4_096


def login_routes(container: Container, settings: Settings, renderer: Renderer) -> Sequence[HTTPRouteHandler]:
    """Return the routes of the login page and of logging in."""
    open_session, end_session = container.open_session(), container.end_session()

    @get("/login")
    async def get_login(request: APIRequest) -> Response[Any]:
        """Show the login page; lead on who is logged in already."""
        destination = next_of(request.query_params.get("next"))
        if not request.user.is_anonymous:
            return Redirect(destination, status_code=303)
        return renderer.page(request, "login.html", name="", next=destination, problem=None, wait=None)

    @post("/login")
    async def log_in(request: APIRequest) -> Response[Any]:
        """Open a session and set its cookie; with `Accept: application/json` answer with JSON instead of a page."""
        form = await _fields_of(request)
        name = form.get("name", "")
        try:
            async with noted_refusals(request.scope, name):
                opened = await open_session(name, form.get("password", ""), address=subscriber_of(request.scope))
        except PixyProxyException as exc:
            return _refusal(request, exc, name, next_of(form.get("next")), renderer)
        if (old := token_of(request.scope)) is not None:
            await end_session(old)
        cookie = {"Set-Cookie": login_cookie(request.scope, opened.token, settings.session_lifetime)}
        if is_for_program(request):
            return Response({"user": opened.session.user}, headers=cookie, status_code=HTTPStatus.OK)
        return Redirect(next_of(form.get("next")), headers=cookie, status_code=303)

    return [get_login, log_in]


def logout_route(container: Container, renderer: Renderer) -> HTTPRouteHandler:
    """Return the route of logging out, which needs no login: without the database it still deletes the cookie."""
    end_session = container.end_session()

    @post("/logout")
    async def log_out(request: APIRequest) -> Response[Any]:
        """End the session, and delete its cookie and what the browser has cached."""
        headers = {"Set-Cookie": no_cookie(request.scope), "Clear-Site-Data": '"cache"'}
        try:
            await end_session(token_of(request.scope) or "")
        except PixyProxyException as exc:
            # The browser is logged out in any case.
            answer = problem_response(request, exc)
            headers = {**answer.headers, **headers}
            return renderer.page(
                request, "problem.html", status=answer.content.status, headers=headers, problem=answer.content
            )
        return Redirect(GALLERY_PATH, headers=headers, status_code=303)

    return log_out


def next_of(text: str | None) -> str:
    """Return where to go after the login, below the service's prefix: one's own images if `text` is no page of ours."""
    is_ours = text is not None and len(text) <= _NEXT_MAX_LENGTH and _NEXT.fullmatch(text)
    return text if text is not None and is_ours else OWN_IMAGES


def _refusal(
    request: APIRequest, exc: PixyProxyException, name: str, destination: str, renderer: Renderer
) -> Response[Any]:
    """Return the problem of a refused login; a wrong one is a 422, because it is no answer to credentials."""
    answer = problem_response(request, exc)
    problem, headers = answer.content, dict(answer.headers)
    if isinstance(exc, AuthenticationError):
        problem = msgspec.structs.replace(problem, status=int(HTTPStatus.UNPROCESSABLE_ENTITY))
        headers.pop("WWW-Authenticate")
    if is_for_program(request):
        refusal: Response[Problem] = Response(
            problem, status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers
        )
        return refusal
    return renderer.page(
        request,
        "login.html",
        status=problem.status,
        headers=headers,
        name=name,
        next=destination,
        problem=problem,
        wait=headers.get("Retry-After"),
    )


async def _fields_of(request: APIRequest) -> Mapping[str, str]:
    if request.content_type[0] != "application/x-www-form-urlencoded":
        raise HTTPException(
            status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail="The body must be application/x-www-form-urlencoded."
        )
    form = await request.form()
    return {name: form.getall(name)[0] for name in form}
