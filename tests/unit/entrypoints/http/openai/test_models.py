"""The models as OpenAI lists them, and the ids that requests may have."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from dependency_injector import providers
from litestar.testing import TestClient

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.domain.errors import DataValidationError, ModelNotFoundError
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.openai.model_ids import ModelIds
from pixyproxy.entrypoints.settings import GeneratorKind, Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.conftest import ANN, Client, Login
from tests.unit.entrypoints.http.openai.error_bodies import openai_problem

OPENAI = Settings(
    generator=GeneratorKind.OPENAI, openai_api_key="sk-test", openai_models="gpt-image-1.5,gpt-image-2,house-model"
)
OLD = ("gpt-image-1", "dall-e-2", "dall-e-3")


def model_ids(settings: Settings = OPENAI) -> ModelIds:
    container = in_memory_container(settings)
    container.generator.override(
        providers.Object(
            SketchImageGenerator()
            if settings.generator_kind is GeneratorKind.SKETCH
            else OpenAIImageGenerator(
                api_key="sk-test",
                model=settings.openai_model,
                models=settings.allowed_models,
                allow_any=settings.openai_allow_any,
            )
        )
    )
    return ModelIds.of(container, settings)


def with_aliases(text: str, **changes: Any) -> Settings:
    return msgspec.structs.replace(OPENAI, openai_aliases=text, **changes)


async def drawn_by(ids: ModelIds, asked: str | None) -> tuple[str, bool]:
    found = await ids.resolve(asked)
    assert found.asked == (found.model.id if asked is None else asked)
    return found.model.id, found.is_alias


async def test_no_id_is_the_default_model() -> None:
    assert await drawn_by(model_ids(), None) == ("gpt-image-2", False)


@pytest.mark.parametrize("asked", ["gpt-image-1.5", "gpt-image-2", "house-model"])
async def test_a_model_that_requests_may_name_is_itself(asked: str) -> None:
    assert await drawn_by(model_ids(), asked) == (asked, False)


@pytest.mark.parametrize("asked", OLD)
async def test_the_ids_of_retired_models_are_the_default_model(asked: str) -> None:
    assert await drawn_by(model_ids(), asked) == ("gpt-image-2", True)


async def test_an_alias_is_the_operator_s_choice() -> None:
    ids = model_ids(with_aliases("dall-e-3=gpt-image-1.5,old"))
    assert await drawn_by(ids, "dall-e-3") == ("gpt-image-1.5", True)
    assert await drawn_by(ids, "old") == ("gpt-image-2", True)
    with pytest.raises(ModelNotFoundError):
        await ids.resolve("gpt-image-1")


async def test_a_model_is_never_taken_for_an_alias() -> None:
    assert await drawn_by(model_ids(with_aliases("gpt-image-1.5=gpt-image-2")), "gpt-image-1.5") == (
        "gpt-image-1.5",
        False,
    )


@pytest.mark.parametrize("asked", ["", "gpt-image-2.5-flare", "GPT-image-2", "dall-e-4", "a\x00", "x" * 1000])
async def test_another_id_is_not_found(asked: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await model_ids().resolve(asked)
    assert caught.value.field == "model"
    assert caught.value.detail.isprintable()


async def test_where_requests_may_name_any_model_all_ids_but_malformed_ones_are_found() -> None:
    ids = model_ids(msgspec.structs.replace(OPENAI, openai_allow_any=True))
    assert await drawn_by(ids, "flux") == ("flux", False)
    assert await drawn_by(ids, "dall-e-3") == ("gpt-image-2", True)
    with pytest.raises(DataValidationError):
        await ids.resolve("a\x00")


@pytest.mark.parametrize("asked", [*MODELS, *OLD])
async def test_sketches_are_drawn_for_all_ids_of_openai(asked: str) -> None:
    assert await drawn_by(model_ids(Settings()), asked) == ("sketch", True)


async def test_sketches_are_drawn_for_the_operator_s_models() -> None:
    ids = model_ids(Settings(openai_model="flux", openai_aliases="old=flux"))
    assert await drawn_by(ids, "flux") == ("sketch", True)
    assert await drawn_by(ids, "old") == ("sketch", True)
    with pytest.raises(ModelNotFoundError):
        await ids.resolve("nowhere")


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        (OPENAI, ["gpt-image-2", "gpt-image-1.5", "gpt-image-1"]),
        (with_aliases("none"), ["gpt-image-2", "gpt-image-1.5"]),
        (with_aliases("gpt-image-1,my-alias,chatgpt-image-old"), None),
        (Settings(), None),
    ],
)
async def test_the_list_has_the_default_model_first_and_only_ids_that_look_like_openai_s(
    settings: Settings, ids: Sequence[str] | None
) -> None:
    found = model_ids(settings)
    listed = await found.listed()

    assert listed[0] == "gpt-image-2"
    assert all("gpt-image" in id_ for id_ in listed)
    assert len(set(listed)) == len(listed)
    for id_ in listed:
        await found.resolve(id_)
    if ids is not None:
        assert listed == ids


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_models_are_listed_in_openai_s_shape(client: Client, path: str) -> None:
    response = client.get(path, auth=ANN)

    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert list(body) == ["object", "data"]
    assert body["object"] == "list"
    for model in body["data"]:
        assert list(model) == ["id", "object", "created", "owned_by"]
        assert (model["object"], type(model["created"])) == ("model", int)
        assert client.get(f"/v1/models/{model['id']}", auth=ANN).json() == model
    headless = client.head(path, auth=ANN)
    assert (headless.status_code, headless.content) == (200, b"")
    assert headless.headers["Content-Length"] == response.headers["Content-Length"]


@pytest.mark.parametrize("id_", [*OLD, "gpt-image-2"])
def test_a_model_can_be_looked_up_by_each_id_that_works(client: Client, id_: str) -> None:
    assert client.get(f"/v1/models/{id_}", auth=ANN).json()["id"] == id_


def test_an_unknown_model_is_not_found(client: Client) -> None:
    error = openai_problem(client.get("/v1/models/nowhere", auth=ANN), 404, code="model_not_found")
    assert (error["param"], error["type"]) == ("model", "invalid_request_error")
    assert "'nowhere'" in error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-image-2"])
@pytest.mark.parametrize("auth", [None, ("ann", "wrong password"), "Bearer pixy_wrong", "Bearer "])
def test_models_need_a_login_so_that_a_key_can_be_tested(client: Client, path: str, auth: Login | str | None) -> None:
    headers, login = ({"Authorization": auth}, None) if isinstance(auth, str) else ({}, auth)
    response = client.get(path, headers=headers, auth=login)
    error = openai_problem(response, 401, code="invalid_api_key")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "pixyproxy keys add" in error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-image-2"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_models_are_only_read(client: Client, method: str, path: str) -> None:
    response = client.request(method, path, auth=ANN)
    openai_problem(response, 405, code="method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_models_are_below_the_prefix_too() -> None:
    settings = Settings(public_url="https://example.org/pixy")
    with TestClient(create_app(settings, in_memory_container(settings))) as client:
        openai_problem(client.get("/pixy/v1/models"), 401)
