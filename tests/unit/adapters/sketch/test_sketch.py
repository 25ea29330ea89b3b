import hashlib
import io
import subprocess
import sys
from random import Random

import pytest
from PIL import Image, ImageChops, ImageStat

from pixyproxy.adapters.pictures.inspection import inspect_bitmap
from pixyproxy.adapters.sketch.image_generator import draw
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import SCENES, choose_scene
from pixyproxy.domain.content import MediaType

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


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 -- it has to be predictable


def pixels(prompt: str) -> Image.Image:
    return Image.open(io.BytesIO(draw(prompt).data)).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return by how much two pictures differ on average, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: ascii(prompt[:12]))
def test_a_sketch_of_any_prompt_is_a_png_of_the_promised_size(prompt: str) -> None:
    sketch = draw(prompt)
    found = inspect_bitmap(sketch.data)

    assert (found.media_type, found.width, found.height) == (MediaType.PNG, 1024, 1024)
    assert (sketch.media_type, sketch.width, sketch.height) == (MediaType.PNG, 1024, 1024)
    assert 50_000 <= len(sketch.data) <= 2_000_000


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_every_scene_is_a_picture_of_the_promised_size(scene: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixyproxy.adapters.sketch.image_generator.choose_scene", lambda *_: scene)
    sketch = draw("a red lantern")

    assert 50_000 <= len(sketch.data) <= 2_000_000
    assert sum(ImageStat.Stat(Image.open(io.BytesIO(sketch.data))).stddev) > 40


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from pixyproxy.adapters.sketch.image_generator import draw;"
        "print(hashlib.sha256(draw('a red fox').data).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == hashlib.sha256(draw("a red fox").data).hexdigest()


def test_prompts_that_differ_a_little_look_different() -> None:
    sketches = [pixels(prompt) for prompt in ("a dragon", "a dragon!", "A dragon")]

    for number, one in enumerate(sketches):
        for other in sketches[number + 1 :]:
            assert difference(one, other) > 8


@pytest.mark.parametrize(("prompt", "channel"), [("a red hat", 0), ("an EMERALD cube", 1), ("navy", 2)])
def test_a_colour_word_decides_the_colour(prompt: str, channel: int) -> None:
    means = ImageStat.Stat(pixels(prompt)).mean

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
