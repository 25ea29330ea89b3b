"""Zips as streams, read by other programs."""

import asyncio
import io
import subprocess
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.application.member_names import MemberNames
from pixyproxy.application.zip_stream import ZipMember, zip_chunks, zip_size
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import chunks_of
from tests.real_parts import lack

AT = datetime(2026, 11, 27, 10, 30, 25, 123456, tzinfo=UTC)


def member(name: str, data: bytes, made_at: datetime = AT, byte_size: int | None = None) -> ZipMember:
    return ZipMember(
        name=name,
        byte_size=len(data) if byte_size is None else byte_size,
        made_at=made_at,
        chunks=partial(chunks_of, data),
    )


async def zipped(members: Sequence[ZipMember]) -> bytes:
    return b"".join([chunk async for chunk in zip_chunks(members)])


@given(
    st.lists(st.tuples(st.text(max_size=60), st.binary(max_size=500), st.datetimes()), max_size=8),
)
async def test_any_names_sizes_and_dates_can_be_read_and_have_the_announced_length(
    files: list[tuple[str, bytes, datetime]],
) -> None:
    names = MemberNames()
    members = [member(names.name(name), data, made_at.replace(tzinfo=UTC)) for name, data, made_at in files]
    data = await zipped(members)
    assert len(data) == zip_size(members)
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [each.name for each in members]
        assert [archive.read(info) for info in archive.infolist()] == [data for _, data, _ in files]


async def test_members_are_stored_as_they_are_with_their_date_and_readable_by_all() -> None:
    ahead = AT.astimezone(timezone(timedelta(hours=5)))
    with ZipFile(io.BytesIO(await zipped([member("fox.png", b"fox" * 1000, ahead)]))) as archive:
        (info,) = archive.infolist()
    assert info.compress_type == ZIP_STORED
    assert info.compress_size == info.file_size == 3000
    assert info.date_time == (2026, 11, 27, 10, 30, 24)
    assert int.from_bytes(info.extra[5:9], "little") == int(AT.timestamp())
    assert info.external_attr >> 16 == 0o100644


@pytest.mark.parametrize(
    ("year", "expected"), [(1970, 1980), (1980, 1980), (2038, 2038), (2107, 2107), (2108, 2107), (9999, 2107)]
)
async def test_a_year_that_no_zip_can_hold_becomes_the_nearest(year: int, expected: int) -> None:
    members = [member("fox.png", b"fox", datetime(year, 2, 28, tzinfo=UTC))]
    with ZipFile(io.BytesIO(await zipped(members))) as archive:
        assert archive.infolist()[0].date_time[0] == expected


def test_unzip_finds_no_fault(tmp_path: Path) -> None:
    names = MemberNames()
    filenames = ["fox.png", "FOX.png", "狐と雪.png", "../../fox.png", "🦊" * 80 + ".png", "empty.png"]
    members = [member(names.name(name), b"" if "empty" in name else name.encode() * 9) for name in filenames]
    path = tmp_path / "images.zip"
    path.write_bytes(asyncio.run(zipped(members)))
    try:
        done = subprocess.run(["unzip", "-t", path], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        lack("unzip", "apt-get install -y --no-install-recommends unzip")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stdout


@pytest.mark.parametrize("limit", [0, 1, 100, 250, 10_000])
async def test_sizes_and_offsets_above_the_limit_of_32_bits_are_announced_exactly(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    # Real sizes would take seconds.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    members = [member(f"{number}.png", b"fox" * number) for number in range(50)]
    data = await zipped(members)
    assert (b"PK\x06\x06" in data) == (limit < 10_000)
    assert len(data) == zip_size(members)
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [3 * number for number in range(50)]


@pytest.mark.parametrize("byte_size", [2, 4])
async def test_content_of_another_size_breaks_the_zip_off(byte_size: int) -> None:
    members = [member("fox.png", b"fox", byte_size=byte_size), member("last.png", b"")]
    output = io.BytesIO()

    async def write() -> None:
        async for chunk in zip_chunks(members):
            output.write(chunk)

    with pytest.raises(ContentStoreError):
        await write()
    assert len(output.getvalue()) < zip_size(members)
    assert b"last.png" not in output.getvalue()


async def test_one_chunk_is_in_memory_at_a_time() -> None:
    read: list[str] = []

    async def watched(name: str) -> AsyncIterator[bytes]:
        for number in range(3):
            read.append(f"{name}{number}")
            yield b"x"

    members = [
        ZipMember(name=f"{name}.png", byte_size=3, made_at=AT, chunks=partial(watched, name)) for name in ("a", "b")
    ]
    chunks = zip_chunks(members)
    for expected in (["a0"], ["a0", "a1"], ["a0", "a1", "a2"], ["a0", "a1", "a2", "b0"]):
        await anext(chunks)
        assert read == expected
    await chunks.aclose()
