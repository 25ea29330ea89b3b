"""Creating images with other parts than those of the fixtures."""

import dataclasses
from typing import Any, Final

from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CreateImage, GenerateImage, RecoverImages
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import ContentPorts, ImagePorts

FOX: Final = GenerationRequest(prompt="a fox")
LIGHTHOUSE: Final = GenerationRequest(prompt="a lighthouse")


def with_parts(create_image: CreateImage, **parts: Any) -> CreateImage:
    """Return the use case with other parts, its own and those of `Dispatcher` and `GenerateImage`.

    `images` and `contents` take the place of all image ports and of all content ports, and `dispatch` that of the
    dispatcher's policy.
    """
    if "images" in parts:
        parts = {"leases": parts["images"], "queue": parts["images"], "idempotency_keys": parts["images"], **parts}
    if "contents" in parts:
        parts = {"quarantine": parts["contents"], **parts}
    before = create_image.dispatcher
    generate_image = dataclasses.replace(before.generate_image, **_of(GenerateImage, parts))
    dispatcher = Dispatcher(
        **{
            "generate_image": generate_image,
            "queue": before.queue,
            "rate_limits": before.rate_limits,
            "generations": before.generations,
            "policy": parts.get("dispatch", before.policy),
            **_of(Dispatcher, {name: part for name, part in parts.items() if name != "policy"}),
        }
    )
    return dataclasses.replace(create_image, dispatcher=dispatcher, **_of(CreateImage, parts))


def recover_images_of(
    create_image: CreateImage, images: ImagePorts, contents: ContentPorts, **parts: Any
) -> RecoverImages:
    """Return the use case of another process, to which all leases are over."""
    return RecoverImages(
        **{
            "images": images,
            "leases": images,
            "queue": images,
            "contents": contents,
            "quarantine": contents,
            "inspector": PillowContentInspector(),
            "generator": create_image.dispatcher.generate_image.generator,
            "clock": create_image.clock,
            "lease_watch": LeaseWatch(seconds=0),
            "owner": "a process that recovers",
            **parts,
        }
    )


def _of(use_case: type, parts: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(use_case) if field.init}
    return {name: part for name, part in parts.items() if name in names}
