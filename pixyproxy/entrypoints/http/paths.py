"""Paths in answers."""

from typing import Final

from pixyproxy.domain.image import ImageScope

PUBLIC_PATH: Final = "/image"
PRIVATE_PATH: Final = "/private/image"


def path_of(scope: ImageScope) -> str:
    """Return the path of the images of a scope."""
    return PUBLIC_PATH if scope is ImageScope.PUBLIC else PRIVATE_PATH
