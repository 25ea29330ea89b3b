import hashlib
import subprocess
import sys
import time
from random import Random
from typing import Any, Final

import pytest
from PIL import Image, ImageChops, ImageStat

from pixyproxy.adapters.pictures.inspection import inspect_bitmap
from pixyproxy.adapters.sketch.canvas import Canvas
from pixyproxy.adapters.sketch.drawing import canvas_for, draw
from pixyproxy.adapters.sketch.encoding import encoded
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import SCENES, choose_scene
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest

PROMPTS = [
    "x",
    "a red fox",
    "🦊" * 32_000,
    "שלום עולם",
    "starry night",
    "../../etc/passwd",
    "a\nb\tc",
    "汉字",
    "e\u0301",
]

# One prompt for each scene at least.
FIRST_SKETCHES: Final = {
    "a red fox": "d65f369ebdbcb7b1d3e39ba61f8c6b5fed39f02186ef76dbe980e907e0e09802",
    "x": "2f7794983e2edc5d011650ce0140f3876c1e8b9a955472035f8d17206689f846",
    "a pine forest": "9ff4978eb367cdcfd88fd2c7dc850b7158a75755a24171eaa3e54240ace980b5",
    "the sea": "3dc3adc208ca17a10f13fac9c56c9aa3111733a54dd2f3b7ced191aafe67c84f",
    "汉字": "55f9cb446a3e1e01493590ada01a3a35cb698a5784fd4d77e41b2abd0ff70882",
    "hills": "59af5e048b824b73a21c95f00cf32adbe6adc5364b64a66604f3eaa2015b48d8",
    "thing 5": "dead31af387ef60bb2af37c696b73d57d84569288003e620df886d32fdb9d31a",
    "thing 8": "30b280c8bb026c60bd7ff0de1e2c32a0c867fac73e7e6d80da420d238ac79e75",
}

CPU_SECONDS: Final = 6.0
"""Twice what the slowest takes on a slow machine."""


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 -- it has to be predictable


def drawn(prompt: str, **options: Any) -> Image.Image:
    request = GenerationRequest(prompt=prompt, **options)
    return draw(request, canvas_for(request))


def sketch(prompt: str, **options: Any) -> bytes:
    """Return the sketch of a request as a PNG."""
    return encoded(drawn(prompt, **options), "png")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return by how much two pictures differ on average, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: ascii(prompt[:12]))
def test_a_sketch_of_any_prompt_is_a_png_of_the_promised_size(prompt: str) -> None:
    data = sketch(prompt)
    found = inspect_bitmap(data)

    assert (found.media_type, found.width, found.height) == (MediaType.PNG, 1024, 1024)
    assert 50_000 <= len(data) <= 2_000_000


@pytest.mark.parametrize("prompt", FIRST_SKETCHES, ids=ascii)
def test_a_prompt_alone_is_drawn_as_ever(prompt: str) -> None:
    assert hashlib.sha256(sketch(prompt)).hexdigest() == FIRST_SKETCHES[prompt]


def test_the_prompts_whose_bytes_are_known_are_of_all_scenes() -> None:
    scenes = set()
    for prompt in FIRST_SKETCHES:
        rng = Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 -- it has to be predictable
        choose_palette(prompt, rng)
        scenes.add(choose_scene(prompt, rng).__name__)

    assert scenes == set(SCENES)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("size", ["1024x1024", "1536x640", "640x1536"])
def test_every_scene_fills_every_size(scene: object, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixyproxy.adapters.sketch.drawing.choose_scene", lambda *_: scene)
    picture = drawn("a red lantern", size=size)

    assert f"{picture.width}x{picture.height}" == size
    assert 50_000 <= len(encoded(picture, "png")) <= 2_000_000
    assert sum(ImageStat.Stat(picture).stddev) > 40


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("size", ["16x16", "8192x16", "16x8192", "17x33"])
def test_every_scene_can_be_drawn_in_the_oddest_sizes(
    scene: object, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.adapters.sketch.drawing.choose_scene", lambda *_: scene)

    picture = drawn("a red lantern", size=size, background="transparent")
    assert f"{picture.width}x{picture.height}" == size


def test_suns_and_balls_stay_round_in_a_wide_picture() -> None:
    discs = Canvas(1200, 300).discs((0.5, 0.5, 0.25))

    assert discs.getbbox() == (525, 75, 676, 226)


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from pixyproxy.adapters.sketch.drawing import canvas_for, draw;"
        "from pixyproxy.domain.generation_request import GenerationRequest;"
        "request = GenerationRequest(prompt='a red fox', size='640x480', background='transparent');"
        "print(hashlib.sha256(draw(request, canvas_for(request)).tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    picture = drawn("a red fox", size="640x480", background="transparent")
    assert done.stdout.strip() == hashlib.sha256(picture.tobytes()).hexdigest()


@pytest.mark.parametrize("size", ["2000x2000", "8192x488"])
@pytest.mark.parametrize("prompt", ["a pine forest", "thing 5"])
def test_the_largest_sketches_take_a_few_seconds_of_cpu(prompt: str, size: str) -> None:
    start = time.thread_time()
    sketch(prompt, size=size)

    assert time.thread_time() - start < CPU_SECONDS


@pytest.mark.parametrize("options", [{"model": "sketch"}, {"size": "auto"}, {"size": "1024x1024"}, {"quality": "high"}])
def test_options_that_change_nothing_change_no_byte(options: dict[str, Any]) -> None:
    assert sketch("a red fox", **options) == sketch("a red fox")


def test_a_low_quality_has_no_grain() -> None:
    low, high = (drawn("a red fox", quality=quality) for quality in ("low", "high"))

    assert 0 < difference(low, high) < 3
    assert len(encoded(low, "png")) < len(encoded(high, "png")) / 2


def test_a_transparent_background_surrounds_what_is_drawn() -> None:
    picture = drawn("a red fox", background="transparent")
    alpha = picture.getchannel("A")

    assert [alpha.getpixel(corner) for corner in ((0, 0), (1023, 0), (0, 1023), (1023, 1023))] == [0] * 4
    assert alpha.getpixel((512, 512)) == 255
    assert 0.6 < ImageStat.Stat(alpha).mean[0] / 255 < 0.9
    assert (
        difference(picture.convert("RGB").crop((400, 400, 600, 600)), drawn("a red fox").crop((400, 400, 600, 600)))
        == 0
    )


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_a_compression_level_is_a_quality(output_format: str) -> None:
    picture = drawn("a red fox")
    sizes = [len(encoded(picture, output_format, level)) for level in (0, 1, 50, 100)]

    assert sizes[0] == sizes[1] < sizes[2] < len(encoded(picture, output_format)) < sizes[3]


def test_prompts_that_differ_a_little_look_different() -> None:
    sketches = [drawn(prompt) for prompt in ("a dragon", "a dragon!", "A dragon")]

    for number, one in enumerate(sketches):
        for other in sketches[number + 1 :]:
            assert difference(one, other) > 8


@pytest.mark.parametrize(("prompt", "channel"), [("a red hat", 0), ("an EMERALD cube", 1), ("navy", 2)])
def test_a_colour_word_decides_the_colour(prompt: str, channel: int) -> None:
    means = ImageStat.Stat(drawn(prompt)).mean

    assert means[channel] == max(means)


@pytest.mark.parametrize(
    ("prompt", "scene"), [("a pine Forest", "forest"), ("THE SEA", "sea"), ("night owls", "night")]
)
def test_a_word_of_a_scene_decides_the_scene(prompt: str, scene: str) -> None:
    assert choose_scene(prompt, seeded(1)) is SCENES[scene]


def test_a_second_colour_word_gives_the_accent() -> None:
    red, blue = (choose_palette(word, seeded(1)) for word in ("red", "blue"))

    assert choose_palette("a red house and a blue door", seeded(1)) == red._replace(accent=blue.accent)


def test_without_such_words_prompts_get_many_scenes() -> None:
    assert {choose_scene("thing", seeded(seed)).__name__ for seed in range(200)} == set(SCENES)
