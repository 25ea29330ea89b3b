"""From libvips' errors to the domain's."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyvips

from pixyproxy.domain.errors import DamagedContentError


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise `DamagedContentError` for every error of libvips, whose texts may name paths."""
    try:
        yield
    except pyvips.Error as exc:
        raise DamagedContentError("The picture is damaged or incomplete.") from exc
