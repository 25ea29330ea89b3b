"""What clients may ask of OpenAI, as the operator has set it up."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities

_VALUES: Final[Mapping[str, str]] = {
    "size": "sizes",
    "quality": "qualities",
    "output_format": "output_formats",
    "background": "backgrounds",
}
"""The options that the operator can choose, with the field of `ModelCapabilities` that has their values."""


def capabilities_of(
    default: str, models: Sequence[str], defaults: Mapping[str, str], *, allow_any: bool
) -> Capabilities:
    """Return what the models take, `default` among them, with the operator's choice of options (`defaults`).

    A model that is not in the table takes anything, and with `allow_any` so does every other model that a client names.
    The default model takes all of `defaults`, also values that the table does not know: the operator's word is sent on.
    Other models have those that they take.
    """
    return Capabilities(
        models=[_default(model, defaults) if model == default else _other(model, defaults) for model in models],
        default=default,
        others=ModelCapabilities.unknown("any", defaults) if allow_any else None,
    )


def _default(id: str, defaults: Mapping[str, str]) -> ModelCapabilities:  # noqa: A002 -- the field's name
    model = _other(id, defaults)
    added = {
        _VALUES[name]: (*getattr(model, _VALUES[name]), value)
        for name, value in defaults.items()
        if name not in model.defaults
    }
    return msgspec.structs.replace(model, defaults=defaults, **added)


def _other(id: str, defaults: Mapping[str, str]) -> ModelCapabilities:  # noqa: A002 -- the field's name
    model = MODELS.get(id)
    return ModelCapabilities.unknown(id, defaults) if model is None else model.with_defaults(defaults)
