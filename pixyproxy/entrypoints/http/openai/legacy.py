"""Values that clients of retired models send, for models that do not take them."""

from collections.abc import Mapping
from typing import Any, Final

from pixyproxy.domain.capabilities import ModelCapabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import parse_size

# DALL·E 2 and 3.
_SIZES: Final[Mapping[str, str]] = {
    "256x256": "1024x1024",
    "512x512": "1024x1024",
    "1792x1024": "1536x1024",
    "1024x1792": "1024x1536",
}
_QUALITIES: Final[Mapping[str, str]] = {"standard": "medium", "hd": "high"}
# Qualities of some models of OpenAI, for a generator that has every model's id.
_HIGHEST: Final[Mapping[str, str]] = {"xhigh": "high", "max": "high"}


def adapted(options: Mapping[str, Any], model: ModelCapabilities, *, is_sketch: bool) -> dict[str, Any]:
    """Return the options of a request with values that the model takes in place of retired ones that it does not.

    Leaves out an input fidelity that it does not take. `is_sketch` says that the model stands in for all of OpenAI's.
    """
    if model.takes_anything:
        return dict(options)
    changed = dict(options)
    size, quality = options.get("size", ""), options.get("quality", "")
    if size in _SIZES and not _takes_size(model, size):
        changed["size"] = _SIZES[size]
    if quality not in model.qualities:
        mapped = _QUALITIES.get(quality) or (_HIGHEST.get(quality) if is_sketch else None)
        if mapped is not None:
            changed["quality"] = mapped
    if options.get("input_fidelity") not in {None, *model.input_fidelities}:
        del changed["input_fidelity"]
    if is_sketch:
        changed.pop("moderation", None)
    return changed


def _takes_size(model: ModelCapabilities, size: str) -> bool:
    if size in model.sizes:
        return True
    try:
        sides = parse_size(size)
    except DataValidationError:
        return False
    return sides is not None and model.size_range is not None and model.size_range.has(*sides)
