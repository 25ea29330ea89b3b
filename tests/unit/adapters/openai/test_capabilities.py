"""The models that an operator offers."""

from typing import Any

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest


def offered(**settings: Any) -> Capabilities:
    return OpenAIImageGenerator(api_key="sk-test", **settings).capabilities()


def model_of(capabilities: Capabilities, name: str) -> ModelCapabilities:
    return next(model for model in capabilities.models if model.id == name)


def completed(capabilities: Capabilities, **options: Any) -> GenerationRequest:
    request = GenerationRequest(prompt="a fox", **options)
    return capabilities.ensure_takes(request).completed(request)


def test_the_default_model_is_offered_alone() -> None:
    capabilities = offered(model="gpt-image-1.5")

    assert [model.id for model in capabilities.models] == [capabilities.default] == ["gpt-image-1.5"]
    assert completed(capabilities, model="gpt-image-1.5") == completed(capabilities)
    with pytest.raises(DataValidationError, match=r"must be gpt-image-1\.5$") as caught:
        completed(capabilities, model="gpt-image-2")
    assert caught.value.field == "model"


def test_other_models_are_offered_if_the_operator_names_them() -> None:
    capabilities = offered(models=["gpt-image-1.5", "gpt-image-2", "house-model"])

    assert capabilities.default == "gpt-image-2"
    assert [model.id for model in capabilities.models] == ["gpt-image-1.5", "gpt-image-2", "house-model"]
    assert completed(capabilities, model="gpt-image-1.5", input_fidelity="high").model == "gpt-image-1.5"
    with pytest.raises(DataValidationError, match=r"must be gpt-image-1\.5, gpt-image-2 or house-model$"):
        completed(capabilities, model="gpt-image-2.5-flare")


@pytest.mark.parametrize("models", [["gpt-image-2"], ["house"]])
def test_models_without_the_default_are_refused(models: list[str]) -> None:
    with pytest.raises(ValueError, match="the default, gpt-image-1-mini, among them"):
        offered(model="gpt-image-1-mini", models=models)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_each_model_must_have_a_name_that_can_be_recorded(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 characters"):
        offered(models=["gpt-image-2", name])


def test_a_model_of_the_operators_that_is_not_in_the_table_takes_anything() -> None:
    capabilities = offered(model="house-model", quality="best")

    assert capabilities.others is None
    assert completed(capabilities, size="8192x16", background="plaid").quality == "best"


def test_any_model_passes_unchecked_if_the_operator_allows_it() -> None:
    capabilities = offered(allow_any=True, quality="low")

    wanted: dict[str, Any] = {"model": "flux-2", "size": "123x457", "moderation": "none", "input_fidelity": "max"}
    assert completed(capabilities, **wanted) == GenerationRequest(prompt="a fox", quality="low", **wanted)
    with pytest.raises(DataValidationError) as caught:
        completed(capabilities, model="gpt-image-2", moderation="none")
    assert caught.value.field == "moderation"


def test_the_operators_choices_are_the_defaults() -> None:
    capabilities = offered(size="1536x864", quality="low", output_format="webp", background="opaque")

    assert completed(capabilities) == GenerationRequest(
        prompt="a fox",
        model="gpt-image-2",
        size="1536x864",
        quality="low",
        output_format="webp",
        background="opaque",
    )
    chosen: dict[str, Any] = {"size": "auto", "quality": "high", "output_format": "png", "background": "auto"}
    assert completed(capabilities, **chosen) == GenerationRequest(prompt="a fox", model="gpt-image-2", **chosen)


def test_another_model_has_only_the_choices_that_it_takes() -> None:
    capabilities = offered(
        model="gpt-image-2.5-flare",
        models=["gpt-image-2.5-flare", "gpt-image-1.5"],
        size="1536x864",
        quality="max",
        output_format="jpeg",
    )

    assert completed(capabilities, model="gpt-image-1.5") == GenerationRequest(
        prompt="a fox", model="gpt-image-1.5", output_format="jpeg"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("size", "1x1"), ("size", "huge"), ("quality", "ultra"), ("background", "plaid")]
)
def test_a_choice_that_the_table_does_not_know_is_taken_by_the_default_model(name: str, value: str) -> None:
    capabilities = offered(models=["gpt-image-2", "gpt-image-1.5"], **{name: value})

    assert getattr(completed(capabilities), name) == value
    assert getattr(completed(capabilities, **{name: value}), name) == value
    assert getattr(completed(capabilities, model="gpt-image-1.5"), name) is None
    with pytest.raises(DataValidationError) as caught:
        completed(capabilities, model="gpt-image-1.5", **{name: value})
    assert caught.value.field == name


def test_a_transparent_background_is_no_default_of_a_format_without_one() -> None:
    capabilities = offered(background="transparent")

    assert completed(capabilities).background == "transparent"
    assert completed(capabilities, output_format="jpeg").background is None
    with pytest.raises(DataValidationError) as caught:
        completed(capabilities, output_format="jpeg", background="transparent")
    assert caught.value.field == "background"


def test_a_compression_is_refused_in_the_operators_format_without_one() -> None:
    with pytest.raises(DataValidationError) as caught:
        completed(offered(output_format="png"), output_compression=50)
    assert caught.value.field == "output_compression"
    assert completed(offered(output_format="webp"), output_compression=50).output_compression == 50
