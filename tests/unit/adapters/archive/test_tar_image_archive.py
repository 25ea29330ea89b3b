"""Tars: other programs read ours, and the reader handles damaged, foreign and hostile ones."""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.archive.records import ArchiveName, image_to_json
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.archive.tar_writer import TarImageArchiveWriter
from pixyproxy.domain.archive import ArchiveError
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchivedImage, ArchivedReference, ArchiveProblem
from tests.factories import ContentInfoFactory, FailedImageFactory, ImageFactory

GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
OTHER_GUID = UUID("402a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
DATA = b"some bytes"
RECORD_NAME = f"3f/{GUID}.json"
CONTENT_NAME = f"3f/{GUID}.png"

IMAGE = ImageFactory.build(
    guid=GUID, content=ContentInfoFactory.build(media_type=MediaType.PNG, byte_size=len(DATA)), usage=None, sender=None
)
OTHER = ImageFactory.build(
    guid=OTHER_GUID,
    content=ContentInfoFactory.build(media_type=MediaType.PNG, byte_size=len(DATA)),
    usage=None,
    sender=None,
)


async def in_one_chunk() -> AsyncIterator[bytes]:
    yield DATA


async def tar_of(*images: Image) -> bytes:
    stream = io.BytesIO()
    writer = TarImageArchiveWriter(stream)
    for image in images:
        await writer.put(image, in_one_chunk() if image.content else None)
    await writer.finish()
    return stream.getvalue()


def foreign_tar(*members: tuple[tarfile.TarInfo | str, bytes], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar as another program would write it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def special(name: str, type_: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, "/etc/passwd"
    return info


def files_of(image: Image) -> list[tuple[tarfile.TarInfo | str, bytes]]:
    content = ArchiveName.of_content(image.guid, image.ready_content)
    return [(str(ArchiveName.of_record(image.guid)), image_to_json(image)), (str(content), DATA)]


Read = tuple[Image, bytes | None] | tuple[str, bytes] | ArchiveProblem


async def read(data: bytes) -> Sequence[Read]:
    found: list[Read] = []
    async for one in TarImageArchiveReader(io.BytesIO(data)).items():
        if isinstance(one, ArchivedImage):
            chunks = [chunk async for chunk in one.content.chunks] if one.content else None
            found.append((one.image, None if chunks is None else b"".join(chunks)))
        elif isinstance(one, ArchivedReference):
            found.append((one.sha256, b"".join([chunk async for chunk in one.content.chunks])))
        else:
            found.append(one)
    return found


async def test_other_programs_can_read_it() -> None:
    failed = FailedImageFactory.build()
    with tarfile.open(fileobj=io.BytesIO(await tar_of(IMAGE, failed)), mode="r:") as tar:
        assert tar.getnames() == [RECORD_NAME, CONTENT_NAME, f"{str(failed.guid)[:2]}/{failed.guid}.json"]
        record = tar.getmember(RECORD_NAME)
        assert (record.mode, record.uid, record.mtime) == (0o600, 0, int(IMAGE.updated_at.timestamp()))
        file = tar.extractfile(CONTENT_NAME)
        assert file
        assert file.read() == DATA


async def test_it_has_whole_records_of_20_blocks_as_tar_has() -> None:
    assert len(await tar_of(IMAGE)) % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_tars_of_other_programs_can_be_read(kind: int) -> None:
    assert await read(foreign_tar(*files_of(IMAGE), *files_of(OTHER), kind=kind)) == [(IMAGE, DATA), (OTHER, DATA)]


async def test_remarks_on_files_are_passed_over() -> None:
    files = files_of(IMAGE)
    with_remarks = []
    for name, data in files:
        info = tarfile.TarInfo(str(name))
        info.mtime, info.pax_headers = 1.5, {"comment": "x" * 3_000}
        with_remarks.append((info, data))
    assert await read(foreign_tar(*with_remarks, kind=tarfile.PAX_FORMAT)) == [(IMAGE, DATA)]


async def test_folders_of_images_are_passed_over_and_others_reported() -> None:
    tar = foreign_tar(
        (special("3f", tarfile.DIRTYPE), b""), *files_of(IMAGE), (special("photos", tarfile.DIRTYPE), b"")
    )
    assert await read(tar) == [(IMAGE, DATA), ArchiveProblem("photos", "It is not a file.")]


@pytest.mark.parametrize(
    "type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"]
)
async def test_links_and_devices_are_reported_and_the_others_read(type_: bytes) -> None:
    tar = foreign_tar((special(RECORD_NAME, type_), b""), *files_of(OTHER))
    assert await read(tar) == [ArchiveProblem(RECORD_NAME, "It is not a file."), (OTHER, DATA)]


async def test_a_link_that_tells_the_size_of_its_file_is_followed_by_no_data() -> None:
    link = special("link", tarfile.LNKTYPE)
    link.size = 1_000
    found = await read(link.tobuf(tarfile.USTAR_FORMAT) + await tar_of(OTHER))
    assert found == [ArchiveProblem("link", "It is not a file."), (OTHER, DATA)]


async def test_a_link_in_place_of_the_content_is_reported() -> None:
    record, _ = files_of(IMAGE)
    tar = foreign_tar(record, (special(CONTENT_NAME, tarfile.SYMTYPE), b""), *files_of(OTHER))
    assert await read(tar) == [
        ArchiveProblem(RECORD_NAME, "Its content does not follow it."),
        ArchiveProblem(CONTENT_NAME, "It is not a file."),
        (OTHER, DATA),
    ]


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", f"/{RECORD_NAME}", f"./{RECORD_NAME}", "README", "x" * 99])
async def test_other_names_are_reported_and_the_others_read(name: str) -> None:
    found = await read(foreign_tar((name, b"x" * 1_000), *files_of(OTHER)))
    assert found == [ArchiveProblem(name, "No file of an image has such a name."), (OTHER, DATA)]


async def test_a_record_that_is_refused_is_reported_once_and_its_content_passed_over() -> None:
    _, content = files_of(IMAGE)
    found = await read(foreign_tar((RECORD_NAME, b"{}"), content, *files_of(OTHER)))
    assert found == [
        ArchiveProblem(RECORD_NAME, "format must be 1 or 2; another version of PixyProxy may know it."),
        (OTHER, DATA),
    ]


async def test_content_without_a_record_before_it_is_reported() -> None:
    record, content = files_of(IMAGE)
    found = await read(foreign_tar(content, record, *files_of(OTHER)))
    assert found == [
        ArchiveProblem(CONTENT_NAME, "There is no record right before it that names it."),
        ArchiveProblem(RECORD_NAME, "Its content does not follow it."),
        (OTHER, DATA),
    ]


async def test_content_of_an_image_that_has_none_is_reported() -> None:
    failed = FailedImageFactory.build(guid=GUID)
    found = await read(foreign_tar((RECORD_NAME, image_to_json(failed)), (CONTENT_NAME, DATA)))
    assert found == [(failed, None), ArchiveProblem(CONTENT_NAME, "There is no record right before it that names it.")]


async def test_a_record_at_the_very_end_lacks_its_content() -> None:
    record, _ = files_of(IMAGE)
    assert await read(foreign_tar(record)) == [ArchiveProblem(RECORD_NAME, "Its content does not follow it.")]


async def test_a_tar_that_breaks_off_anywhere_says_so() -> None:
    whole = await tar_of(IMAGE, OTHER)
    end = len(whole.rstrip(b"\0"))
    for length in {*range(0, end, 37), *range(0, end, tarfile.BLOCKSIZE), end}:
        with pytest.raises(ArchiveError, match="breaks off"):
            await read(whole[:length])


async def test_images_before_the_break_are_read() -> None:
    tar = await tar_of(IMAGE, OTHER)
    found = TarImageArchiveReader(io.BytesIO(tar[: 5 * tarfile.BLOCKSIZE])).items()
    first = await anext(found)
    assert isinstance(first, ArchivedImage)
    assert first.image == IMAGE
    with pytest.raises(ArchiveError, match="breaks off"):
        await anext(found)


@pytest.mark.parametrize("data", [b"x" * 512, b"PK\x03\x04" * 256, b"\x1f\x8b" + bytes(510)])
async def test_other_data_than_a_tar_is_an_error(data: bytes) -> None:
    with pytest.raises(ArchiveError, match="no tar"):
        await read(data)


async def test_a_size_below_zero_is_an_error() -> None:
    header = tarfile.TarInfo("x")
    header.size = -512
    with pytest.raises(ArchiveError, match="no tar"):
        await read(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


async def test_a_second_tar_after_the_first_is_not_ignored() -> None:
    with pytest.raises(ArchiveError, match="data follows its end"):
        await read(2 * await tar_of(IMAGE))


async def test_the_stream_is_read_to_its_end() -> None:
    stream = io.BytesIO(await tar_of(IMAGE) + bytes(1 << 20))
    assert len([one async for one in TarImageArchiveReader(stream).items()]) == 1
    assert stream.read() == b""


async def test_ten_thousand_remarks_in_a_row_are_passed_over() -> None:
    remark = tarfile.TarInfo("remark")
    remark.type = tarfile.XHDTYPE
    assert await read(10_000 * remark.tobuf(tarfile.USTAR_FORMAT) + await tar_of(IMAGE)) == [(IMAGE, DATA)]


@settings(max_examples=300)
@given(place=st.integers(0), byte=st.integers(0, 255), length=st.integers(1, 600))
async def test_a_damaged_tar_gives_true_images_and_problems_or_an_error(place: int, byte: int, length: int) -> None:
    whole = await tar_of(IMAGE, OTHER)
    place %= len(whole)
    damaged = whole[:place] + bytes([byte]) * length + whole[place + length :]
    try:
        found = await read(damaged)
    except ArchiveError:
        return
    # A damaged content is none of the archive's business, and a record may say something else that is valid.
    guids = [one[0].guid for one in found if isinstance(one, tuple) and isinstance(one[0], Image)]
    assert set(guids) <= {GUID, OTHER_GUID}
    assert len(found) >= len(set(guids))
    if damaged[: len(whole.rstrip(b"\0"))] == whole.rstrip(b"\0"):
        assert found == [(IMAGE, DATA), (OTHER, DATA)]
    else:
        assert len(guids) + sum(isinstance(one, ArchiveProblem) for one in found) >= 2


@given(data=st.binary(max_size=3_000))
async def test_any_bytes_are_a_tar_or_an_error(data: bytes) -> None:
    try:
        found = await read(data)
    except ArchiveError:
        return
    assert all(isinstance(one, ArchiveProblem) for one in found)


REFERENCE_NAME = f"references/{hashlib.sha256(DATA).hexdigest()}.png"


async def test_references_are_read_and_their_folder_is_passed_over() -> None:
    tar = foreign_tar((special("references", tarfile.DIRTYPE), b""), (REFERENCE_NAME, DATA), *files_of(IMAGE))
    assert await read(tar) == [(hashlib.sha256(DATA).hexdigest(), DATA), (IMAGE, DATA)]


async def test_other_programs_can_read_references() -> None:
    stream = io.BytesIO()
    writer = TarImageArchiveWriter(stream)
    content = ContentInfoFactory.build(media_type=MediaType.PNG, sha256=hashlib.sha256(DATA).hexdigest())
    await writer.put_reference(content, in_one_chunk())
    await writer.finish()
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue()), mode="r:") as tar:
        assert tar.getnames() == [REFERENCE_NAME]
        assert (tar.getmember(REFERENCE_NAME).mode, tar.getmember(REFERENCE_NAME).mtime) == (0o600, 0)


@pytest.mark.parametrize(
    "name",
    [
        "references/a.png",
        "references/../3f/x.png",
        f"./{REFERENCE_NAME}",
        f"/{REFERENCE_NAME}",
        f"{REFERENCE_NAME}/",
        REFERENCE_NAME.upper(),
        REFERENCE_NAME.replace(".png", ".bmp"),
        REFERENCE_NAME.replace(".png", ".json"),
        REFERENCE_NAME.replace(".png", ""),
        f"references/{'0' * 63}.png",
        f"references/{'0' * 65}.png",
    ],
)
async def test_references_of_other_names_are_reported(name: str) -> None:
    found = await read(foreign_tar((name, DATA), *files_of(IMAGE)))
    assert found == [ArchiveProblem(name, "No file of an image has such a name."), (IMAGE, DATA)]


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
async def test_a_reference_that_is_no_file_is_reported(type_: bytes) -> None:
    found = await read(foreign_tar((special(REFERENCE_NAME, type_), b""), *files_of(IMAGE)))
    assert found == [ArchiveProblem(REFERENCE_NAME, "It is not a file."), (IMAGE, DATA)]


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "3f/.DS_Store",
        f"3f/._{GUID}.png",
        f"__MACOSX/3f/._{GUID}.png",
        f"3f/@eaDir/{GUID}.png/SYNOPHOTO_THUMB_M.jpg",
        "Thumbs.db",
        "lost+found/#123",
        "./._.",
    ],
)
async def test_files_of_file_servers_and_systems_are_skipped_anywhere(name: str) -> None:
    record, content = files_of(IMAGE)
    clutter = (name, b"x" * 1_000)
    tar = foreign_tar(
        clutter, record, clutter, (special(name, tarfile.SYMTYPE), b""), content, clutter, *files_of(OTHER)
    )
    assert await read(tar) == [(IMAGE, DATA), (OTHER, DATA)]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_a_tar_that_is_a_file_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with (tmp_path / "archive.tar").open("wb") as stream:
            assert await TarImageArchiveWriter(stream).prepare() is None
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "archive.tar").stat().st_mode) == 0o600


async def test_a_tar_that_goes_through_a_pipe_has_no_mode() -> None:
    reader, writer = os.pipe()
    before = os.fstat(writer).st_mode
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as stream:
        assert await TarImageArchiveWriter(stream).prepare() is None
        assert os.fstat(writer).st_mode == before


async def test_a_tar_whose_mode_can_not_be_changed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchmod", refuse)
    (tmp_path / "archive.tar").touch(0o644)
    (tmp_path / "archive.tar").chmod(0o644)
    with (tmp_path / "archive.tar").open("wb") as stream:
        warning = await TarImageArchiveWriter(stream).prepare()
    assert warning is not None
    assert "Others may be able to read it" in warning.detail
