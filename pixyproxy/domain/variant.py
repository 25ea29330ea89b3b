"""The variant: an image in another size, another format or both."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NewType

import msgspec

from pixyproxy.domain.errors import DataValidationError

VARIANT_MAX_SIDE: Final = 4_096
QUALITY_DEFAULT: Final = 80

VariantName = NewType("VariantName", str)


class Fit(StrEnum):
    """How a picture is fitted into a width and a height: wholly inside it, or filling it and cut off at the edges."""

    CONTAIN = "contain"
    COVER = "cover"


class VariantFormat(StrEnum):
    """The formats that variants are made in."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def media_type(self) -> str:
        """The media type that the format is served with."""
        return f"image/{self}"

    @property
    def extension(self) -> str:
        """The customary file name extension, with its dot."""
        return ".jpg" if self is VariantFormat.JPEG else f".{self}"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture is made into.

    `width` and `height` are the sides in pixels, 1 to 4,096, that it is fitted into; with one of them the other
    follows, with neither it keeps its size. A bitmap is never made larger than it is; a picture without pixels of its
    own is drawn as large as it was asked for. No side becomes longer than 4,096 pixels. `quality` is 1 to 100, about
    that of a JPEG; PNG, which loses nothing, has no use for it. Raises `DataValidationError`.
    """

    format: VariantFormat
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.CONTAIN
    quality: int = QUALITY_DEFAULT

    def __post_init__(self) -> None:
        for field, side in (("width", self.width), ("height", self.height)):
            if side is not None and not 1 <= side <= VARIANT_MAX_SIDE:
                raise DataValidationError(field, f"must be 1 to {VARIANT_MAX_SIDE:,}")
        if not 1 <= self.quality <= 100:  # noqa: PLR2004 -- it is a percentage
            raise DataValidationError("quality", "must be 1 to 100")

    @property
    def cut(self) -> tuple[int, int] | None:
        """The size that the picture is to fill, losing what stands out, or None if it is shown whole."""
        return (self.width, self.height) if self.fit is Fit.COVER and self.width and self.height else None

    def name_for(self, sha256: str) -> VariantName:
        """Return the name of this variant of the content with this SHA-256.

        Variants that differ only in what has no effect have one name.
        """
        sides = f"{self.width or ''}x{self.height or ''}"
        fit = Fit.COVER if self.cut else Fit.CONTAIN
        quality = "" if self.format is VariantFormat.PNG else f"-{self.quality}"
        return VariantName(f"{sha256[:16]}-{sides}-{fit}{quality}{self.format.extension}")

    def size_of(self, width: int, height: int, *, is_scalable: bool = False) -> tuple[int, int]:
        """Return the size that a picture of this size is made into, `is_scalable` if it has no pixels of its own."""
        if self.cut is not None:
            # What is left has the shape that was asked for, also where the picture is too small for the size.
            sides = self.cut
            scale = 1.0 if is_scalable else min(1.0, width / sides[0], height / sides[1])
        else:
            sides = width, height
            scale = min((self.width or VARIANT_MAX_SIDE) / width, (self.height or VARIANT_MAX_SIDE) / height)
            if not is_scalable or (self.width is None and self.height is None):
                scale = min(scale, 1.0)
        return max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale))


class VariantPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which variants are made, so that nobody can have a million of them made: these `sides` and `qualities` alone.

    Where `sides` is None, any variant is.
    """

    sides: frozenset[int] | None = frozenset({64, 128, 256, 512, 1_024})
    qualities: frozenset[int] = frozenset({30, 50, 70, QUALITY_DEFAULT, 90})

    def ensure_allowed(self, variant: Variant) -> None:
        """Raise `DataValidationError`, which says what is allowed, for a variant that is not."""
        if self.sides is None:
            return
        for field, side in (("width", variant.width), ("height", variant.height)):
            if side is not None and side not in self.sides:
                raise DataValidationError(field, f"must be one of {_listed(self.sides)}")
        if variant.format is not VariantFormat.PNG and variant.quality not in self.qualities:
            raise DataValidationError("quality", f"must be one of {_listed(self.qualities)}")


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
