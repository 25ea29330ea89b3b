"""The models, as OpenAI lists them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

import msgspec
from litestar import Response, Router, get
from litestar.params import PathParameter
from msgspec import Meta

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import LOGIN
from pixyproxy.entrypoints.http.content.representations import FOR_ONE, json_response
from pixyproxy.entrypoints.http.images.responses import UNCHANGED
from pixyproxy.entrypoints.http.openai.documentation import TAG
from pixyproxy.entrypoints.http.openai.model_ids import ModelIds
from pixyproxy.entrypoints.http.paths import V1_PATH
from pixyproxy.entrypoints.http.problems.openai_responses import openai_errors
from pixyproxy.entrypoints.settings import Settings

# Clients want a time, and models have none here: when this route came into being.
_CREATED: Final = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp())

Id = Annotated[str, PathParameter(description="The id of a model, or an alias of one.")]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, as OpenAI describes it."""

    id: Annotated[str, Meta(description="Its name in `model`.", examples=["gpt-image-2"])]
    object: Annotated[Literal["model"], Meta(description="Always `model`.")] = "model"
    created: Annotated[int, Meta(description="A time in seconds since 1970 began, without a meaning.")] = _CREATED
    owned_by: Annotated[str, Meta(description="Always `pixyproxy`.")] = "pixyproxy"


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """A list of models, as OpenAI has it."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[Sequence[Model], Meta(description="The models, the default one first.")]

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """Return the list of these ids."""
        return cls(data=[Model(id=id_) for id_ in ids])


def openai_models(container: Container, settings: Settings) -> Router:
    """Return the routes of the models below `/v1`."""
    model_ids = ModelIds.of(container, settings)

    @get(
        "/",
        summary="List models as OpenAI does",
        response_description="The models.",
        responses=UNCHANGED | openai_errors(401, 403, 412, 503),
    )
    async def list_openai_models(request: APIRequest) -> Response[ModelPage]:
        """List the ids that clients may choose from: those of models and aliases that contain `gpt-image`.

        `GET /model` says what each takes, and also lists others.
        """
        answer: Response[ModelPage] = json_response(request, ModelPage.of(await model_ids.listed()), FOR_ONE)
        return answer

    @get(
        "/{model:str}",
        summary="Look up a model as OpenAI does",
        response_description="The model.",
        responses=UNCHANGED | openai_errors(400, 401, 403, 404, 412, 503),
    )
    async def get_openai_model(request: APIRequest, model: Id) -> Response[Model]:
        """Look up an id that a request may have as its `model`: aliases, too."""
        found = await model_ids.resolve(model)
        answer: Response[Model] = json_response(request, Model(id=found.asked), FOR_ONE)
        return answer

    return Router(
        f"{V1_PATH}/models",
        route_handlers=[list_openai_models, get_openai_model],
        middleware=[authentication(*logins(container)), require_login],
        security=LOGIN,
        tags=[TAG],
    )
