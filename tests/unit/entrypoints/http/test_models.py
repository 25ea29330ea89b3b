"""The models over HTTP."""

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import serving

OPENAI = {"api_key": "sk-test", "model": "gpt-image-2", "models": ["gpt-image-1.5", "gpt-image-2", "house-model"]}


@pytest.mark.parametrize("path", ["/model", "/model/"])
async def test_each_model_is_listed_with_what_it_takes(path: str) -> None:
    generator = OpenAIImageGenerator(**OPENAI, quality="xhigh", output_format="webp")  # type: ignore[arg-type]
    async with serving(generator=generator) as served:
        found = (await served.get(path)).json()

    assert [model["id"] for model in found["models"]] == OPENAI["models"]
    assert [model["is_default"] for model in found["models"]] == [False, True, False]
    assert [model["is_checked"] for model in found["models"]] == [True, True, False]
    assert found["allows_others"] is False
    older, default, house = found["models"]
    assert default == {
        "id": "gpt-image-2",
        "is_default": True,
        "is_checked": True,
        "defaults": {"quality": "xhigh", "output_format": "webp"},
        "sizes": ["auto", "1024x1024", "1536x1024", "1024x1536"],
        "size_range": {
            "min_side": 16,
            "max_side": 3840,
            "step": 16,
            "min_pixels": 1,
            "max_pixels": 8_294_400,
            "max_ratio": 3,
        },
        "qualities": ["auto", "low", "medium", "high", "xhigh"],
        "output_formats": ["png", "jpeg", "webp", "gif", "svg"],
        "output_compression": True,
        "backgrounds": ["auto", "opaque", "transparent"],
        "moderations": ["auto", "low"],
        "max_references": 16,
        "mask": True,
        "input_fidelities": [],
        "max_partial_images": 3,
    }
    assert older["defaults"] == {"output_format": "webp"}
    assert older["input_fidelities"] == ["low", "high"]
    assert older["size_range"] is None
    assert house["sizes"] == house["qualities"] == []
    assert house["max_references"] == 16


async def test_what_is_listed_is_what_a_request_may_have() -> None:
    async with serving(generator=OpenAIImageGenerator(**OPENAI)) as served:  # type: ignore[arg-type]
        for body, field in (
            ({"model": "gpt-image-2.5-flare"}, "model"),
            ({"model": "gpt-image-1.5", "size": "1536x864"}, "size"),
            ({"quality": "max"}, "quality"),
            ({"output_compression": 50}, "output_compression"),
        ):
            found = problem(await served.post({"prompt": "a fox", **body}), 400, field)
            assert (found["retryable"], found["maybe_billed"]) == (False, False)
        assert await served.all_stored() == []


async def test_whether_other_models_are_allowed_is_said() -> None:
    async with serving(generator=OpenAIImageGenerator(api_key="sk-test", allow_any=True)) as served:
        found = (await served.get("/model")).json()

    assert [model["id"] for model in found["models"]] == ["gpt-image-2"]
    assert found["allows_others"] is True


async def test_any_generator_has_a_model() -> None:
    async with serving(generator=SketchImageGenerator()) as served:
        found = (await served.get("/model")).json()

    (model,) = found["models"]
    assert model["is_default"]
    assert model["is_checked"]
    assert model["size_range"]["max_pixels"] <= 4_194_304
