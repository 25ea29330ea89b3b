"""`pixyproxy content copy`: its output, its exit status, and what it refuses."""

import asyncio
import hashlib
import importlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.domain.reference import upload_key_of
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.container import UPLOADS
from tests.contents import KEY, OTHER_KEY, in_chunks, keys_in, put, read

UPLOAD = upload_key_of(hashlib.sha256(b"upload").hexdigest())


def copy(source: object, target: object, *options: str) -> Result:
    return CliRunner().invoke(
        main,
        ["content", "copy", "--from", f"file:{source}", "--to", f"file:{target}", *options],
        terminal_width=200,
        env={"COLUMNS": "200"},
    )


def summary(result: Result) -> str:
    """Return the last line without the rate."""
    return re.sub(r", [\d.]+ \w+/s\)", ")", result.stdout)


async def make_store(folder: Path) -> FilesystemContentStore:
    store = FilesystemContentStore(folder)
    await store.prepare()
    return store


async def fill(folder: Path) -> None:
    store, uploads = await make_store(folder), await make_store(folder / UPLOADS)
    await put(store, b"content")
    await put(store, b"other", OTHER_KEY)
    await store.put_quarantined(KEY, in_chunks(b"no picture"))
    await uploads.put(UPLOAD, in_chunks(b"upload"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A content store with two contents, an item in quarantine and an upload: 28 bytes."""
    folder = tmp_path / "source"
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


async def content_of(folder: Path) -> dict[str, bytes]:
    store, uploads = FilesystemContentStore(folder), FilesystemContentStore(folder / UPLOADS)
    contents = {str(key): await read(each, key) for each in (store, uploads) for key in await keys_in(each)}
    for item in await store.list_quarantine():
        stored = await store.open_quarantined(item.name)
        contents[f"{item.name} in quarantine"] = b"".join([chunk async for chunk in stored.chunks])
    return contents


def test_images_uploads_and_the_quarantine_are_copied(source: Path, target: Path) -> None:
    result = copy(source, target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert summary(result) == "4 contents copied (28 bytes), 0 there already, 0 not copied.\n"
    assert asyncio.run(content_of(target)) == asyncio.run(content_of(source))
    assert len(asyncio.run(content_of(target))) == 4


def test_a_second_copy_finds_all_there(source: Path, target: Path) -> None:
    copy(source, target)
    for options in ([], ["--digests"], ["--new-only", "--parallel", "1"]):
        result = copy(source, target, *options)
        assert (result.exit_code, result.stderr) == (0, "")
        assert summary(result) == "0 contents copied (0 bytes), 4 there already, 0 not copied.\n"


def test_what_is_not_copied_has_a_line_and_exit_status_1(source: Path, target: Path) -> None:
    copy(source, target)
    asyncio.run(put(FilesystemContentStore(target), b"CONTENT"))
    result = copy(source, target)
    assert result.exit_code == 1
    assert summary(result) == "0 contents copied (0 bytes), 3 there already, 1 not copied.\n"
    assert result.stderr == (
        f"{KEY}: The target has other bytes under this name, and they were left as they are.\n"
        "Not all was copied. Run the same command again to continue.\n"
    )
    assert copy(source, target, "--new-only").exit_code == 0


def test_an_empty_source_is_pointed_out(tmp_path: Path, target: Path) -> None:
    asyncio.run(make_store(tmp_path / "empty"))
    result = copy(tmp_path / "empty", target)
    assert (result.exit_code, result.stderr) == (0, "The source has no content.\n")


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("pixyproxy.entrypoints.cli.content"), "REPORT_SECONDS", 0.0)
    lines = copy(source, target).stderr.splitlines()
    assert len(lines) == 4
    assert all(" contents copied (" in line for line in lines)


@pytest.mark.parametrize(
    ("source_name", "target_name", "error"),
    [
        ("source", "source", "--from and --to are the same content store."),
        ("source", "./x/../source/", "--from and --to are the same content store."),
        ("source", "link", "--from and --to are the same content store."),
        ("source", "source/uploads", "--to is inside --from; a content store must not hold another one."),
        ("source", "link/copy", "--to is inside --from; a content store must not hold another one."),
        ("source/uploads", "source", "--from is inside --to; a content store must not hold another one."),
    ],
)
def test_a_store_and_itself_or_a_part_of_it_are_refused(
    source: Path, source_name: str, target_name: str, error: str
) -> None:
    (source.parent / "link").symlink_to(source)
    result = copy(f"{source.parent}/{source_name}", f"{source.parent}/{target_name}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr
    assert not (source / "copy").exists()


@pytest.mark.parametrize(
    "url", ["ftp://host/images", "images", "", " ", "file:", "file://host/images", "file:~/images"]
)
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_url_that_is_none_of_a_content_store_is_refused(target: Path, option: str, url: str) -> None:
    other = "--to" if option == "--from" else "--from"
    result = CliRunner().invoke(main, ["content", "copy", option, url, other, f"file:{target}"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: {option} " in result.stderr
    assert "PIXYPROXY" not in result.stderr
    assert not target.exists()


def test_all_bytes_and_none_can_not_be_compared(source: Path, target: Path) -> None:
    result = copy(source, target, "--digests", "--new-only")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--digests and --new-only exclude each other." in result.stderr


def test_a_source_that_does_not_exist_is_an_error_and_not_made(tmp_path: Path, target: Path) -> None:
    result = copy(tmp_path / "missing", target)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Source: The content store's folder is missing.\n"
    assert not (tmp_path / "missing").exists()
    assert not target.exists()


def test_a_target_that_is_a_file_is_an_error(source: Path, target: Path) -> None:
    target.write_bytes(b"a file")
    result = copy(source, target)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: Target: The content store's folder is missing.")
    assert target.read_bytes() == b"a file"


def test_the_settings_of_the_service_do_not_matter(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", "nonsense")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", "nonsense")
    assert copy(source, target).exit_code == 0


def test_links_are_not_followed(source: Path, target: Path) -> None:
    path = source / KEY[:2] / KEY[2:4] / KEY
    path.unlink()
    path.symlink_to("/etc/hostname")
    result = copy(source, target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert summary(result) == "3 contents copied (21 bytes), 0 there already, 0 not copied.\n"
