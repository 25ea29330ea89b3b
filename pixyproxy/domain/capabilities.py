"""What a generator's models take."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import msgspec

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import (
    COMPRESSED_FORMATS,
    PARTIAL_IMAGES_MAX_COUNT,
    SIDE_MAX,
    SIDE_MIN,
    SIZE_MAX_PIXELS,
    TRANSPARENT,
    TRANSPARENT_FORMATS,
    GenerationRequest,
    compression_rule,
    one_of,
    parse_size,
    transparency_rule,
)
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT

_DEFAULT_FORMAT: Final = "png"
_BITMAP_FORMATS: Final = ("png", "jpeg", "webp")


class SizeRange(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes that a model takes besides those it names.

    Each side is `min_side` to `max_side` pixels and a multiple of `step`; the picture has `min_pixels` to `max_pixels`,
    and its longer side is at most `max_ratio` times the shorter.
    """

    min_side: int = SIDE_MIN
    max_side: int = SIDE_MAX
    step: int = 1
    min_pixels: int = 1
    max_pixels: int = SIZE_MAX_PIXELS
    max_ratio: float | None = None

    def has(self, width: int, height: int) -> bool:
        """Whether the size in pixels is one of these."""
        shorter, longer = sorted((width, height))
        return (
            self.min_side <= shorter
            and longer <= self.max_side
            and width % self.step == height % self.step == 0
            and self.min_pixels <= width * height <= self.max_pixels
            and (self.max_ratio is None or longer <= shorter * self.max_ratio)
        )

    def __str__(self) -> str:
        rules = [f"sides of {self.min_side} to {self.max_side:,} pixels"]
        if self.step > 1:
            rules.append(f"in multiples of {self.step}")
        if self.min_pixels > 1:
            rules.append(f"at least {self.min_pixels:,} pixels in all")
        rules.append(f"at most {self.max_pixels:,} pixels in all")
        if self.max_ratio is not None:
            rules.append(f"a longer side of at most {self.max_ratio:g} times the shorter")
        return ", ".join(rules)


class ModelCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes; an option with no values is not taken at all.

    `sizes` are named ones, `auto` among them, and `size_range` holds all others. `has_compression` is about the formats
    JPEG and WebP. A model edits if `max_references` is more than 0. `defaults` are the values of options that the
    operator has chosen for requests without them; each is one that the model takes. A model that `takes_anything` is
    one that the generator does not know: its options are not checked.
    """

    id: str
    sizes: Sequence[str] = ()
    size_range: SizeRange | None = None
    qualities: Sequence[str] = ()
    output_formats: Sequence[str] = ()
    backgrounds: Sequence[str] = ()
    moderations: Sequence[str] = ()
    input_fidelities: Sequence[str] = ()
    has_compression: bool = False
    max_references: int = 0
    has_mask: bool = False
    max_partial_images: int = 0
    defaults: Mapping[str, str] = {}
    takes_anything: bool = False

    @classmethod
    def unknown(cls, id: str, defaults: Mapping[str, str] | None = None) -> Self:  # noqa: A002 -- the field's name
        """Return the capabilities of a model that the generator does not know."""
        return cls(
            id=id,
            has_compression=True,
            max_references=REFERENCES_MAX_COUNT,
            has_mask=True,
            max_partial_images=PARTIAL_IMAGES_MAX_COUNT,
            defaults=defaults or {},
            takes_anything=True,
        )

    def with_defaults(self, defaults: Mapping[str, str]) -> Self:
        """Return the model with those of the operator's choices that it takes."""
        taken = {}
        for name, value in defaults.items():
            with suppress(DataValidationError):
                self.ensure_takes(msgspec.structs.replace(GenerationRequest(prompt=""), **{name: value}))
                taken[name] = value
        return msgspec.structs.replace(self, defaults=taken)

    def completed(self, request: GenerationRequest) -> GenerationRequest:
        """Return the request with this model, and with the operator's choice of the options that it leaves open.

        Leaves out a transparent background in a format without one.
        """
        chosen = {name: value for name, value in self.defaults.items() if getattr(request, name) is None}
        completed = msgspec.structs.replace(request, model=self.id, **chosen)
        if "background" in chosen and not _can_be_transparent(completed):
            return msgspec.structs.replace(completed, background=None)
        return completed

    def ensure_takes(self, request: GenerationRequest) -> None:
        """Raise `DataValidationError` for an option that the model does not take; it says what the model takes."""
        completed = self.completed(request)
        if not self.takes_anything:
            self._ensure_size(request.size)
            self._ensure_word("quality", request.quality, self.qualities)
            self._ensure_word("background", request.background, self.backgrounds)
            self._ensure_word("output_format", request.output_format, self.output_formats)
            self._ensure_word("moderation", request.moderation, self.moderations)
            self._ensure_pictures(request)
            self._ensure_word("input_fidelity", request.input_fidelity, self.input_fidelities)
        if request.references and request.moderation is not None:
            raise DataValidationError("moderation", "is not taken with references")
        if request.partial_images > self.max_partial_images:
            raise DataValidationError("partial_images", f"must be 0 to {self.max_partial_images} for {self.id}")
        output_format = completed.output_format or _DEFAULT_FORMAT
        if request.partial_images and output_format not in _BITMAP_FORMATS:
            raise DataValidationError(
                "partial_images", f"are only for the output formats {one_of(_BITMAP_FORMATS)}, not {output_format}"
            )
        if request.mask is not None and output_format not in _BITMAP_FORMATS:
            raise DataValidationError(
                "mask", f"is only for the output formats {one_of(_BITMAP_FORMATS)}, not {output_format}"
            )
        if request.output_compression is not None:
            if not self.has_compression:
                raise DataValidationError("output_compression", f"is not taken by {self.id}")
            if output_format not in COMPRESSED_FORMATS:
                raise DataValidationError("output_compression", compression_rule(output_format))
        if not _can_be_transparent(completed):
            raise DataValidationError("background", transparency_rule(completed.output_format))

    def _ensure_size(self, size: str | None) -> None:
        if size is None or size in self.sizes:
            return
        try:
            sides = parse_size(size)
        except DataValidationError:
            sides = None
        if sides is None or self.size_range is None or not self.size_range.has(*sides):
            others = [] if self.size_range is None else [f"a size with {self.size_range}"]
            raise DataValidationError("size", self._rule([*self.sizes, *others]))

    def _ensure_word(self, field: str, word: str | None, allowed: Sequence[str]) -> None:
        if word is None or word in allowed:
            return
        raise DataValidationError(field, self._rule(allowed))

    def _rule(self, allowed: Sequence[str]) -> str:
        return f"must be {one_of(allowed)} for {self.id}" if allowed else f"is not taken by {self.id}"

    def _ensure_pictures(self, request: GenerationRequest) -> None:
        if request.references and not self.max_references:
            raise DataValidationError("references", f"are not taken by {self.id}")
        if len(request.references) > self.max_references:
            raise DataValidationError("references", f"must be at most {self.max_references} for {self.id}")
        if request.mask is not None and not self.has_mask:
            raise DataValidationError("mask", f"is not taken by {self.id}")


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a generator takes: its models, one of which is the default.

    With `others`, it also takes models that it does not know, with these options.
    """

    models: Sequence[ModelCapabilities]
    default: str
    others: ModelCapabilities | None = None

    @classmethod
    def of(cls, model: ModelCapabilities) -> Self:
        """Return the capabilities of a generator with one model."""
        return cls(models=(model,), default=model.id)

    def model_for(self, request: GenerationRequest) -> ModelCapabilities:
        """Return the model that draws the request; raise `DataValidationError` for one that is not allowed."""
        wanted = self.default if request.model is None else request.model
        for model in self.models:
            if model.id == wanted:
                return model
        if self.others is None:
            raise DataValidationError("model", f"must be {one_of(model.id for model in self.models)}")
        return msgspec.structs.replace(self.others, id=wanted)

    def ensure_takes(self, request: GenerationRequest) -> ModelCapabilities:
        """Return the model that draws the request; raise `DataValidationError` for what it does not take."""
        model = self.model_for(request)
        model.ensure_takes(request)
        return model


def _can_be_transparent(completed: GenerationRequest) -> bool:
    """Whether the output format has transparency, if the request is for a transparent background."""
    return completed.background != TRANSPARENT or (completed.output_format or _DEFAULT_FORMAT) in TRANSPARENT_FORMATS
