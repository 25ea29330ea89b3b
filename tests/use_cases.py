"""Creating images with other parts than those of the fixtures."""

import dataclasses
from typing import Any, Final

from pixyproxy.application import CreateImage, GenerateImage
from pixyproxy.domain.generation_request import GenerationRequest

FOX: Final = GenerationRequest(prompt="a fox")
LIGHTHOUSE: Final = GenerationRequest(prompt="a lighthouse")


def with_parts(create_image: CreateImage, **parts: Any) -> CreateImage:
    """Return the use case with other parts, its own and those of `GenerateImage`.

    `images` and `contents` take the place of all image ports and of all content ports.
    """
    if "images" in parts:
        parts = {"leases": parts["images"], "idempotency_keys": parts["images"], **parts}
    if "contents" in parts:
        parts = {"quarantine": parts["contents"], **parts}
    generate_image = dataclasses.replace(create_image.generate_image, **_of(GenerateImage, parts))
    return dataclasses.replace(create_image, generate_image=generate_image, **_of(CreateImage, parts))


def _of(use_case: type[CreateImage | GenerateImage], parts: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(use_case)}
    return {name: part for name, part in parts.items() if name in names}
