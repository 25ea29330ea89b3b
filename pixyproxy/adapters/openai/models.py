"""OpenAI's image models and what they take: data.

The source is the `openai` package, version 3.54: `ImageModel` and the docstrings of `ImageGenerateParams` and
`ImageEditParams` in `openai.types`. Where they leave open what a model takes, it is in the table: OpenAI refuses it at
no cost, whereas PixyProxy would refuse it for good. This is so for

- the 2.6 models, which have the sizes and qualities of 2.5,
- GIF, SVG and transparent backgrounds, which need access to a preview or a supported model,
- the fewest pixels of a size: the docstring mentions "current pixel and edge limits" without figures.

`input_fidelity` has the models that its docstring names. Retired models are not in the table.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pixyproxy.domain.capabilities import ModelCapabilities, SizeRange

_SIZES: Final = ("auto", "1024x1024", "1536x1024", "1024x1536")
# "Width and height must both be divisible by 16 and the requested aspect ratio must be between 1:3 and 3:1. … the
# maximum supported resolution is `3840x2160`."
_ANY_SIZE: Final = SizeRange(max_side=3_840, step=16, max_pixels=3_840 * 2_160, max_ratio=3)

_QUALITIES: Final = ("auto", "low", "medium", "high")
# "`gpt-image-2.5-sunburst` and `gpt-image-2.5-flare` … also support `xhigh` and `max`."
_MORE_QUALITIES: Final = (*_QUALITIES, "xhigh", "max")


def _model(
    id: str,  # noqa: A002 -- the field's name
    *,
    size_range: SizeRange | None = None,
    qualities: Sequence[str] = _QUALITIES,
    input_fidelities: Sequence[str] = (),
) -> ModelCapabilities:
    """Return a GPT image model; all of them have the rest in common."""
    return ModelCapabilities(
        id=id,
        sizes=_SIZES,
        size_range=size_range,
        qualities=qualities,
        output_formats=("png", "jpeg", "webp", "gif", "svg"),
        backgrounds=("auto", "opaque", "transparent"),
        moderations=("auto", "low"),
        input_fidelities=input_fidelities,
        has_compression=True,
        max_references=16,
        has_mask=True,
        max_partial_images=3,
    )


MODELS: Final[Mapping[str, ModelCapabilities]] = {
    model.id: model
    for model in (
        _model("gpt-image-1-mini", input_fidelities=("low",)),
        _model("gpt-image-1.5", input_fidelities=("low", "high")),
        _model("gpt-image-2", size_range=_ANY_SIZE),
        _model("gpt-image-2-2026-04-21", size_range=_ANY_SIZE),
        _model("gpt-image-2.5-sunburst", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("gpt-image-2.5-sunburst-2026-09-08", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("gpt-image-2.5-flare", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("gpt-image-2.5-flare-2026-09-08", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("gpt-image-2.6-sunburst", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("gpt-image-2.6-flare", size_range=_ANY_SIZE, qualities=_MORE_QUALITIES),
        _model("chatgpt-image-latest"),
    )
}
