"""The routes of OpenAI's images API that make images."""

import re
from typing import Final

from litestar import Router, post
from litestar.types import ASGIApp

from pixyproxy.domain.idempotency import IdempotencyKey, parse_idempotency_key
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import LOGIN
from pixyproxy.entrypoints.http.errors import note_order
from pixyproxy.entrypoints.http.images.forms import Forms, releasing_uploads
from pixyproxy.entrypoints.http.middleware.path_prefix import public_address
from pixyproxy.entrypoints.http.openai.answering import Answered, Answering
from pixyproxy.entrypoints.http.openai.answers import PlainAnswer
from pixyproxy.entrypoints.http.openai.documentation import (
    ANSWERS,
    ATTEMPT_HEADER,
    TAG,
    CreationOperation,
    EditOperation,
)
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest, ImagesRequests
from pixyproxy.entrypoints.http.openai.streams import StreamAnswer
from pixyproxy.entrypoints.http.paths import V1_PATH
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL
from pixyproxy.entrypoints.settings import Settings

_ATTEMPT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)


def openai_images(container: Container, settings: Settings) -> Router:
    """Return the routes by which clients of OpenAI's images API make images."""
    requests = ImagesRequests.of(container, settings)
    forms = Forms.of(container)
    place_order = container.place_order()
    answering = Answering.of(container)

    async def answer(request: APIRequest, asked: ImagesRequest) -> ASGIApp:
        # Its error must come before the order.
        address = public_address(request, settings.public_address)
        order = await place_order(
            asked.request,
            asked.count,
            tags=asked.tags,
            visibility=asked.visibility,
            principal=request.user,
            sender=asked.sender,
            idempotency_key=_idempotency_key(request),
            attempt=attempt_of(request),
        )
        note_order(request.scope)
        # The client may leave before the answer begins.
        await forms.release(request.scope, was_refused=False)
        answered = Answered(order=order, principal=request.user, asked=asked, address=address)
        return (StreamAnswer if asked.is_stream else PlainAnswer)(answering=answering, answered=answered)

    @post(
        "/images/generations",
        status_code=200,
        opt=MAY_BILL,
        summary="Generate images, as OpenAI's API does",
        operation_class=CreationOperation,
        responses=ANSWERS,
    )
    async def create_images(request: APIRequest) -> ASGIApp:
        """Generate 1 to 10 images from a prompt and keep them, private unless the key or `metadata` says otherwise.

        Each is an ordinary image of the key's user, which `guid` names in the rest of this API.
        """
        return await answer(request, await requests.generation(request))

    @post(
        "/images/edits",
        status_code=200,
        opt=MAY_BILL,
        summary="Generate images from images, as OpenAI's API does",
        operation_class=EditOperation,
        responses=ANSWERS,
    )
    async def create_edits(request: APIRequest) -> ASGIApp:
        """Generate 1 to 10 images from a prompt and pictures, and keep them like those of `/v1/images/generations`.

        The pictures are files of a form, or URLs in JSON; they are kept with the images.
        """
        return await answer(request, await requests.edit(request))

    return Router(
        V1_PATH,
        route_handlers=[create_images, create_edits],
        middleware=[authentication(*logins(container)), require_login, releasing_uploads(forms)],
        security=LOGIN,
        tags=[TAG],
    )


def attempt_of(request: APIRequest) -> int:
    """Return how often the client says that it has sent the same request before; 0 if it says nothing that counts."""
    text = request.headers.get(ATTEMPT_HEADER, "")
    return int(text) if _ATTEMPT.fullmatch(text) else 0


def _idempotency_key(request: APIRequest) -> IdempotencyKey | None:
    lines = request.headers.getall("idempotency-key", [])
    return parse_idempotency_key(", ".join(lines)) if lines else None
