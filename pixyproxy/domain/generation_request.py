"""Generation requests."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.json_values import ensure_shallow
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT, Reference
from pixyproxy.domain.text import ensure_encodable, ensure_label, ensure_length, ensure_visible

PROMPT_MAX_LENGTH = 32_000
MODEL_MAX_LENGTH: Final = 255
OPTION_MAX_LENGTH: Final = 64
EXTRA_MAX_SIZE: Final = 16_384
EXTRA_MAX_DEPTH: Final = 20
PARTIAL_IMAGES_MAX_COUNT: Final = 3

SIZE_AUTO: Final = "auto"
SIDE_MIN: Final = 16
SIDE_MAX: Final = 8_192
SIZE_MAX_PIXELS: Final = 33_000_000

TRANSPARENT: Final = "transparent"

OUTPUT_FORMATS: Final[Mapping[str, MediaType]] = {
    "png": MediaType.PNG,
    "jpeg": MediaType.JPEG,
    "webp": MediaType.WEBP,
    "gif": MediaType.GIF,
    "svg": MediaType.SVG,
}
"""The formats that a request can ask for, by the names of the OpenAI reference."""

COMPRESSED_FORMATS: Final = ("jpeg", "webp")
TRANSPARENT_FORMATS: Final = ("png", "webp", "gif", "svg")

_SIZE: Final = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
_WORDS: Final = ("quality", "background", "moderation", "input_fidelity")

# What the request to the generator has besides the fields of `GenerationRequest`.
_RESERVED: Final = frozenset({"n", "stream", "response_format", "user", "image", "images", "tags", "visibility"})


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture to be generated: passed from the client to the generator, the idempotency key and the record.

    An option that is not given is the generator's choice. `size` is `auto` or width x height in pixels, such as
    `1536x1024`; `output_compression` is 0 to 100. `references` are up to 16 pictures to draw from, in order, and `mask`
    marks by its transparent parts what of the first may change. `partial_images` is the number of pictures to show on
    the way. `extra` are parameters that this version does not know, as JSON values.

    The constructor checks nothing; `CreateImage` normalizes the request.
    """

    prompt: str
    model: str | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    moderation: str | None = None
    references: tuple[Reference, ...] = ()
    mask: Reference | None = None
    input_fidelity: str | None = None
    partial_images: int = 0
    extra: Mapping[str, Any] | None = None

    def normalized(self) -> Self:
        """Return the request without the white space around the prompt; raise `DataValidationError` for a bad one.

        The prompt has 1 to 32,000 characters (the OpenAI reference's limit), without NUL and lone surrogates, and one
        of them is visible. Empty `extra` is none.
        """
        request = msgspec.structs.replace(self, prompt=self.prompt.strip(), extra=self.extra or None)
        request.ensure_valid()
        ensure_visible("prompt", request.prompt)
        if self.output_compression is not None and self.output_format not in {None, *COMPRESSED_FORMATS}:
            raise DataValidationError("output_compression", compression_rule(self.output_format))
        if self.background == TRANSPARENT and self.output_format not in {None, *TRANSPARENT_FORMATS}:
            raise DataValidationError("background", transparency_rule(self.output_format))
        if self.mask is not None and not self.references:
            raise DataValidationError("mask", "needs a reference, which it marks the changeable parts of")
        if self.input_fidelity is not None and not self.references:
            raise DataValidationError("input_fidelity", "needs a reference")
        return request

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a request that no image was stored with; one may be invisible."""
        ensure_encodable("prompt", self.prompt)
        ensure_length("prompt", self.prompt, 1, PROMPT_MAX_LENGTH)
        if self.prompt != self.prompt.strip():
            raise DataValidationError("prompt", "must not begin or end with white space")
        self._ensure_options()
        self._ensure_pictures()
        if self.extra is not None:
            ensure_extra(self.extra)

    def _ensure_options(self) -> None:
        if self.model is not None:
            ensure_label("model", self.model, MODEL_MAX_LENGTH)
        if self.size is not None:
            parse_size(self.size)
        for name in _WORDS:
            word = getattr(self, name)
            if word is not None:
                ensure_label(name, word, OPTION_MAX_LENGTH)
        if self.output_format is not None and self.output_format not in OUTPUT_FORMATS:
            raise DataValidationError("output_format", f"must be {one_of(OUTPUT_FORMATS)}")
        _ensure_between("output_compression", self.output_compression, 0, 100)
        _ensure_between("partial_images", self.partial_images, 0, PARTIAL_IMAGES_MAX_COUNT)

    def _ensure_pictures(self) -> None:
        if len(self.references) > REFERENCES_MAX_COUNT:
            raise DataValidationError(
                "references", f"must be at most {REFERENCES_MAX_COUNT}, not {len(self.references):,}"
            )
        for number, reference in enumerate(self.references):
            reference.ensure_valid(f"references[{number}]")
        if self.mask is not None:
            self.mask.ensure_valid("mask")

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name, as JSON values: everything but the prompt."""
        options: dict[str, Any] = msgspec.to_builtins(self)
        del options["prompt"]
        return options

    @property
    def fingerprint_options(self) -> dict[str, Any]:
        """The options that make a request another one.

        An upload counts by its bytes, not by its name. Partial images don't count: the picture is the same.
        """
        options = self.options
        options.pop("partial_images", None)
        for reference in [*options.get("references", ()), options.get("mask", {})]:
            if "upload" in reference:
                reference["upload"] = reference["upload"]["content"]["sha256"]
        return options

    @property
    def pictures(self) -> Sequence[Reference]:
        """The references, and the mask after them."""
        return self.references if self.mask is None else (*self.references, self.mask)


def parse_size(size: str) -> tuple[int, int] | None:
    """Return the width and height of `size` in pixels, or None for `auto`; raise `DataValidationError`."""
    if size == SIZE_AUTO:
        return None
    found = _SIZE.fullmatch(size)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not SIDE_MIN <= min(width, height) <= max(width, height) <= SIDE_MAX or width * height > SIZE_MAX_PIXELS:
        raise DataValidationError(
            "size",
            f"must be {SIZE_AUTO}, or width and height such as 1536x1024, of {SIDE_MIN} to {SIDE_MAX:,} pixels each and"
            f" {SIZE_MAX_PIXELS:,} in all",
        )
    return width, height


def compression_rule(output_format: str | None) -> str:
    """Return the sentence about a compression level with a format that has none."""
    return f"is only for the output formats {one_of(COMPRESSED_FORMATS)}, not {output_format}"


def transparency_rule(output_format: str | None) -> str:
    """Return the sentence about a transparent background with a format without one."""
    return f"can be {TRANSPARENT} only in the output formats {one_of(TRANSPARENT_FORMATS)}, not {output_format}"


def one_of(words: Iterable[str]) -> str:
    """Return the words as an English list of alternatives."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _ensure_between(field: str, number: int | None, minimum: int, maximum: int) -> None:
    if number is not None and not minimum <= number <= maximum:
        raise DataValidationError(field, f"must be {minimum} to {maximum}, not {number}")


def ensure_extra(extra: Mapping[str, Any]) -> None:
    """Raise `DataValidationError` for parameters that no request may have besides the known ones."""
    ensure_shallow("extra", extra, EXTRA_MAX_DEPTH)
    try:
        encoded = msgspec.json.encode(extra)
    except (ValueError, TypeError, OverflowError) as exc:
        raise DataValidationError("extra", "must be JSON") from exc
    # Infinity and NaN become null.
    if msgspec.json.decode(encoded) != extra:
        raise DataValidationError("extra", "must be JSON")
    byte_size = len(encoded)
    if byte_size > EXTRA_MAX_SIZE:
        raise DataValidationError("extra", f"must have at most {EXTRA_MAX_SIZE:,} bytes as JSON, not {byte_size:,}")
    known = _RESERVED.union(GenerationRequest.__struct_fields__)
    for name in extra:
        ensure_label("extra", name, OPTION_MAX_LENGTH)
        # In a form, `image[]` is an `image`.
        if name.partition("[")[0] in known:
            raise DataValidationError("extra", f"must not have `{name}`, which PixyProxy sets itself")
