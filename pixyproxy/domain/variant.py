"""Variants: an image in another size or format."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NewType

import msgspec

from pixyproxy.domain.errors import DataValidationError

VARIANT_MAX_SIDE: Final = 4_096
QUALITY_DEFAULT: Final = 80
THUMBNAIL_SIDE: Final = 256
THUMBNAIL_QUALITY: Final = 70

VariantName = NewType("VariantName", str)


class Fit(StrEnum):
    """How a picture fits into a width and a height: contained in it, or covering it with the rest cut off."""

    CONTAIN = "contain"
    COVER = "cover"


class VariantFormat(StrEnum):
    """The formats of variants."""

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
    """The size and format of a variant.

    The picture is fitted into `width` and `height`, 1 to 4,096 pixels each; with one of them the other follows, with
    neither the size stays. Bitmaps are never enlarged; pictures without pixels are drawn at the requested size. No side
    exceeds 4,096 pixels. `quality` is 1 to 100, about that of a JPEG; lossless PNG ignores it. Raises
    `DataValidationError`.
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
        """The size to fill by cutting off the rest, or None if the whole picture is shown."""
        return (self.width, self.height) if self.fit is Fit.COVER and self.width and self.height else None

    def name_for(self, sha256: str) -> VariantName:
        """Return the name of this variant of the content with this SHA-256.

        Variants that would be equal have one name.
        """
        sides = f"{self.width or ''}x{self.height or ''}"
        fit = Fit.COVER if self.cut else Fit.CONTAIN
        quality = "" if self.format is VariantFormat.PNG else f"-{self.quality}"
        return VariantName(f"{sha256[:16]}-{sides}-{fit}{quality}{self.format.extension}")

    def size_of(self, width: int, height: int, *, is_scalable: bool = False) -> tuple[int, int]:
        """Return the size of the variant of a picture of this size, `is_scalable` if it has no pixels."""
        if self.cut is not None:
            # Keep the requested shape, even if the picture is too small for the size.
            sides = self.cut
            scale = 1.0 if is_scalable else min(1.0, width / sides[0], height / sides[1])
        else:
            sides = width, height
            scale = min((self.width or VARIANT_MAX_SIDE) / width, (self.height or VARIANT_MAX_SIDE) / height)
            if not is_scalable or (self.width is None and self.height is None):
                scale = min(scale, 1.0)
        return max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale))


class VariantPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The variants that are made: these `sides` and `qualities` only, so that clients can't request millions.

    If `sides` is None, all variants are made.
    """

    sides: frozenset[int] | None = frozenset({64, 128, 256, 512, 1_024})
    qualities: frozenset[int] = frozenset({30, 50, 70, QUALITY_DEFAULT, 90})

    def ensure_allowed(self, variant: Variant) -> None:
        """Raise a `DataValidationError` that names the allowed values for a variant that is not allowed."""
        if self.sides is None:
            return
        for field, side in (("width", variant.width), ("height", variant.height)):
            if side is not None and side not in self.sides:
                raise DataValidationError(field, f"must be one of {_listed(self.sides)}")
        if variant.format is not VariantFormat.PNG and variant.quality not in self.qualities:
            raise DataValidationError("quality", f"must be one of {_listed(self.qualities)}")

    def nearest_side(self, wanted: int) -> int:
        """Return `wanted` if it is an allowed side, else the next larger one, else the largest."""
        return wanted if self.sides is None else _nearest(wanted, self.sides)

    def nearest_quality(self, wanted: int) -> int:
        """Return `wanted` if it is an allowed quality, else the next higher one, else the highest."""
        return wanted if self.sides is None else _nearest(wanted, self.qualities)


def thumbnail_of(policy: VariantPolicy) -> Variant:
    """Return the variant of lists: 256x256 pixels with quality 70, or the nearest that `policy` allows, as AVIF."""
    side = policy.nearest_side(THUMBNAIL_SIDE)
    quality = policy.nearest_quality(THUMBNAIL_QUALITY)
    return Variant(format=VariantFormat.AVIF, width=side, height=side, fit=Fit.COVER, quality=quality)


def _nearest(wanted: int, allowed: Collection[int]) -> int:
    return min((number for number in allowed if number >= wanted), default=max(allowed))


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
