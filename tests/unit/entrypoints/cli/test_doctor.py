"""`pixyproxy doctor`: its output, its repairs and its exit status."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result

from pixyproxy.application.check_consistency import FindingKind
from pixyproxy.domain.content import ContentKey, partial_key_of
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import GeneratedImage
from pixyproxy.domain.variant import VariantName
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.doctor import DESCRIPTIONS, EXAMPLES_MAX_COUNT
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.factories import ContentInfoFactory, FailedImageFactory, ImageFactory, UnknownImageFactory

Run = Callable[[Callable[[Container], Awaitable[object]]], None]

ORPHAN = ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environment = {
        "PIXYPROXY_DATABASE_URL": f"sqlite:///{tmp_path}/pixyproxy.db",
        "PIXYPROXY_CONTENT_URL": f"file:{tmp_path}/images",
        "PIXYPROXY_GENERATOR": "sketch",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run some work with the parts that the command will use."""

    async def session(work: Callable[[Container], Awaitable[object]]) -> None:
        async with opened(Container(settings=load_settings(environment))) as container:
            await ensure_schema(container)
            await work(container)

    return lambda work: asyncio.run(session(work))


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments], terminal_width=200, env={"COLUMNS": "200"})


def rows(result: Result) -> list[list[str]]:
    """Return the words of every line that begins with the name of a finding."""
    return [line.split() for line in result.stdout.splitlines() if line.split(" ")[0] in DESCRIPTIONS]


async def put(container: Container, key: ContentKey, data: bytes = b"bytes") -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await container.contents().put(key, chunks())


async def put_quarantined(container: Container, key: ContentKey, data: bytes = b"no picture") -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await container.contents().put_quarantined(key, chunks())


async def draw(container: Container) -> bytes:
    generated: GeneratedImage = await container.generator().generate(GenerationRequest(prompt="a lighthouse"))
    return generated.data


async def keep(container: Container) -> None:
    """Add an image that nothing is wrong with."""
    data = await draw(container)
    image = ImageFactory.build(
        content=ContentInfoFactory.build(byte_size=len(data), sha256=hashlib.sha256(data).hexdigest())
    )
    await container.images().add(image)
    await put(container, image.content_key, data)


def test_every_finding_has_a_meaning() -> None:
    assert list(DESCRIPTIONS) == list(FindingKind)


def test_an_empty_service_is_well() -> None:
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "0 images and 0 contents checked: nothing is wrong.\n"


def test_images_with_their_contents_are_well(run: Run) -> None:
    run(keep)
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "1 images and 1 contents checked: nothing is wrong.\n"


def test_findings_that_can_not_be_repaired_are_shown_each_time_with_exit_status_1(run: Run) -> None:
    image = ImageFactory.build()
    run(lambda container: container.images().add(image))
    for options in ([], ["--repair"], ["--no-digests"]):
        result = doctor(*options)
        assert result.exit_code == 1
        row, example = rows(result)
        assert row == ["content-missing", "1", "0", *DESCRIPTIONS["content-missing"].split()]
        assert example == ["content-missing", str(image.guid)]
        assert result.stdout.endswith("\n1 images and 0 contents checked: 1 wrong, 1 not repaired.\n")


def test_repair_quarantines_an_orphan_and_then_all_is_well(run: Run, tmp_path: Path) -> None:
    run(lambda container: put(container, ORPHAN))
    assert doctor().exit_code == 1
    repaired = doctor("--repair")
    assert repaired.exit_code == 0
    row, example = rows(repaired)
    assert row[:3] == ["content-without-image", "1", "1"]
    assert example == ["content-without-image", ORPHAN, "(repaired)"]
    assert repaired.stdout.endswith("\n0 images and 1 contents checked: 1 wrong, 0 not repaired.\n")
    assert (tmp_path / "images" / "set-aside" / ORPHAN).read_bytes() == b"bytes"
    again = doctor()
    assert again.exit_code == 0
    assert f"In quarantine: 1\n{ORPHAN}  5 bytes, no image\n" in again.stdout
    assert again.stdout.endswith("\n0 images and 0 contents checked: nothing is wrong.\n")


def test_repair_deletes_variants_of_an_image_that_is_no_more(run: Run, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"variant"

    run(lambda container: container.contents().put_variant(ORPHAN, VariantName("320x.webp"), chunks()))
    assert doctor().exit_code == 1
    repaired = doctor("--repair")
    assert repaired.exit_code == 0
    row, example = rows(repaired)
    assert row[:3] == ["stray-variants", "1", "1"]
    assert example == ["stray-variants", ORPHAN, "(repaired)"]
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []
    assert doctor().exit_code == 0


def test_repair_deletes_partial_images_of_an_image_that_is_no_more(run: Run, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"picture"

    name = partial_key_of(UUID(ORPHAN), 1)
    run(lambda container: container.partial_contents().put(name, chunks()))
    assert doctor().exit_code == 1
    repaired = doctor("--repair")
    assert repaired.exit_code == 0
    row, example = rows(repaired)
    assert row[:3] == ["stray-partials", "1", "1"]
    assert example == ["stray-partials", name, "(repaired)"]
    assert [path for path in (tmp_path / "images" / "partials").glob("??/??/*") if path.is_file()] == []
    assert doctor().stdout == "0 images and 0 contents checked: nothing is wrong.\n"


def test_repair_deletes_broken_uploads_of_partial_images_and_all_others(run: Run, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"picture"

    async def keep_all(container: Container) -> None:
        for name in names:
            await container.partial_contents().put(name, chunks())

    names = [partial_key_of(uuid4(), 1) for _ in range(3)]
    run(keep_all)
    folder = tmp_path / "images" / "partials"
    # In the order of names it is in the midst.
    upload = folder / "incoming" / f"{sorted(names)[1]}.38c0a0bbb9e64386"
    upload.write_bytes(b"half")
    os.utime(upload, (0, 0))

    repaired = doctor("--repair")

    assert repaired.exit_code == 0
    assert rows(repaired)[0][:3] == ["stray-partials", "4", "4"]
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_repair_makes_an_unknown_image_ready(run: Run) -> None:
    unknown = UnknownImageFactory.build()
    seen: list[Image] = []

    async def lose(container: Container) -> None:
        await container.images().add(unknown)
        await put(container, unknown.content_key, await draw(container))

    async def look(container: Container) -> None:
        seen.append(await container.images().get(unknown.guid))

    run(lose)
    assert doctor("--repair").exit_code == 0
    run(look)
    assert seen[0].status is ImageStatus.READY
    assert doctor().exit_code == 0


def test_digests_are_compared_unless_that_is_not_wanted(run: Run, tmp_path: Path) -> None:
    run(keep)
    (path,) = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    result = doctor()
    assert (result.exit_code, rows(result)[0][:3]) == (1, ["digest-differs", "1", "0"])
    assert doctor("--no-digests").exit_code == 0


def test_a_few_examples_are_shown_of_many_and_those_that_need_attention_come_first(run: Run) -> None:
    image = ImageFactory.build()

    async def lose(container: Container) -> None:
        await container.images().add(image)
        for number in range(EXAMPLES_MAX_COUNT + 5):
            await put(container, ContentKey(f"00000000-{number:04}"))

    run(lose)
    result = doctor("--repair")
    first, *others = rows(result)[2:]
    assert first == ["content-missing", str(image.guid)]
    assert [words[-1] for words in others] == ["(repaired)"] * (EXAMPLES_MAX_COUNT - 1)
    assert "\nand 6 more\n" in result.stdout
    assert result.stdout.endswith("\n1 images and 25 contents checked: 26 wrong, 1 not repaired.\n")


def test_a_name_that_would_steer_the_terminal_is_shown_escaped(tmp_path: Path) -> None:
    doctor()
    orphan = tmp_path / "images" / "incoming" / "\x1b[2J\udcff"
    orphan.touch()
    os.utime(orphan, (0, 0))
    result = doctor("--repair")
    assert result.exit_code == 0
    assert r"leftover                \x1b[2J\udcff  (repaired)" in result.stdout
    assert not orphan.exists()


def test_a_database_that_does_not_answer_is_one_line_and_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/folder")
    result = doctor()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_quarantined_items_are_listed_with_the_reason_and_are_no_finding(run: Run) -> None:
    image = FailedImageFactory.build(
        failure=Failure(kind="GenerationFailedError", detail="No picture.\n\x1b[2J", maybe_billed=True)
    )
    run(lambda container: container.images().add(image))
    run(lambda container: put_quarantined(container, image.content_key))
    for options in ([], ["--repair"]):
        result = doctor(*options)
        assert result.exit_code == 0
        line = rf"{image.guid}  10 bytes, failed: GenerationFailedError, No picture.\n\x1b[2J"
        assert f"In quarantine: 1\n{line}\n" in result.stdout
        assert result.stdout.endswith("\n1 images and 0 contents checked: nothing is wrong.\n")


def test_repair_makes_an_image_ready_whose_quarantine_is_a_picture_by_now(run: Run, tmp_path: Path) -> None:
    image = FailedImageFactory.build()
    seen: list[Image] = []

    async def lose(container: Container) -> None:
        await container.images().add(image)
        await put_quarantined(container, image.content_key, await draw(container))

    async def look(container: Container) -> None:
        seen.append(await container.images().get(image.guid))

    run(lose)
    assert doctor().exit_code == 0
    repaired = doctor("--repair")
    assert repaired.exit_code == 0
    assert "In quarantine: 1, 1 of them ready now\n" in repaired.stdout
    assert f"{image.guid}  " in repaired.stdout
    run(look)
    assert (seen[0].status, seen[0].failure) == (ImageStatus.READY, None)
    assert list((tmp_path / "images" / "set-aside").iterdir()) == []
    assert doctor().stdout == "1 images and 1 contents checked: nothing is wrong.\n"


def test_of_much_in_quarantine_a_part_is_shown(run: Run) -> None:
    async def fill(container: Container) -> None:
        for _ in range(EXAMPLES_MAX_COUNT + 3):
            await put_quarantined(container, ORPHAN)

    run(fill)
    result = doctor()
    assert f"In quarantine: {EXAMPLES_MAX_COUNT + 3}\n" in result.stdout
    assert "\nand 3 more\n" in result.stdout


class TestExportQuarantine:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "new" / "copies"

    @pytest.fixture(autouse=True)
    def _one(self, run: Run) -> None:
        run(lambda container: put_quarantined(container, ORPHAN))

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_it_is_copied_for_its_owner_alone_and_stays(self, folder: Path, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            result = doctor("--export-quarantine", str(folder))
        finally:
            os.umask(before)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("Copied from quarantine: 1, not copied: 0.\n")
        assert (folder / ORPHAN).read_bytes() == b"no picture"
        assert stat.S_IMODE((folder / ORPHAN).stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (tmp_path / "images" / "set-aside" / ORPHAN).read_bytes() == b"no picture"

    @pytest.mark.parametrize("kind", ["file", "link", "fifo"])
    def test_nothing_is_overwritten_and_no_link_is_followed(self, folder: Path, tmp_path: Path, kind: str) -> None:
        folder.mkdir(parents=True)
        other = tmp_path / "other"
        other.write_bytes(b"other")
        if kind == "file":
            (folder / ORPHAN).write_bytes(b"mine")
        elif kind == "link":
            (folder / ORPHAN).symlink_to(other)
        else:
            os.mkfifo(folder / ORPHAN)
        result = doctor("--export-quarantine", str(folder))
        assert result.exit_code == 1
        assert f"{ORPHAN} exists already and was not overwritten.\n" in result.stderr
        assert "not copied: 1." in result.stdout
        assert other.read_bytes() == b"other"
        assert kind != "file" or (folder / ORPHAN).read_bytes() == b"mine"

    def test_a_link_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        result = doctor("--export-quarantine", str(tmp_path / "link"))
        assert result.exit_code == 1
        assert "it is a link" in result.stderr
        assert list((tmp_path / "real").iterdir()) == []

    def test_a_folder_that_others_can_write_to_is_named(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        result = doctor("--export-quarantine", str(folder))
        assert result.exit_code == 0
        assert "Others can write to this folder" in result.stderr
        assert stat.S_IMODE((folder / ORPHAN).stat().st_mode) == 0o600

    def test_it_is_copied_before_anything_is_repaired(self, run: Run, folder: Path) -> None:
        image = FailedImageFactory.build()

        async def lose(container: Container) -> None:
            await container.images().add(image)
            await put_quarantined(container, image.content_key, await draw(container))

        run(lose)
        result = doctor("--repair", "--export-quarantine", str(folder))
        assert result.exit_code == 0
        assert (folder / image.content_key).exists()
        assert "1 of them ready now" in result.stdout
