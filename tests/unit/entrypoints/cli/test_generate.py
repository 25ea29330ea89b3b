"""`pixyproxy generate`: its options, output, files and exit status."""

import hashlib
import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pixyproxy.entrypoints.cli import main


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands use a new database, and the folder of the test as working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", "sqlite:///images.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", "file:images")
    monkeypatch.setenv("PIXYPROXY_GENERATOR", "sketch")


def generate(*arguments: str, prompt: str = "a red fox") -> Result:
    return CliRunner().invoke(main, ["generate", prompt, *arguments])


def details(result: Result) -> Any:
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def stored() -> int:
    """Return the number of images in the database."""
    if not Path("images.db").exists():
        return 0
    with closing(sqlite3.connect("images.db")) as database:
        return int(database.execute("SELECT COUNT(*) FROM images").fetchone()[0])


def test_an_image_is_kept_printed_and_written() -> None:
    detail = details(generate("--out", "fox.png"))

    content = Path("fox.png").read_bytes()
    assert hashlib.sha256(content).hexdigest() == detail["sha256"]
    assert Image.open(io.BytesIO(content)).size == (detail["width"], detail["height"]) == (1024, 1024)
    assert stored() == 1


def test_options_are_those_of_the_request() -> None:
    detail = details(
        generate(
            *("--model", "sketch", "--size", "320x200", "--quality", "low", "--background", "opaque"),
            *("--output-format", "webp", "--output-compression", "40", "--out", "fox.bin"),
        )
    )

    asked = {name: value for name, value in detail["request"].items() if value is not None}
    assert asked == {
        "model": "sketch",
        "size": "320x200",
        "quality": "low",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 40,
    }
    with Image.open("fox.bin") as picture:
        assert picture.format == "WEBP"
    assert (detail["media_type"], detail["width"], detail["height"]) == ("image/webp", 320, 200)
    assert detail["result"]["size"] == "320x200"


def test_the_details_are_those_for_the_operator() -> None:
    assert {"request", "references", "mask", "result"} <= set(details(generate("--size", "64x64")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "big"], "Error: size must be auto, or width and height such as 1536x1024"),
        (["--size", "4000x4000"], "Error: size must be auto or a size with sides of 16 to 8,192 pixels"),
        (["--model", "dall-e-3"], "Error: model must be sketch."),
        (["--quality", "best"], "Error: quality must be auto, low, medium or high for sketch."),
        (["--background", "transparent", "--output-format", "jpeg"], "Error: background can be transparent only in"),
        (["--output-compression", "50"], "Error: output_compression is only for the output formats jpeg or webp"),
        (["--output-format", "tiff"], "Error: output_format must be png, jpeg, webp, gif or svg."),
        (["--moderation", "low"], "Error: moderation is not taken by sketch."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_one_line_and_nothing_is_made(arguments: Sequence[str], message: str) -> None:
    result = generate(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert stored() == 0
