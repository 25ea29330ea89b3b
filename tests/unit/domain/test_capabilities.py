"""What a generator's models take."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities, SizeRange
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import SIDE_MAX, SIDE_MIN, SIZE_MAX_PIXELS, GenerationRequest, parse_size
from pixyproxy.domain.reference import Reference

REFERENCE = Reference(guid=UUID(int=1))
RANGE = SizeRange(min_side=64, max_side=2_048, step=16, min_pixels=65_536, max_pixels=1_048_576, max_ratio=3)
PLAIN = ModelCapabilities(id="plain")
MODEL = ModelCapabilities(
    id="painter",
    sizes=("auto", "1792x1024"),
    size_range=RANGE,
    qualities=("low", "high"),
    output_formats=("png", "jpeg", "webp", "svg"),
    backgrounds=("opaque", "transparent"),
    moderations=("auto",),
    input_fidelities=("high",),
    has_compression=True,
    max_references=2,
    has_mask=True,
    max_partial_images=2,
)


def requested(**options: Any) -> GenerationRequest:
    return GenerationRequest(prompt="a fox", **options)


def refusal(model: ModelCapabilities, **options: Any) -> tuple[str, str]:
    """Return the field and the rule that a request breaks."""
    with pytest.raises(DataValidationError) as caught:
        model.ensure_takes(requested(**options))
    return caught.value.field, caught.value.detail


class TestSizeRange:
    @pytest.mark.parametrize(
        ("size", "is_taken"),
        [
            ((256, 256), True),  # 65,536 pixels
            ((240, 256), False),
            ((1_024, 1_024), True),  # 1,048,576 pixels
            ((1_040, 1_024), False),
            ((1_024, 1_040), False),
            ((1_008, 1_024), True),
            ((1_009, 1_024), False),  # no multiple of 16
            ((1_024, 1_015), False),
            ((768, 256), True),  # 3:1
            ((256, 768), True),
            ((784, 256), False),
            ((256, 784), False),
        ],
    )
    def test_each_limit_is_in_the_range_and_what_is_beyond_is_not(self, size: tuple[int, int], is_taken: bool) -> None:
        assert RANGE.has(*size) is is_taken

    @pytest.mark.parametrize(("side", "is_taken"), [(63, False), (64, True), (2_048, True), (2_049, False)])
    def test_each_side_has_its_limits(self, side: int, is_taken: bool) -> None:
        sides = SizeRange(min_side=64, max_side=2_048)
        assert sides.has(side, 100) is sides.has(100, side) is is_taken

    @given(st.integers(1, 10_000), st.integers(1, 10_000))
    def test_a_range_without_rules_has_all_sizes_that_a_request_can_have(self, width: int, height: int) -> None:
        try:
            parse_size(f"{width}x{height}")
        except DataValidationError:
            assert not SizeRange().has(width, height)
        else:
            assert SizeRange().has(width, height)

    @given(st.integers(1, 10_000), st.integers(1, 10_000))
    def test_a_picture_and_the_same_turned_by_90_degrees_fit_alike(self, width: int, height: int) -> None:
        assert RANGE.has(width, height) is RANGE.has(height, width)

    def test_its_rules_are_told(self) -> None:
        assert str(RANGE) == (
            "sides of 64 to 2,048 pixels, in multiples of 16, at least 65,536 pixels in all, at most 1,048,576 pixels"
            " in all, a longer side of at most 3 times the shorter"
        )
        assert str(SizeRange()) == (
            f"sides of {SIDE_MIN} to {SIDE_MAX:,} pixels, at most {SIZE_MAX_PIXELS:,} pixels in all"
        )


class TestModel:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"size": "auto"},
            {"size": "1792x1024"},  # named, though it is not in the range
            {"size": "256x256"},
            {"quality": "high"},
            {"background": "opaque"},
            {"background": "transparent"},
            {"background": "transparent", "output_format": "webp"},
            {"output_format": "svg"},
            {"moderation": "auto"},
            {"output_format": "jpeg", "output_compression": 0},
            {"output_format": "webp", "output_compression": 100},
            {"references": (REFERENCE,)},
            {"references": (REFERENCE, REFERENCE), "mask": REFERENCE, "input_fidelity": "high"},
            {"partial_images": 2},
            {"partial_images": 1, "output_format": "jpeg"},
            {"extra": {"complexity": "high"}},
        ],
    )
    def test_what_it_takes(self, options: dict[str, Any]) -> None:
        MODEL.ensure_takes(requested(**options))

    @pytest.mark.parametrize(
        ("options", "field", "rule"),
        [
            ({"size": "1024x1040"}, "size", f"must be auto, 1792x1024 or a size with {RANGE} for painter"),
            ({"quality": "medium"}, "quality", "must be low or high for painter"),
            ({"background": "auto"}, "background", "must be opaque or transparent for painter"),
            ({"output_format": "gif"}, "output_format", "must be png, jpeg, webp or svg for painter"),
            ({"moderation": "low"}, "moderation", "must be auto for painter"),
            ({"references": (REFERENCE,) * 3}, "references", "must be at most 2 for painter"),
            ({"references": (REFERENCE,), "input_fidelity": "low"}, "input_fidelity", "must be high for painter"),
            ({"partial_images": 3}, "partial_images", "must be 0 to 2 for painter"),
            (
                {"partial_images": 1, "output_format": "svg"},
                "partial_images",
                "are only for the output formats png, jpeg or webp, not svg",
            ),
            (
                {"output_compression": 50},
                "output_compression",
                "is only for the output formats jpeg or webp, not png",
            ),
            (
                {"output_compression": 50, "output_format": "svg"},
                "output_compression",
                "is only for the output formats jpeg or webp, not svg",
            ),
            (
                {"background": "transparent", "output_format": "jpeg"},
                "background",
                "can be transparent only in the output formats png, webp, gif or svg, not jpeg",
            ),
        ],
    )
    def test_what_it_does_not_take_is_told_with_what_it_takes(
        self, options: dict[str, Any], field: str, rule: str
    ) -> None:
        assert refusal(MODEL, **options) == (field, rule)

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"size": "auto"}, "size"),
            ({"size": "1024x1024"}, "size"),
            ({"quality": "high"}, "quality"),
            ({"background": "opaque"}, "background"),
            ({"output_format": "png"}, "output_format"),
            ({"moderation": "auto"}, "moderation"),
            ({"input_fidelity": "low"}, "input_fidelity"),
            ({"mask": REFERENCE}, "mask"),
            ({"output_compression": 50}, "output_compression"),
        ],
    )
    def test_an_option_without_values_is_not_taken(self, options: dict[str, Any], field: str) -> None:
        assert refusal(PLAIN, **options) == (field, "is not taken by plain")

    def test_references_and_partial_images_have_rules_of_their_own(self) -> None:
        assert refusal(PLAIN, references=(REFERENCE,)) == ("references", "are not taken by plain")
        assert refusal(PLAIN, partial_images=1) == ("partial_images", "must be 0 to 0 for plain")

    def test_named_sizes_alone_are_told_without_a_range(self) -> None:
        model = msgspec.structs.replace(MODEL, size_range=None)
        assert refusal(model, size="1024x1024") == ("size", "must be auto or 1792x1024 for painter")

    @pytest.mark.parametrize(
        "options",
        [
            {"size": "17x8191", "quality": "best", "background": "plaid", "moderation": "none"},
            {"references": (REFERENCE,) * 16, "mask": REFERENCE, "input_fidelity": "max", "partial_images": 3},
            {"output_format": "gif"},
        ],
    )
    def test_of_a_model_that_is_not_known_the_options_are_not_checked(self, options: dict[str, Any]) -> None:
        ModelCapabilities.unknown("house").ensure_takes(requested(**options))

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"partial_images": 4}, "partial_images"),
            ({"partial_images": 1, "output_format": "gif"}, "partial_images"),
            ({"output_compression": 50, "output_format": "png"}, "output_compression"),
            ({"background": "transparent", "output_format": "jpeg"}, "background"),
            ({"moderation": "low", "references": (REFERENCE,)}, "moderation"),
            ({"mask": REFERENCE, "references": (REFERENCE,), "output_format": "gif"}, "mask"),
            ({"mask": REFERENCE, "references": (REFERENCE,), "output_format": "svg"}, "mask"),
        ],
    )
    def test_what_no_model_can_do_is_refused_for_every_model(self, options: dict[str, Any], field: str) -> None:
        assert refusal(ModelCapabilities.unknown("house"), **options)[0] == field

    @pytest.mark.parametrize("output_format", [None, "png", "jpeg", "webp"])
    def test_a_mask_is_taken_with_a_bitmap_of_one_frame(self, output_format: str | None) -> None:
        MODEL.ensure_takes(requested(references=(REFERENCE,), mask=REFERENCE, output_format=output_format))


class TestDefaults:
    DEFAULTS = {"size": "256x256", "quality": "low", "output_format": "jpeg", "background": "opaque"}  # noqa: RUF012

    def test_they_are_for_what_a_request_leaves_open(self) -> None:
        model = MODEL.with_defaults(self.DEFAULTS)
        assert model.defaults == self.DEFAULTS
        assert model.completed(requested()) == requested(model="painter", **self.DEFAULTS)
        chosen = {"size": "auto", "quality": "high", "output_format": "png", "background": "transparent"}
        assert model.completed(requested(**chosen)) == requested(model="painter", **chosen)

    def test_everything_else_stays_as_it_is(self) -> None:
        request = requested(
            output_compression=1,
            moderation="auto",
            references=(REFERENCE,),
            mask=REFERENCE,
            input_fidelity="high",
            partial_images=1,
            extra={"a": 1},
        )
        assert MODEL.completed(request) == msgspec.structs.replace(request, model="painter")

    @pytest.mark.parametrize(
        ("name", "value"),
        [("size", "100x100"), ("size", "huge"), ("quality", "best"), ("output_format", "gif"), ("background", "auto")],
    )
    def test_a_model_has_only_those_that_it_takes(self, name: str, value: str) -> None:
        model = MODEL.with_defaults({**self.DEFAULTS, name: value})
        assert model.defaults == {key: kept for key, kept in self.DEFAULTS.items() if key != name}
        model.ensure_takes(requested(**model.defaults))

    def test_a_transparent_background_is_left_out_in_a_format_without_one(self) -> None:
        model = MODEL.with_defaults({"background": "transparent", "output_format": "jpeg"})
        assert model.completed(requested()).background is None
        assert model.completed(requested(output_format="webp")).background == "transparent"
        assert refusal(model, background="transparent")[0] == "background"

    def test_the_operators_format_counts_for_the_clients_options(self) -> None:
        assert refusal(MODEL.with_defaults({"output_format": "svg"}), partial_images=1)[0] == "partial_images"
        MODEL.with_defaults({"output_format": "webp"}).ensure_takes(requested(output_compression=7))

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "size": st.sampled_from(["auto", "256x256", "9x9", "1792x1024"]),
                "quality": st.sampled_from(["low", "best"]),
                "output_format": st.sampled_from(["png", "jpeg", "webp", "gif", "svg"]),
                "background": st.sampled_from(["opaque", "transparent", "auto"]),
            },
        )
    )
    @example({"background": "transparent", "output_format": "jpeg"})
    def test_a_plain_request_is_taken_whatever_the_operator_has_chosen(self, defaults: dict[str, str]) -> None:
        model = MODEL.with_defaults(defaults)
        model.ensure_takes(requested())
        model.ensure_takes(model.completed(requested()))


class TestCapabilities:
    CAPABILITIES = Capabilities(models=(PLAIN, MODEL), default="painter")

    def test_the_default_draws_what_names_no_model(self) -> None:
        assert self.CAPABILITIES.ensure_takes(requested()) is MODEL
        assert Capabilities.of(PLAIN).model_for(requested()) is PLAIN

    def test_a_model_is_chosen_by_its_name_and_checked(self) -> None:
        assert self.CAPABILITIES.ensure_takes(requested(model="plain")) is PLAIN
        with pytest.raises(DataValidationError, match="is not taken by plain"):
            self.CAPABILITIES.ensure_takes(requested(model="plain", quality="low"))

    @pytest.mark.parametrize("name", ["Painter", "painter ", "dall-e-3", ""])
    def test_another_model_is_refused_with_those_that_are_allowed(self, name: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            self.CAPABILITIES.ensure_takes(requested(model=name))
        assert (caught.value.field, caught.value.detail) == ("model", "must be plain or painter")

    def test_others_are_taken_if_they_are_allowed(self) -> None:
        others = ModelCapabilities.unknown("any", {"quality": "low"})
        capabilities = msgspec.structs.replace(self.CAPABILITIES, others=others)
        model = capabilities.ensure_takes(requested(model="flux", size="17x17"))
        assert (model.id, model.takes_anything) == ("flux", True)
        assert model.completed(requested(model="flux")) == requested(model="flux", quality="low")
        assert capabilities.ensure_takes(requested(model="plain")) is PLAIN
