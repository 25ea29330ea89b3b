"""Paths in answers."""

from typing import Final

PUBLIC_PATH: Final = "/image"
PRIVATE_PATH: Final = "/private/image"
