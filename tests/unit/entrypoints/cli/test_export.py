"""`pixyproxy export` and `pixyproxy import`: their output, their files and their exit status."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from click.testing import CliRunner, Result

from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.factories import FailedImageFactory, GeneratingImageFactory, ImageFactory

Run = Callable[[Callable[[Container], Awaitable[Any]]], Any]

NOTHING_EXPORTED = "0 images exported, 0 there already, 0 still being made and left out, 0 not exported.\n"
NOTHING_IMPORTED = "0 images imported, 0 there already, 0 given their missing content, 0 not taken.\n"


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    """Let the commands use the database and the folder of this name from now on."""

    def use(name: str) -> Run:
        environment = {
            "PIXYPROXY_DATABASE_URL": f"sqlite:///{tmp_path}/{name}.db",
            "PIXYPROXY_CONTENT_URL": f"file:{tmp_path}/{name}",
            "PIXYPROXY_GENERATOR": "sketch",
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)

        async def session(work: Callable[[Container], Awaitable[Any]]) -> Any:
            async with opened(Container(settings=load_settings(environment))) as container:
                await ensure_schema(container)
                return await work(container)

        return lambda work: asyncio.run(session(work))

    return use


@pytest.fixture(autouse=True)
def run(use: Callable[[str], Run]) -> Run:
    """Run some work with the parts that the commands use from the start."""
    return use("source")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


async def keep(container: Container, author: str = "ann") -> Image:
    """Add an image that nothing is wrong with."""
    data = (await container.generator().generate(GenerationRequest(prompt="a lighthouse"))).data

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    info = await container.inspector().inspect(StoredContent(len(data), chunks()))
    image: Image = ImageFactory.build(content=info, author=author)
    await container.contents().put(image.content_key, chunks())
    await container.images().add(image)
    return image


async def stored(container: Container) -> dict[UUID, tuple[Image, bytes]]:
    contents = container.contents()
    return {
        image.guid: (
            msgspec.structs.replace(image, id=None),
            b"".join([chunk async for chunk in (await contents.open(image.content_key)).chunks]),
        )
        for image in await container.images().scan(limit=100)
    }


def test_an_empty_service_has_nothing_to_export(folder: Path) -> None:
    result = invoke("export", str(folder))
    assert (result.exit_code, result.stdout, result.stderr) == (0, NOTHING_EXPORTED, "")
    assert list(folder.iterdir()) == []
    assert invoke("import", str(folder)).stdout == NOTHING_IMPORTED


def test_an_export_to_a_folder_is_imported_and_both_may_be_repeated(
    run: Run, use: Callable[[str], Run], folder: Path
) -> None:
    run(keep)
    run(keep)
    first, second = invoke("export", str(folder)), invoke("export", str(folder))
    assert (first.exit_code, first.stdout) == (0, NOTHING_EXPORTED.replace("0 images", "2 images"))
    assert (second.exit_code, second.stdout) == (0, NOTHING_EXPORTED.replace("0 there", "2 there"))
    elsewhere = use("elsewhere")
    first, second = invoke("import", str(folder)), invoke("import", str(folder))
    assert (first.exit_code, first.stdout) == (0, NOTHING_IMPORTED.replace("0 images", "2 images"))
    assert (second.exit_code, second.stdout) == (0, NOTHING_IMPORTED.replace("0 there", "2 there"))
    assert first.stderr == second.stderr == ""
    assert elsewhere(stored) == run(stored)


def test_a_tar_goes_to_the_standard_output_and_the_summary_does_not(
    run: Run, use: Callable[[str], Run], tmp_path: Path
) -> None:
    image = run(keep)
    result = invoke("export", "-")
    assert (result.exit_code, result.stderr) == (0, NOTHING_EXPORTED.replace("0 images", "1 images"))
    name = f"{str(image.guid)[:2]}/{image.guid}"
    with tarfile.open(fileobj=io.BytesIO(result.stdout_bytes)) as tar:
        assert tar.getnames() == [f"{name}.json", f"{name}{image.ready_content.media_type.extension}"]
    (tmp_path / "archive.tar").write_bytes(result.stdout_bytes)
    for arguments, stdin in ((["-"], result.stdout_bytes), ([str(tmp_path / "archive.tar")], None)):
        elsewhere = use(f"elsewhere-{len(arguments[0])}")
        imported = invoke("import", *arguments, stdin=stdin)
        assert (imported.exit_code, imported.stdout) == (0, NOTHING_IMPORTED.replace("0 images", "1 images"))
        assert elsewhere(stored) == run(stored)


def test_one_users_images_alone_may_be_exported(run: Run, folder: Path) -> None:
    wanted = run(keep)
    run(lambda container: keep(container, author="bob"))
    assert invoke("export", str(folder), "--author", "ann").stdout.startswith("1 images exported, 0 there")
    assert [path.stem for path in folder.rglob("*.json")] == [str(wanted.guid)]


def test_a_user_name_that_can_not_be_is_an_error(folder: Path) -> None:
    result = invoke("export", str(folder), "--author", "a:b")
    assert (result.exit_code, result.stderr) == (1, "Error: name must not contain a colon.\n")
    assert not folder.exists()


def test_images_that_are_being_made_are_counted(run: Run, folder: Path) -> None:
    run(lambda container: container.images().add(GeneratingImageFactory.build()))
    result = invoke("export", str(folder))
    assert (result.exit_code, result.stdout) == (0, NOTHING_EXPORTED.replace("0 still", "1 still"))


def test_content_that_is_missing_is_reported_with_exit_status_1_and_the_others_are_exported(
    run: Run, folder: Path
) -> None:
    run(keep)
    image = ImageFactory.build()
    run(lambda container: container.images().add(image))
    result = invoke("export", str(folder))
    assert result.exit_code == 1
    assert result.stderr == f"{image.guid}: The content is missing.\n"
    assert result.stdout == NOTHING_EXPORTED.replace("0 images", "1 images").replace("0 not", "1 not")
    assert len(list(folder.rglob("*.json"))) == 1


def test_a_damaged_picture_is_reported_with_exit_status_1_and_the_others_are_imported(
    run: Run, use: Callable[[str], Run], folder: Path
) -> None:
    kept, broken = run(keep), run(keep)
    invoke("export", str(folder))
    (picture,) = [path for path in folder.rglob(f"{broken.guid}.*") if path.suffix != ".json"]
    data = bytearray(picture.read_bytes())
    data[len(data) // 2] ^= 1
    picture.write_bytes(data)
    elsewhere = use("elsewhere")
    result = invoke("import", str(folder))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{broken.guid}: ")
    assert result.stdout == NOTHING_IMPORTED.replace("0 images", "1 images").replace("0 not", "1 not")
    assert set(elsewhere(stored)) == {kept.guid}


def test_an_image_that_differs_is_reported_with_exit_status_1_and_left_alone(run: Run, folder: Path) -> None:
    image = run(keep)
    invoke("export", str(folder))
    changed = msgspec.structs.replace(image, filename="renamed.png", version=image.version + 1)
    run(lambda container: container.images().change(changed, expected_version=image.version))
    result = invoke("import", str(folder))
    assert result.exit_code == 1
    assert result.stderr == f"{image.guid}: The image is stored already, and differs; it was left as it is.\n"
    assert run(stored)[image.guid][0] == changed


def test_a_name_that_would_steer_the_terminal_is_shown_escaped_on_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "\x1b[2J\udcff[red]\n:smile:").touch()
    result = invoke("import", str(folder))
    assert result.exit_code == 1
    assert result.stderr == r"\x1b[2J\udcff[red]\n:smile:: It is no folder of images." + "\n"


def test_a_field_that_would_steer_the_terminal_is_shown_escaped(run: Run, folder: Path) -> None:
    image = FailedImageFactory.build()
    run(lambda container: container.images().add(image))
    invoke("export", str(folder))
    (record,) = folder.rglob("*.json")
    record.write_text(record.read_text().replace('"prompt"', r'"\u001b[2J"'))
    result = invoke("import", str(folder))
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr


def test_a_reference_that_is_refused_leaves_nothing(run: Run) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"references/{'0' * 64}.png"))
    result = invoke("import", "-", stdin=tar.getvalue())
    assert result.exit_code == 1
    assert result.stderr.startswith("0" * 64)
    assert run(lambda container: container.images().scan_uploads(limit=10)) == []


def test_a_tar_that_breaks_off_says_how_to_go_on(run: Run, use: Callable[[str], Run]) -> None:
    for _ in range(2):
        run(keep)
    tar = invoke("export", "-").stdout_bytes
    use("elsewhere")
    result = invoke("import", "-", stdin=tar[:-20_000])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Stopped after 1 images. Run the same command again to continue.\n"
        "Error: The archive breaks off before its end.\n"
    )
    assert invoke("import", "-", stdin=tar).stdout.startswith("1 images imported, 1 there already, ")


@pytest.mark.parametrize("command", ["export", "import"])
def test_a_terminal_neither_gets_nor_gives_a_tar(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(Terminal())
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdin" if command == "import" else "sys.stdout", terminal)
        with pytest.raises(Exception, match="terminal") as refusal:
            main([command, "-"], standalone_mode=False)
    assert type(refusal.value).__name__ == "UsageError"


@pytest.mark.parametrize("arguments", [["import", "nothing"], ["export", __file__], ["export"], ["import"]])
def test_contradictory_options_are_a_usage_error(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_a_file_that_is_no_tar_is_one_line_and_exit_status_1() -> None:
    result = invoke("import", __file__)
    assert result.exit_code == 1
    assert result.stderr.endswith("\nError: The archive is no tar, or is damaged from here on.\n")


def test_a_fault_of_the_archives_own_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: TarImageArchiveReader) -> AsyncIterator[Any]:
        raise AssertionError
        yield

    monkeypatch.setattr(TarImageArchiveReader, "items", fail)
    assert isinstance(invoke("import", "-", stdin=b"").exception, AssertionError)


def test_quarantined_items_are_counted_and_left_out(run: Run, folder: Path) -> None:
    async def fail(container: Container) -> None:
        image = FailedImageFactory.build()
        await container.images().add(image)

        async def chunks() -> AsyncIterator[bytes]:
            yield b"no picture"

        await container.contents().put_quarantined(image.content_key, chunks())

    run(fail)
    result = invoke("export", str(folder))
    summary = NOTHING_EXPORTED.replace("0 images", "1 images").rstrip()
    assert (result.exit_code, result.stdout) == (0, f"{summary} In quarantine and left out: 1.\n")
    assert [path.suffix for path in folder.rglob("*.*")] == [".json"]


def test_a_folder_that_others_can_write_to_is_named_and_is_no_failure(run: Run, folder: Path) -> None:
    run(keep)
    folder.mkdir()
    folder.chmod(0o777)
    result = invoke("export", str(folder))
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert result.stderr.startswith(f"{folder}: Others may write to this folder")


def test_a_folder_that_is_a_link_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    run(keep)
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    result = invoke("export", str(folder))
    assert result.exit_code == 1
    assert "links are not followed" in result.stderr
    assert list((tmp_path / "real").iterdir()) == []
