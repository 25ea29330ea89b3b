"""Paths of requests and in answers."""

from typing import Final

from pixyproxy.domain.image import ImageScope

PUBLIC_PATH: Final = "/image"
PRIVATE_PATH: Final = "/private/image"
V1_PATH: Final = "/v1"
GALLERY_PATH: Final = "/gallery"


def path_of(scope: ImageScope) -> str:
    """Return the path of the images of a scope."""
    return PUBLIC_PATH if scope is ImageScope.PUBLIC else PRIVATE_PATH


def is_below_v1(path: str) -> bool:
    """Whether a path, without the service's prefix, belongs to the OpenAI-compatible API."""
    return _is_below(path, V1_PATH)


def is_below_gallery(path: str) -> bool:
    """Whether a path, without the service's prefix, belongs to the gallery."""
    return _is_below(path, GALLERY_PATH)


def _is_below(path: str, start: str) -> bool:
    return path == start or path.startswith(f"{start}/")
