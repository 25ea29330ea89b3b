"""What a generator's models take."""

from typing import Any
from uuid import UUID

import pytest

from pixyproxy.domain.capabilities import ModelCapabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.reference import Reference

REFERENCE = Reference(guid=UUID(int=1))


@pytest.mark.parametrize("field", ["size", "quality", "background", "output_format", "moderation", "input_fidelity"])
def test_an_option_without_values_is_not_taken(field: str) -> None:
    options: dict[str, Any] = {field: {"size": "auto", "output_format": "png"}.get(field, "high")}
    request = GenerationRequest(prompt="a fox", **options)

    with pytest.raises(DataValidationError, match="is not taken by plain") as caught:
        ModelCapabilities(id="plain").ensure_takes(request)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("moderation", {"moderation": "low"}),
        ("mask", {"mask": REFERENCE, "output_format": "gif"}),
        ("mask", {"mask": REFERENCE, "output_format": "svg"}),
    ],
)
def test_what_no_edit_has_is_not_taken_with_references(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError) as caught:
        ModelCapabilities.unknown("any").ensure_takes(
            GenerationRequest(prompt="a fox", references=(REFERENCE,), **options)
        )

    assert caught.value.field == field


@pytest.mark.parametrize("output_format", [None, "png", "jpeg", "webp"])
def test_a_mask_is_taken_with_a_bitmap_of_one_frame(output_format: str | None) -> None:
    request = GenerationRequest(prompt="a fox", references=(REFERENCE,), mask=REFERENCE, output_format=output_format)

    ModelCapabilities.unknown("any").ensure_takes(request)
