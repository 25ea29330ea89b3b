"""What a generator's models take."""

from typing import Any

import pytest

from pixyproxy.domain.capabilities import ModelCapabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest


@pytest.mark.parametrize("field", ["size", "quality", "background", "output_format", "moderation", "input_fidelity"])
def test_an_option_without_values_is_not_taken(field: str) -> None:
    options: dict[str, Any] = {field: {"size": "auto", "output_format": "png"}.get(field, "high")}
    request = GenerationRequest(prompt="a fox", **options)

    with pytest.raises(DataValidationError, match="is not taken by plain") as caught:
        ModelCapabilities(id="plain").ensure_takes(request)

    assert caught.value.field == field
