"""The table of OpenAI's models against the installed `openai` package."""

import inspect
import re
from typing import Any, get_args, get_type_hints

import pytest
from openai.types import image_model
from openai.types.image_edit_params import ImageEditParamsBase
from openai.types.image_generate_params import ImageGenerateParamsBase
from openai.types.image_model import ImageModel

from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.domain.capabilities import ModelCapabilities
from pixyproxy.domain.generation_request import GenerationRequest, parse_size

RETIRED = {
    name
    for line in inspect.getsource(image_model).splitlines()
    if line.startswith('- "')
    for name in re.findall(r'"([^"]+)"', line)
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def known_values(parameters: type, name: str) -> set[str]:
    """Return the values that the package's type of a parameter names."""

    def literals(hint: Any) -> set[str]:
        return {hint} if isinstance(hint, str) else {word for part in get_args(hint) for word in literals(part)}

    return literals(get_type_hints(parameters)[name])


def test_the_table_has_every_model_that_is_not_retired() -> None:
    assert "dall-e-2" in RETIRED
    assert MODELS.keys() == set(get_args(ImageModel)) - RETIRED
    assert all(model.id == name for name, model in MODELS.items())


@models
def test_every_value_is_one_that_the_package_knows(model: ModelCapabilities) -> None:
    for parameters in (ImageGenerateParamsBase, ImageEditParamsBase):
        assert set(model.sizes) <= known_values(parameters, "size")
        assert set(model.qualities) <= known_values(parameters, "quality")
        assert set(model.output_formats) == known_values(parameters, "output_format")
        assert set(model.backgrounds) == known_values(parameters, "background")
    assert set(model.moderations) == known_values(ImageGenerateParamsBase, "moderation")
    assert set(model.input_fidelities) <= known_values(ImageEditParamsBase, "input_fidelity")


@models
def test_no_value_is_one_of_retired_models(model: ModelCapabilities) -> None:
    assert not {"standard", "hd"} & set(model.qualities)
    assert not {"256x256", "512x512", "1792x1024", "1024x1792"} & set(model.sizes)


@models
def test_every_named_size_is_one_that_a_request_can_have(model: ModelCapabilities) -> None:
    for size in model.sizes:
        parse_size(size)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gpt-image-2", ["1536x864", "3840x2160", "2160x3840", "256x256", "48x16"]),
        ("gpt-image-2.5-flare-2026-09-08", ["1536x864", "3840x1280"]),
        ("gpt-image-2.6-sunburst", ["2560x1440"]),
        ("gpt-image-1.5", ["1024x1024", "1536x1024", "1024x1536", "auto"]),
    ],
)
def test_sizes_that_a_model_takes(name: str, sizes: list[str]) -> None:
    for size in sizes:
        MODELS[name].ensure_takes(GenerationRequest(prompt="a fox", size=size))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("gpt-image-2", "1000x1000"),  # no multiple of 16
        ("gpt-image-2", "3856x1600"),  # too wide
        ("gpt-image-2", "3840x2176"),  # too many pixels
        ("gpt-image-2", "3200x1056"),  # wider than 3:1
        ("gpt-image-1.5", "1536x864"),
        ("gpt-image-1-mini", "2048x2048"),
        ("chatgpt-image-latest", "1920x1088"),
    ],
)
def test_sizes_that_it_does_not_take(name: str, size: str) -> None:
    with pytest.raises(ValueError, match="auto, 1024x1024, 1536x1024") as caught:
        MODELS[name].ensure_takes(GenerationRequest(prompt="a fox", size=size))
    assert caught.value.field == "size"  # type: ignore[attr-defined]


def test_the_docstrings_say_what_the_table_takes_from_them() -> None:
    generate, edit = inspect.getsource(ImageGenerateParamsBase), inspect.getsource(ImageEditParamsBase)
    texts = {" ".join(source.split()) for source in (generate, edit)}
    for text in texts:
        assert "must both be divisible by 16 and the requested aspect ratio must be between 1:3 and 3:1" in text
        assert "the maximum supported resolution is `3840x2160`" in text
        assert "snapshots, also support `xhigh` and `max`" in text
        assert "Value must be between 0 and 3" in text
    words = " ".join(edit.split())
    assert "Supports `high` and `low` on `gpt-image-1.5`; `gpt-image-1-mini` supports only `low`" in words
    assert "You can provide up to 16 images" in words
