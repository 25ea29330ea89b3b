"""Use cases on other adapters than those of their fixtures."""

import dataclasses
from typing import Any

from pixyproxy.application import CreateImage
from pixyproxy.domain.ports import ContentPorts, ImagePorts


def with_images(create_image: CreateImage, images: ImagePorts, **others: Any) -> CreateImage:
    """Return the use case with all its image ports on `images`, and with these other fields."""
    return dataclasses.replace(create_image, images=images, leases=images, idempotency_keys=images, **others)


def with_contents(create_image: CreateImage, contents: ContentPorts, **others: Any) -> CreateImage:
    """Return the use case with all its content ports on `contents`, and with these other fields."""
    return dataclasses.replace(create_image, contents=contents, quarantine=contents, **others)
