"""A folder of exported images on a real file system: its layout, crashes, and foreign files."""

import asyncio
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.records import image_to_json
from pixyproxy.domain.archive import ArchiveError
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchivedImage, ArchivedReference, ArchiveProblem
from pixyproxy.domain.reference import Reference, Upload
from tests.factories import ContentInfoFactory, FailedImageFactory, ImageFactory

GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
DATA = b"some bytes"
IMAGE = ImageFactory.build(
    guid=GUID, content=ContentInfoFactory.build(media_type=MediaType.PNG, byte_size=len(DATA)), usage=None
)
RECORD = f"3f/{GUID}.json"
CONTENT = f"3f/{GUID}.png"

WRITE_FOREVER = """
import asyncio, sys
from pathlib import Path
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from tests.factories import ContentInfoFactory, ImageFactory

async def chunks():
    for _ in range(4):
        yield bytes(50_000)

async def write():
    writer = FolderImageArchiveWriter(Path(sys.argv[1]))
    await writer.prepare()
    while True:
        await writer.put(ImageFactory.build(content=ContentInfoFactory.build(byte_size=200_000)), chunks())
        print("written", flush=True)

asyncio.run(write())
"""


async def chunks_of(data: bytes = DATA) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """Return a folder that has one image."""
    writer = FolderImageArchiveWriter(tmp_path / "archive")
    await writer.prepare()
    await writer.put(IMAGE, chunks_of())
    return tmp_path / "archive"


async def found_in(root: Path) -> Sequence[ArchivedImage | ArchivedReference | ArchiveProblem]:
    return [found async for found in FolderImageArchiveReader(root).items()]


async def problems_in(root: Path) -> Sequence[ArchiveProblem]:
    return [found for found in await found_in(root) if isinstance(found, ArchiveProblem)]


async def images_in(root: Path) -> Sequence[Image]:
    return [found.image for found in await found_in(root) if isinstance(found, ArchivedImage)]


def files_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_each_image_has_two_files(root: Path) -> None:
    assert files_in(root) == {RECORD, CONTENT}
    assert (root / CONTENT).read_bytes() == DATA
    assert (root / RECORD).read_bytes() == image_to_json(IMAGE)


async def test_only_the_owner_may_read_it(root: Path) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, root / "3f")} == {0o700}
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in (RECORD, CONTENT)} == {0o600}


@pytest.mark.parametrize("broken", [b"", b"{", None])
async def test_a_record_that_differs_is_written_again(root: Path, broken: bytes | None) -> None:
    writer = FolderImageArchiveWriter(root)
    assert await writer.has(IMAGE)
    if broken is None:
        (root / RECORD).unlink()
    else:
        (root / RECORD).write_bytes(broken)
    assert not await writer.has(IMAGE)


async def test_an_image_whose_content_is_missing_or_of_another_size_is_written_again(root: Path) -> None:
    writer = FolderImageArchiveWriter(root)
    (root / CONTENT).write_bytes(DATA + b"!")
    assert not await writer.has(IMAGE)
    (root / CONTENT).unlink()
    assert not await writer.has(IMAGE)
    (root / CONTENT).symlink_to(root / RECORD)
    assert not await writer.has(IMAGE)
    await writer.put(IMAGE, chunks_of())
    assert await writer.has(IMAGE)


async def test_a_broken_off_export_leaves_no_files(root: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"som"
        raise LookupError

    other = ImageFactory.build()
    with pytest.raises(LookupError):
        await FolderImageArchiveWriter(root).put(other, broken())
    assert files_in(root) == {RECORD, CONTENT}


async def test_a_full_disk_leaves_no_files(root: Path) -> None:
    data = bytes(5_000)
    image = ImageFactory.build(content=ContentInfoFactory.build(byte_size=len(data)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        with pytest.raises(ArchiveError, match="larger"):
            await FolderImageArchiveWriter(root).put(image, chunks_of(data))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(root) == {RECORD, CONTENT}


async def test_a_record_is_not_there_when_its_content_can_not_be(tmp_path: Path) -> None:
    (tmp_path / CONTENT).mkdir(parents=True)
    with pytest.raises(ArchiveError):
        await FolderImageArchiveWriter(tmp_path).put(IMAGE, chunks_of())
    assert files_in(tmp_path) == set()


async def test_a_cancelled_export_leaves_no_files(root: Path) -> None:
    begun = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"som"
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(FolderImageArchiveWriter(root).put(ImageFactory.build(), stuck()))
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert files_in(root) == {RECORD, CONTENT}


def test_whatever_a_killed_export_has_left_the_images_are_whole(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    command = [sys.executable, "-c", WRITE_FOREVER, str(root)]
    for trial in range(1, 6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(3 * trial):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    found = asyncio.run(found_in(root))
    images = [one for one in found if isinstance(one, ArchivedImage)]
    assert len(images) >= 3 + 6 + 9 + 12 + 15
    for one in images:
        assert one.content
        assert one.content.byte_size == 200_000
    # A content may have come to its place before its record could.
    assert {one.detail for one in found if isinstance(one, ArchiveProblem)} <= {"There is no record of it."}


async def test_old_temporary_files_go_and_new_ones_stay(root: Path) -> None:
    old, new = root / "3f" / "old.part", root / "3f" / "new.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    await FolderImageArchiveWriter(root).put(IMAGE, chunks_of())
    assert (old.exists(), new.exists()) == (False, True)


async def test_temporary_files_are_passed_over(root: Path) -> None:
    (root / "3f" / f"{GUID}.json.0123456789abcdef.part").write_bytes(b"{")
    assert await images_in(root) == [IMAGE]
    assert await problems_in(root) == []


async def test_other_files_are_reported_and_the_images_read(root: Path) -> None:
    (root / "README").touch()
    (root / "photos").mkdir()
    (root / "3f" / "notes.txt").touch()
    (root / "3f" / f"{GUID}.jpeg").touch()
    (root / "3f" / "40aaaaaa-5d0e-4a39-9f43-5c8d3f6f2b11.json").touch()
    assert {problem.name for problem in await problems_in(root)} == {
        "README",
        "photos",
        "3f/notes.txt",
        f"3f/{GUID}.jpeg",
        "3f/40aaaaaa-5d0e-4a39-9f43-5c8d3f6f2b11.json",
    }
    assert await images_in(root) == [IMAGE]


@pytest.mark.parametrize("name", [RECORD, CONTENT])
async def test_links_are_not_followed(root: Path, tmp_path: Path, name: str) -> None:
    (root / name).rename(tmp_path / "elsewhere")
    (root / name).symlink_to(tmp_path / "elsewhere")
    assert ArchiveProblem(name, "It is not a file.") in await problems_in(root)
    assert await images_in(root) == []


async def test_a_linked_folder_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "3f").rename(tmp_path / "3f")
    (root / "3f").symlink_to(tmp_path / "3f")
    assert await found_in(root) == [ArchiveProblem("3f", "It is no folder of images.")]


async def test_a_pipe_is_not_waited_for(root: Path) -> None:
    (root / RECORD).unlink()
    os.mkfifo(root / RECORD)
    assert {problem.name for problem in await problems_in(root)} == {RECORD, CONTENT}


async def test_a_record_without_its_content_is_reported(root: Path) -> None:
    (root / CONTENT).unlink()
    assert await found_in(root) == [ArchiveProblem(RECORD, "Its content is missing.")]


async def test_content_without_its_record_is_reported(root: Path) -> None:
    (root / RECORD).unlink()
    assert await found_in(root) == [ArchiveProblem(CONTENT, "There is no record of it.")]


async def test_content_that_the_record_does_not_name_is_reported(root: Path) -> None:
    (root / "3f" / f"{GUID}.webp").touch()
    assert await problems_in(root) == [ArchiveProblem(f"3f/{GUID}.webp", "Its record names no such content.")]
    assert await images_in(root) == [IMAGE]


async def test_a_damaged_record_is_reported_alone(root: Path) -> None:
    (root / RECORD).write_bytes(b"{}")
    (problem,) = await found_in(root)
    assert problem == ArchiveProblem(RECORD, "format must be 1 or 2; another version of PixyProxy may know it.")


async def test_the_record_of_another_image_is_reported(root: Path) -> None:
    (root / RECORD).write_bytes(image_to_json(msgspec.structs.replace(IMAGE, guid=UUID(int=1))))
    (problem,) = await found_in(root)
    assert problem == ArchiveProblem(RECORD, "guid must be the one of the record's name.")


async def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="missing"):
        await found_in(tmp_path / "nothing")


async def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="not a folder"):
        await FolderImageArchiveWriter(tmp_path / "file").prepare()
    with pytest.raises(ArchiveError, match="not a folder"):
        await FolderImageArchiveWriter(tmp_path / "file").put(FailedImageFactory.build())


async def test_a_name_that_is_no_text_is_reported(root: Path) -> None:
    os.mkdir(os.fsencode(root) + b"/\xff")  # noqa: PTH102 -- bytes
    assert await problems_in(root) == [ArchiveProblem("\udcff", "It is no folder of images.")]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
async def test_whatever_the_umask_only_the_owner_may_read_it(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "new" / "archive"
    before = os.umask(umask)
    try:
        writer = FolderImageArchiveWriter(root)
        assert await writer.prepare() is None
        await writer.put(IMAGE, chunks_of())
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root.parent, root, root / "3f")} == {0o700}
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in (RECORD, CONTENT)} == {0o600}


async def test_a_folder_of_images_that_others_can_read_is_shut(root: Path) -> None:
    (root / "3f").chmod(0o777)
    await FolderImageArchiveWriter(root).put(IMAGE, chunks_of())
    assert stat.S_IMODE((root / "3f").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("mode", "is_named"), [(0o700, False), (0o755, False), (0o770, True), (0o707, True), (0o1777, True)]
)
async def test_a_folder_that_others_can_write_to_is_named_and_keeps_its_mode(
    tmp_path: Path, mode: int, is_named: bool
) -> None:
    os.chmod(tmp_path, mode)  # noqa: PTH101 -- in an async test
    warning = await FolderImageArchiveWriter(tmp_path).prepare()
    assert (warning is not None) == is_named
    if warning is not None:
        assert (warning.name, warning.detail[:36]) == (str(tmp_path), "Others may write to this folder, so ")
    assert mode_of(tmp_path) == mode


class TestLinksInTheWay:
    """Where others may write, they can put links in the way of an export."""

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Path:
        (tmp_path / "elsewhere").mkdir()
        return tmp_path / "elsewhere"

    async def test_the_folder_itself_is_none(self, tmp_path: Path, elsewhere: Path) -> None:
        (tmp_path / "link").symlink_to(elsewhere)
        writer = FolderImageArchiveWriter(tmp_path / "link")
        for call in (writer.prepare(), writer.put(IMAGE, chunks_of())):
            with pytest.raises(ArchiveError, match="link"):
                await call
        assert files_in(elsewhere) == set()

    async def test_a_folder_of_images_is_none(self, tmp_path: Path, elsewhere: Path) -> None:
        root = tmp_path / "archive"
        root.mkdir()
        (root / "3f").symlink_to(elsewhere)
        writer = FolderImageArchiveWriter(root)
        for call in (writer.has(IMAGE), writer.put(IMAGE, chunks_of())):
            with pytest.raises(ArchiveError, match="link"):
                await call
        assert files_in(elsewhere) == set()

    @pytest.mark.parametrize("name", [RECORD, CONTENT])
    async def test_a_link_in_place_of_a_file_is_replaced_and_not_its_target(
        self, root: Path, elsewhere: Path, name: str
    ) -> None:
        target = elsewhere / "target"
        target.write_bytes((root / name).read_bytes())
        (root / name).unlink()
        (root / name).symlink_to(target)
        before = target.read_bytes()
        writer = FolderImageArchiveWriter(root)
        assert not await writer.has(IMAGE)
        await writer.put(msgspec.structs.replace(IMAGE, version=IMAGE.version + 1), chunks_of())
        assert target.read_bytes() == before
        assert not (root / name).is_symlink()
        assert await problems_in(root) == []

    async def test_a_folder_that_is_swapped_meanwhile_is_not_followed(self, root: Path, elsewhere: Path) -> None:
        async def swapping() -> AsyncIterator[bytes]:
            yield DATA
            (root / "3f").rename(root / "40")
            (root / "3f").symlink_to(elsewhere)

        await FolderImageArchiveWriter(root).put(msgspec.structs.replace(IMAGE, version=9_999), swapping())
        assert files_in(elsewhere) == set()


@pytest.mark.parametrize("name", [RECORD, CONTENT])
async def test_an_export_does_not_wait_for_a_pipe(root: Path, name: str) -> None:
    (root / name).unlink()
    os.mkfifo(root / name)
    writer = FolderImageArchiveWriter(root)
    assert not await asyncio.wait_for(writer.has(IMAGE), 5)
    await asyncio.wait_for(writer.put(IMAGE, chunks_of()), 5)
    assert await writer.has(IMAGE)
    assert await images_in(root) == [IMAGE]


async def test_files_of_file_servers_and_systems_are_skipped(root: Path) -> None:
    for folder in (root, root / "3f"):
        for name in (".DS_Store", "._3f", f"._{GUID}.png", "Thumbs.db", "desktop.ini", ".directory"):
            (folder / name).write_bytes(b"x")
        for name in ("@eaDir", "#recycle", ".Trashes", "__MACOSX", "lost+found"):
            (folder / name).mkdir()
            (folder / name / f"{GUID}.png").write_bytes(b"x")
    assert await images_in(root) == [IMAGE]
    assert await problems_in(root) == []


async def test_a_content_that_becomes_a_pipe_before_it_is_read_is_damaged(root: Path) -> None:
    async for found in FolderImageArchiveReader(root).items():
        assert isinstance(found, ArchivedImage)
        assert found.content is not None
        (root / CONTENT).unlink()
        os.mkfifo(root / CONTENT)
        with pytest.raises(DamagedContentError):
            await asyncio.wait_for(anext(found.content.chunks), 5)


class TestReferences:
    """Uploaded references and masks."""

    UPLOAD = Upload(
        filename="a.png",
        content=ContentInfoFactory.build(
            media_type=MediaType.PNG, byte_size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest()
        ),
    )
    NAME = f"references/{UPLOAD.content.sha256}.png"
    IMAGE = FailedImageFactory.build(
        request=GenerationRequest(prompt="a lion", references=(Reference.to_upload(UPLOAD),) * 2)
    )

    @pytest.fixture
    async def root(self, tmp_path: Path) -> Path:
        """Return a folder that has one image and its reference."""
        writer = FolderImageArchiveWriter(tmp_path / "archive")
        await writer.put_reference(self.UPLOAD.content, chunks_of())
        await writer.put(self.IMAGE)
        return tmp_path / "archive"

    async def kinds_in(self, root: Path) -> Sequence[type]:
        return [type(found) for found in await found_in(root)]

    async def test_each_is_one_file_that_only_its_owner_may_read(self, root: Path) -> None:
        assert (root / self.NAME).read_bytes() == DATA
        assert (mode_of(root / "references"), mode_of(root / self.NAME)) == (0o700, 0o600)
        assert await self.kinds_in(root) == [ArchivedReference, ArchivedImage]

    async def test_one_that_is_missing_or_of_another_size_is_written_again(self, root: Path) -> None:
        for change in (Path.unlink, lambda path: path.write_bytes(DATA[1:])):
            change(root / self.NAME)
            writer = FolderImageArchiveWriter(root)
            assert not await writer.has(self.IMAGE)
            assert not await writer.has_reference(self.UPLOAD.content)
            await writer.put_reference(self.UPLOAD.content, chunks_of())
            assert await writer.has(self.IMAGE)

    async def test_one_that_is_missing_is_left_to_the_import(self, root: Path) -> None:
        (root / self.NAME).unlink()
        assert await self.kinds_in(root) == [ArchivedImage]

    async def test_one_that_no_record_names_is_passed_over(self, root: Path) -> None:
        (root / "references" / f"{'0' * 64}.png").touch()
        (root / "references" / f"{'1' * 64}.png.0123456789abcdef.part").touch()
        (root / "references" / ".DS_Store").touch()
        assert await self.kinds_in(root) == [ArchivedReference, ArchivedImage]

    async def test_files_of_other_names_are_reported(self, root: Path) -> None:
        for name in ("a.png", f"{'0' * 64}.json", f"{'A' * 64}.png"):
            (root / "references" / name).touch()
        assert sorted(problem.name for problem in await problems_in(root)) == [
            f"references/{'0' * 64}.json",
            f"references/{'A' * 64}.png",
            "references/a.png",
        ]

    async def test_a_link_is_not_followed(self, root: Path, tmp_path: Path) -> None:
        (root / self.NAME).rename(tmp_path / "elsewhere")
        (root / self.NAME).symlink_to(tmp_path / "elsewhere")
        problem, reference, _ = await found_in(root)
        assert problem == ArchiveProblem(self.NAME, "It is not a file.")
        assert isinstance(reference, ArchivedReference)
        with pytest.raises(DamagedContentError):
            assert [chunk async for chunk in reference.content.chunks]

    async def test_a_linked_folder_is_not_followed(self, root: Path, tmp_path: Path) -> None:
        (root / "references").rename(tmp_path / "elsewhere")
        (root / "references").symlink_to(tmp_path / "elsewhere")
        assert await self.kinds_in(root) == [ArchiveProblem, ArchivedImage]
        with pytest.raises(ArchiveError, match="link"):
            await FolderImageArchiveWriter(root).put_reference(self.UPLOAD.content, chunks_of())

    async def test_an_old_temporary_file_goes(self, root: Path) -> None:
        old, new = root / "references" / "old.part", root / "references" / "new.part"
        for path in (old, new):
            path.touch()
        os.utime(old, (0, 0))
        assert await FolderImageArchiveWriter(root).has_reference(self.UPLOAD.content)
        assert (old.exists(), new.exists()) == (False, True)

    async def test_a_full_disk_leaves_nothing(self, root: Path) -> None:
        content = ContentInfoFactory.build(media_type=MediaType.PNG, byte_size=5_000)
        before = files_in(root)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
        try:
            with pytest.raises(ArchiveError, match="larger"):
                await FolderImageArchiveWriter(root).put_reference(content, chunks_of(bytes(5_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert files_in(root) == before
