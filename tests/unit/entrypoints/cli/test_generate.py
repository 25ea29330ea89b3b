"""`pixyproxy generate`: its options, output, files and exit status."""

import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from dependency_injector import providers
from PIL import Image
from rich.console import Console

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator, Script
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.errors import DBConnectionError, GenerationFailedError, GenerationRefusedError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image as Record
from pixyproxy.domain.image import ImageStatus, Visibility
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.generation import GenerationProgress, ImageCreation
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import load_settings
from tests.doubles.container import in_memory_container
from tests.factories import GeneratingImageFactory
from tests.odd_pictures import encoded, gradient

UNKNOWN: Final = "0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands use a new database, and the folder of the test as working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", "sqlite:///images.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", "file:images")
    monkeypatch.setenv("PIXYPROXY_GENERATOR", "sketch")


@pytest.fixture
def generator() -> Iterator[InMemoryImageGenerator]:
    """Let the commands use this generator."""
    made = InMemoryImageGenerator()
    with Container.generator.override(providers.Object(made)):
        yield made


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


def test_an_image_of_a_process_that_has_crashed_does_not_hold_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OPENAI_CONCURRENCY": "1", "LEASE": "0.5", "MAX_WAIT": "10"}.items():
        monkeypatch.setenv(f"PIXYPROXY_{name}", value)
    first = details(generate("--size", "64x64"))
    with closing(sqlite3.connect("images.db")) as database, database:
        database.execute(
            "UPDATE images SET status = 'generating', media_type = NULL, byte_size = NULL, sha256 = NULL, width = NULL,"
            " height = NULL, result = NULL, lease_owner = 'a process that died', limited_by = 'sketch'"
        )

    second = details(generate("--size", "64x64"))

    assert (first["status"], second["status"], stored()) == ("ready", "ready", 2)


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


def test_a_batch_is_an_array_and_a_file_for_each() -> None:
    printed = details(generate("-n", "3", "--size", "32x32", "--out", "fox-{n}.png"))

    assert [detail["status"] for detail in printed] == ["ready"] * 3
    assert len({detail["batch"] for detail in printed}) == 1
    assert len({detail["guid"] for detail in printed}) == stored() == 3
    for number, detail in enumerate(printed, 1):
        content = Path(f"fox-{number}.png").read_bytes()
        assert hashlib.sha256(content).hexdigest() == detail["sha256"]


def test_one_image_is_one_object_and_its_number_is_1() -> None:
    detail = details(generate("-n", "1", "--size", "32x32", "--out", "fox-{n}.png.{m}"))

    assert detail["batch"] is None
    assert Path("fox-1.png.{m}").is_file()


def test_failed_images_of_a_batch_are_reported_and_the_others_written(generator: InMemoryImageGenerator) -> None:
    refusal = GenerationRefusedError("No foxes today.", maybe_billed=False)
    generator.script(Script(), Script(error=refusal, delay=0.05), Script())
    result = generate("-n", "3", "--out", "fox-{n}.png")
    printed = json.loads(result.stdout)

    assert result.exit_code == 1
    (failed,) = [number for number, detail in enumerate(printed, 1) if detail["status"] == "failed"]
    assert result.stderr == f"Error: image {failed} of 3: No foxes today.\n"
    assert printed[failed - 1]["problem"]["detail"] == "No foxes today."
    assert sorted(path.name for path in Path().glob("fox-*")) == [f"fox-{n}.png" for n in (1, 2, 3) if n != failed]


def test_when_all_images_of_a_batch_fail_the_exit_status_says_so(generator: InMemoryImageGenerator) -> None:
    generator.fail_next(*(GenerationFailedError("It broke.", maybe_billed=True) for _ in range(2)))
    result = generate("-n", "2", "--out", "fox-{n}.png")

    assert result.exit_code == 1
    assert "It broke." in result.stderr
    assert list(Path().glob("fox-*")) == []


def test_a_single_image_that_fails_is_one_line(generator: InMemoryImageGenerator) -> None:
    generator.fail_next(GenerationFailedError("It broke.", maybe_billed=True))
    result = generate("--out", "fox.png")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: It broke.\n")
    assert not Path("fox.png").exists()


def test_an_image_that_is_not_ready_in_time_is_reported(
    generator: InMemoryImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXYPROXY_MAX_WAIT", "1")
    generator.script(Script(), Script(delay=1.5))
    result = generate("-n", "2", "--out", "fox-{n}.png")

    assert result.exit_code == 1
    assert "of 2: The image is still being made." in result.stderr
    assert len(list(Path().glob("fox-*"))) == 1


@pytest.mark.parametrize("count", ["0", "11", "-1"])
def test_a_batch_has_1_to_10_images(count: str) -> None:
    result = generate("-n", count)

    assert (result.exit_code, result.stderr) == (1, "Error: n must be 1 to 10.\n")
    assert stored() == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["-n", "2", "--out", "fox.png"], 2, "--out needs {n}, the number of the image, for more than one"),
        (["-n", "two"], 2, "is not a valid integer"),
        (["--out", "missing/fox.png"], 1, "can't write to missing/fox.png."),
        (["--out", "folder"], 1, "can't write to folder."),
        (["-n", "2", "--out", "{n}/fox.png"], 1, "can't write to 2/fox.png."),
        (["--save-partials", "file"], 2, "'file' is a file."),
        (["--save-partials", "file/way"], 1, "can't make the folder file/way: Not a directory."),
        (["--reference", "missing.png"], 2, "'missing.png' does not exist."),
        (["--reference", "folder"], 2, "'folder' is a directory."),
        (
            ["--reference", "file"],
            1,
            "references[0] can't be used: The file is none of PNG, JPEG and WebP.\n",
        ),
        (["--reference", "empty"], 1, "references[0] must not be an empty file."),
        (["--reference", "fox.png", "--reference", "file"], 1, "references[1] can't be used"),
        (["--reference", UNKNOWN], 1, "references[0]"),
        (["--mask", "fox.png"], 1, "mask"),
        (["--reference", "fox.png", "--mask", "fox.png"], 1, "mask"),
        (["--reference", "fox.png"] * 17, 1, "references must be at most 16, not 17."),
        (["--reference", "fox.png", "--size", "big"], 1, "size must be"),
        (["--partial-images", "4"], 1, "partial_images must be 0 to 3, not 4."),
        (["--input-fidelity", "high"], 1, "input_fidelity needs a reference."),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_costs_nothing_and_leaves_nothing(arguments: Sequence[str], exit_code: int, message: str) -> None:
    for folder in ("folder", "1"):
        Path(folder).mkdir()
    Path("file").write_text("no picture")
    Path("empty").touch()
    Path("fox.png").write_bytes(encoded(gradient(), "png"))
    result = generate(*arguments)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert stored() == 0
    assert [path for path in Path("images").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("out", ["fox.png", "fox-{n}.png"])
def test_a_file_that_can_not_be_written_is_found_out_before_anything_is_made(out: str) -> None:
    Path(out.replace("{n}", "2")).mkdir()
    result = generate("-n", "2" if "{n}" in out else "1", "--out", out)

    assert result.exit_code == 1
    assert "can't write to" in result.stderr
    assert stored() == 0


def test_files_are_references_and_a_mask() -> None:
    first = gradient(64, 48)
    Path("first.png").write_bytes(encoded(first, "png"))
    Path("second.jpg").write_bytes(encoded(gradient(30, 90), "jpeg"))
    Path("mask.png").write_bytes(encoded(Image.new("RGBA", (64, 48), (0, 0, 0, 255)), "png"))
    detail = details(
        generate("--reference", "first.png", "--reference", "second.jpg", "--mask", "mask.png", "--out", "edit.png")
    )

    assert [reference["filename"] for reference in detail["references"]] == ["first.png", "second.jpg"]
    assert detail["mask"]["filename"] == "mask.png"
    with Image.open("edit.png") as edit:
        assert edit.convert("RGB").tobytes() == first.tobytes()


def test_a_guid_is_a_reference_to_an_image() -> None:
    parent = details(generate("--size", "32x32"))
    child = details(generate("--reference", parent["guid"]))

    assert [reference["guid"] for reference in child["references"]] == [parent["guid"]]
    assert (child["width"], child["height"]) == (32, 32)


def test_a_private_image_is_a_reference_for_its_author_only() -> None:
    CliRunner().invoke(main, ["users", "add", "ann", "--password-stdin"], input="long enough\n")
    parent = details(generate("--size", "32x32", "--author", "ann", "--private"))

    assert details(generate("--author", "ann", "--reference", parent["guid"]))["references"]
    result = generate("--reference", parent["guid"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert stored() == 2


def test_partial_images_are_saved() -> None:
    detail = details(generate("--size", "32x32", "--save-partials", "on/the/way", "--partial-images", "2"))

    assert detail["request"]["partial_images"] == 2
    names = sorted(path.name for path in Path("on/the/way").iterdir())
    assert names == [f"{detail['guid']}-1.png", f"{detail['guid']}-2.png"]
    for name in names:
        with Image.open(f"on/the/way/{name}") as picture:
            assert picture.size == (32, 32)


def test_partial_images_to_be_saved_are_three_for_each_image(generator: InMemoryImageGenerator) -> None:
    printed = details(generate("-n", "2", "--save-partials", "."))

    assert {request.partial_images for request in generator.requests} == {3}
    expected = {f"{detail['guid']}-{number}.png" for detail in printed for number in (1, 2, 3)}
    assert {path.name for path in Path().glob("*-*-*.png")} == expected


class FlakyImageRepository(InMemoryImageRepository):
    """Does not answer the first questions about images that are being generated."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 2

    async def get(self, guid: UUID) -> Record:
        image = await super().get(guid)
        if image.status is ImageStatus.GENERATING and self.refusals:
            self.refusals -= 1
            raise DBConnectionError("The database does not answer.")
        return image


async def test_a_database_that_is_away_for_a_moment_does_not_cost_the_image() -> None:
    container = in_memory_container(load_settings({}))
    images = FlakyImageRepository()
    container.images.override(providers.Object(images))
    generator = container.generator()
    generator.script(Script(delay=0.3))
    with GenerationProgress(Console(file=io.StringIO())) as progress:
        created = await ImageCreation(container=container, progress=progress)(
            GenerationRequest(prompt="a red fox"),
            2,
            references=(),
            mask=None,
            tags=(),
            visibility=Visibility.PUBLIC,
            principal=ANONYMOUS,
        )

    assert images.refusals == 0
    assert [image.status for image in created] == [ImageStatus.READY] * 2


def test_a_bar_shows_how_far_each_image_is() -> None:
    output = io.StringIO()
    terminal = Console(file=output, force_terminal=True, width=100, color_system=None)
    request = GenerationRequest(prompt="a fox", partial_images=3)
    image = GeneratingImageFactory.build(request=request, batch=BatchPlace(guid=uuid4(), position=1, size=3))
    with GenerationProgress(terminal) as progress:
        progress.show(image)
        progress.show_partial(image, 1)
        (task,) = progress._progress.tasks
        assert (task.description, task.completed, task.total) == ("image 2 of 3: generating", 2, 4)
    assert "image 2 of 3: generating" in output.getvalue()


def test_there_is_no_bar_except_on_a_terminal() -> None:
    output = io.StringIO()
    with GenerationProgress(Console(file=output)) as progress:
        progress.show(GeneratingImageFactory.build())
    assert output.getvalue() == ""
