"""Variants: which there are, their names and their sizes."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.variant import VARIANT_MAX_SIDE, Fit, Variant, VariantFormat, VariantPolicy, thumbnail_of

SHA256 = "0123456789abcdef" + 48 * "0"

sides = st.one_of(st.none(), st.integers(1, VARIANT_MAX_SIDE))
original_sides = st.integers(1, 20_000)
variants = st.builds(
    Variant,
    format=st.sampled_from(VariantFormat),
    width=sides,
    height=sides,
    fit=st.sampled_from(Fit),
    quality=st.integers(1, 100),
)


def variant(**fields: Any) -> Variant:
    return Variant(**{"format": VariantFormat.WEBP, **fields})


@pytest.mark.parametrize("field", ["width", "height"])
@pytest.mark.parametrize("side", [-1, 0, VARIANT_MAX_SIDE + 1])
def test_a_side_is_1_to_4096(field: str, side: int) -> None:
    with pytest.raises(DataValidationError, match="1 to 4,096") as caught:
        variant(**{field: side})
    assert caught.value.field == field


@pytest.mark.parametrize("quality", [-1, 0, 101])
def test_a_quality_is_1_to_100(quality: int) -> None:
    with pytest.raises(DataValidationError, match="1 to 100") as caught:
        variant(quality=quality)
    assert caught.value.field == "quality"


@pytest.mark.parametrize(
    ("kind", "media_type", "extension"),
    [
        (VariantFormat.PNG, "image/png", ".png"),
        (VariantFormat.JPEG, "image/jpeg", ".jpg"),
        (VariantFormat.WEBP, "image/webp", ".webp"),
        (VariantFormat.AVIF, "image/avif", ".avif"),
    ],
)
def test_every_format_has_its_media_type_and_extension(kind: VariantFormat, media_type: str, extension: str) -> None:
    assert (kind.media_type, kind.extension) == (media_type, extension)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (variant(width=64), variant(width=64, fit=Fit.COVER)),
        (variant(height=64), variant(height=64, fit=Fit.COVER)),
        (variant(), variant(fit=Fit.COVER)),
        (variant(format=VariantFormat.PNG), variant(format=VariantFormat.PNG, quality=30)),
    ],
)
def test_variants_that_differ_in_what_has_no_effect_have_one_name(one: Variant, other: Variant) -> None:
    assert one != other
    assert one.name_for(SHA256) == other.name_for(SHA256)


def test_variants_that_look_different_have_names_of_their_own() -> None:
    different = [
        variant(format=kind, width=width, height=height, fit=fit, quality=quality)
        for kind in VariantFormat
        for width in (None, 1, 11, 111)
        for height in (None, 1, 11, 111)
        for fit in (Fit if width and height else (Fit.CONTAIN,))
        for quality in ((80,) if kind is VariantFormat.PNG else (1, 80))
    ]
    assert len({each.name_for(SHA256) for each in different}) == len(different)


def test_variants_of_different_contents_have_names_of_their_own() -> None:
    assert variant().name_for(SHA256) != variant().name_for(64 * "0")


@given(variants)
def test_a_name_is_one_short_part_of_a_path(any_variant: Variant) -> None:
    assert re.fullmatch(r"[0-9a-z][0-9a-z.-]{0,63}", any_variant.name_for(SHA256))
    assert ".." not in any_variant.name_for(SHA256)


@pytest.mark.parametrize(
    ("asked", "original", "made"),
    [
        ({"width": 300}, (1_200, 800), (300, 200)),
        ({"height": 200}, (1_200, 800), (300, 200)),
        ({"width": 300, "height": 300}, (1_200, 800), (300, 200)),
        ({"width": 300, "height": 100}, (1_200, 800), (150, 100)),
        ({}, (1_200, 800), (1_200, 800)),
        ({"width": 300, "height": 300, "fit": Fit.COVER}, (1_200, 800), (300, 300)),
        ({"width": 300, "fit": Fit.COVER}, (1_200, 800), (300, 200)),
    ],
)
def test_a_picture_is_fitted_into_its_sides_or_fills_them(
    asked: dict[str, Any], original: tuple[int, int], made: tuple[int, int]
) -> None:
    assert variant(**asked).size_of(*original) == made


@pytest.mark.parametrize(
    ("asked", "original", "made"),
    [
        ({"width": 300}, (120, 80), (120, 80)),
        ({"width": 300, "height": 40}, (120, 80), (60, 40)),
        ({"width": 300, "height": 300, "fit": Fit.COVER}, (120, 80), (80, 80)),
        ({"width": 300, "height": 150, "fit": Fit.COVER}, (1_000, 50), (100, 50)),
        ({"width": 300, "height": 1, "fit": Fit.COVER}, (3, 3), (3, 1)),
    ],
)
def test_a_small_picture_is_not_made_larger_and_is_cut_to_the_shape_that_was_asked_for(
    asked: dict[str, Any], original: tuple[int, int], made: tuple[int, int]
) -> None:
    assert variant(**asked).size_of(*original) == made


@pytest.mark.parametrize(
    ("asked", "original", "made"),
    [
        ({"width": 300}, (24, 12), (300, 150)),
        ({"width": 300, "height": 300, "fit": Fit.COVER}, (24, 12), (300, 300)),
        ({}, (24, 12), (24, 12)),
        ({}, (40_960, 20_480), (4_096, 2_048)),
    ],
)
def test_a_picture_without_pixels_of_its_own_is_made_as_large_as_was_asked_for(
    asked: dict[str, Any], original: tuple[int, int], made: tuple[int, int]
) -> None:
    assert variant(**asked).size_of(*original, is_scalable=True) == made


@given(variants, original_sides, original_sides, st.booleans())
@example(variant(width=4_096), 1, 20_000, True)
def test_whatever_is_asked_for_no_side_exceeds_its_bounds(
    any_variant: Variant, width: int, height: int, is_scalable: bool
) -> None:
    made = any_variant.size_of(width, height, is_scalable=is_scalable)
    bounds = (any_variant.width or VARIANT_MAX_SIDE, any_variant.height or VARIANT_MAX_SIDE)
    assert all(1 <= side <= bound for side, bound in zip(made, bounds, strict=True))
    if not is_scalable:
        assert made[0] <= width
        assert made[1] <= height


@given(variants, original_sides, original_sides)
def test_the_shape_is_kept_to_the_pixel_or_becomes_the_one_that_was_asked_for(
    any_variant: Variant, width: int, height: int
) -> None:
    made = any_variant.size_of(width, height)
    shape = any_variant.cut or (width, height)
    scale = max(made[0] / shape[0], made[1] / shape[1])
    assert all(abs(side - part * scale) <= max(1, part / min(shape)) for side, part in zip(made, shape, strict=True))


def test_with_sides_to_choose_from_no_other_is_allowed() -> None:
    policy = VariantPolicy(sides=frozenset({128, 64}))
    policy.ensure_allowed(variant(width=64, height=128))
    policy.ensure_allowed(variant())
    for field in ("width", "height"):
        with pytest.raises(DataValidationError, match="must be one of 64, 128") as caught:
            policy.ensure_allowed(variant(**{field: 65}))
        assert caught.value.field == field


def test_with_sides_to_choose_from_the_quality_is_chosen_too() -> None:
    policy = VariantPolicy()
    policy.ensure_allowed(variant(quality=90))
    with pytest.raises(DataValidationError, match="must be one of 30, 50, 70, 80, 90") as caught:
        policy.ensure_allowed(variant(quality=81))
    assert caught.value.field == "quality"


def test_a_quality_that_has_no_effect_is_allowed() -> None:
    VariantPolicy().ensure_allowed(variant(format=VariantFormat.PNG, quality=81))


@given(variants)
def test_without_sides_to_choose_from_everything_is_allowed(any_variant: Variant) -> None:
    VariantPolicy(sides=None).ensure_allowed(any_variant)


@pytest.mark.parametrize(("wanted", "nearest"), [(64, 64), (65, 128), (1, 64), (512, 512), (513, 512)])
def test_the_nearest_side_is_the_next_larger_one_or_else_the_largest(wanted: int, nearest: int) -> None:
    assert VariantPolicy(sides=frozenset({128, 512, 64})).nearest_side(wanted) == nearest


@pytest.mark.parametrize(("wanted", "nearest"), [(50, 50), (51, 70), (91, 90)])
def test_the_nearest_quality_is_the_next_higher_one_or_else_the_highest(wanted: int, nearest: int) -> None:
    assert VariantPolicy().nearest_quality(wanted) == nearest


@given(st.integers(1, VARIANT_MAX_SIDE), st.integers(1, 100))
def test_without_sides_to_choose_from_the_nearest_is_what_is_wanted(side: int, quality: int) -> None:
    policy = VariantPolicy(sides=None)
    assert (policy.nearest_side(side), policy.nearest_quality(quality)) == (side, quality)


def test_a_thumbnail_is_a_square_avif_of_256_pixels() -> None:
    assert thumbnail_of(VariantPolicy()) == Variant(
        format=VariantFormat.AVIF, width=256, height=256, fit=Fit.COVER, quality=70
    )


@given(st.builds(VariantPolicy, sides=st.none() | st.frozensets(st.integers(1, VARIANT_MAX_SIDE), min_size=1)))
def test_a_thumbnail_is_an_allowed_variant(policy: VariantPolicy) -> None:
    policy.ensure_allowed(thumbnail_of(policy))
