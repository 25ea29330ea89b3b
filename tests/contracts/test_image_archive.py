"""The contract of `ImageArchiveWriter` and `ImageArchiveReader`: the reader returns all that was written."""

import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.archive.tar_writer import SPOOL_SIZE
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import OUTPUT_FORMATS, GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ImageArchiveReader,
    ImageArchiveWriter,
    StoredContent,
)
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.tag import Tag, normalized_tags
from pixyproxy.domain.user import UserName
from tests.archiving import ARCHIVES, Archive, Folder, Memory, Tar
from tests.factories import ContentInfoFactory, FailedImageFactory, ImageFactory, UnknownImageFactory

MIB = 1 << 20

Read = tuple[Image, bytes | None]
ReadReference = tuple[str, bytes]
Found = Read | ReadReference | ArchiveProblem


@pytest.fixture(params=ARCHIVES)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    made: Archive = request.param(tmp_path)
    return made


@pytest.fixture(params=[Memory, Folder])
def lasting_archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    """Return one of those that a second export goes on with."""
    made: Archive = request.param(tmp_path)
    return made


async def in_chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


async def broken_after(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise LookupError("the store is gone")


def with_content(data: bytes) -> Image:
    return ImageFactory.build(content=ContentInfoFactory.build(byte_size=len(data)))


async def put(writer: ImageArchiveWriter, image: Image, data: bytes | None = None) -> None:
    await writer.put(image, None if data is None else in_chunks(data))


async def write(archive: Archive, *images: Read) -> None:
    writer = archive.writer()
    await writer.prepare()
    for image, data in images:
        await put(writer, image, data)
    await writer.finish()


async def found_in(reader: ImageArchiveReader) -> Sequence[Found]:
    return [await whole(found) async for found in reader.items()]


async def whole(found: ArchivedImage | ArchivedReference | ArchiveProblem) -> Found:
    """Return an image or a reference with its bytes."""
    if isinstance(found, ArchiveProblem):
        return found
    if isinstance(found, ArchivedReference):
        return found.sha256, await read(found.content)
    return found.image, None if found.content is None else await read(found.content)


async def read(content: StoredContent) -> bytes:
    """Return the bytes, having checked their number and the sizes of the chunks."""
    chunks = [chunk async for chunk in content.chunks]
    assert all(0 < len(chunk) <= MIB for chunk in chunks)
    data = b"".join(chunks)
    assert len(data) == content.byte_size
    return data


def in_order(found: Sequence[Found]) -> Sequence[Found]:
    def guid(one: Found) -> str:
        return str(one[0].guid) if isinstance(one, tuple) and isinstance(one[0], Image) else ""

    return sorted(found, key=guid)


async def test_an_archive_of_nothing_is_an_archive(archive: Archive) -> None:
    await write(archive)
    assert await found_in(archive.reader()) == []


async def test_images_come_back_with_all_their_fields_and_bytes(archive: Archive) -> None:
    written = [(with_content(data), data) for data in (b"some bytes", bytes(512), b"x" * (3 * MIB + 5))]
    await write(archive, *written)
    assert in_order(await found_in(archive.reader())) == in_order(written)


@pytest.mark.parametrize("factory", [FailedImageFactory, UnknownImageFactory])
async def test_images_without_content_come_back(archive: Archive, factory: type[ImageFactory]) -> None:
    written = [(factory.build(), None) for _ in range(3)]
    await write(archive, *written)
    assert in_order(await found_in(archive.reader())) == in_order(written)


async def test_the_databases_own_id_is_not_exported(archive: Archive) -> None:
    image = with_content(b"bytes")
    await write(archive, (msgspec.structs.replace(image, id=7), b"bytes"))
    assert await found_in(archive.reader()) == [(image, b"bytes")]


async def test_content_larger_than_what_is_kept_in_memory_comes_back(archive: Archive) -> None:
    data = bytes(range(256)) * (SPOOL_SIZE // 256 + 1)
    image = with_content(data)
    await write(archive, (image, data))
    assert await found_in(archive.reader()) == [(image, data)]


async def test_unread_content_is_skipped(archive: Archive) -> None:
    written = [(with_content(data), data) for data in (b"one", b"two " * MIB, b"three")]
    await write(archive, *written)
    found = [one async for one in archive.reader().items()]
    assert {one.image.guid for one in found if isinstance(one, ArchivedImage)} == {image.guid for image, _ in written}


async def test_partly_read_content_is_skipped(archive: Archive) -> None:
    written = [(with_content(data), data) for data in (b"one " * MIB, b"two " * MIB)]
    await write(archive, *written)
    found = []
    async for one in archive.reader().items():
        assert isinstance(one, ArchivedImage)
        assert one.content is not None
        found.append((one.image, await anext(one.content.chunks)))
    expected = [(image, data[: len(found[0][1])]) for image, data in written]
    assert in_order(found) == in_order(expected)


async def test_an_image_whose_content_breaks_off_is_not_there_and_the_others_are(archive: Archive) -> None:
    one, broken, two = (with_content(b"bytes") for _ in range(3))
    writer = archive.writer()
    await writer.prepare()
    await put(writer, one, b"bytes")
    with pytest.raises(LookupError, match="the store is gone"):
        await writer.put(broken, broken_after(b"byt"))
    await put(writer, two, b"bytes")
    await writer.finish()
    assert in_order(await found_in(archive.reader())) == in_order([(one, b"bytes"), (two, b"bytes")])


async def test_the_progress_is_reported_if_it_is_known(archive: Archive) -> None:
    await write(archive, *((with_content(b"bytes"), b"bytes") for _ in range(20)))
    reader = archive.reader()
    before = reader.progress
    within = [reader.progress async for _ in reader.items()]
    seen = [before, *within, reader.progress]
    known = [progress for progress in seen if progress is not None]
    assert known in ([], sorted(known))
    if known:
        assert len(known) == len(seen)
        assert len(set(known)) > 10
        assert (known[0], known[-1]) == (0.0, 1.0)


async def test_a_second_export_knows_the_existing_images(lasting_archive: Archive) -> None:
    image, failed, other = with_content(b"bytes"), FailedImageFactory.build(), with_content(b"bytes")
    await write(lasting_archive, (image, b"bytes"), (failed, None))
    writer = lasting_archive.writer()
    await writer.prepare()
    assert await writer.has(image)
    assert await writer.has(msgspec.structs.replace(image, id=7))
    assert await writer.has(failed)
    assert not await writer.has(other)


async def test_a_second_export_knows_the_changed_images(lasting_archive: Archive) -> None:
    image = with_content(b"bytes")
    await write(lasting_archive, (image, b"bytes"))
    writer = lasting_archive.writer()
    assert not await writer.has(msgspec.structs.replace(image, version=image.version + 1))
    assert not await writer.has(msgspec.structs.replace(image, tags=("another",)))


async def test_a_second_export_replaces_changed_images(lasting_archive: Archive) -> None:
    unknown = UnknownImageFactory.build()
    ready = unknown.completed(ContentInfoFactory.build(byte_size=5), at=unknown.updated_at)
    other = with_content(b"other")
    await write(lasting_archive, (unknown, None), (other, b"other"))
    await write(lasting_archive, (ready, b"bytes"))
    assert in_order(await found_in(lasting_archive.reader())) == in_order([(ready, b"bytes"), (other, b"other")])


async def test_an_image_whose_new_content_breaks_off_stays_as_it_was(lasting_archive: Archive) -> None:
    image = with_content(b"bytes")
    await write(lasting_archive, (image, b"bytes"))
    with pytest.raises(LookupError):
        await lasting_archive.writer().put(msgspec.structs.replace(image, version=9_999), broken_after(b"byt"))
    assert await found_in(lasting_archive.reader()) == [(image, b"bytes")]


async def test_an_archive_can_not_be_looked_into_while_it_is_a_stream(tmp_path: Path) -> None:
    image, writer = with_content(b"bytes"), Tar(tmp_path).writer()
    await put(writer, image, b"bytes")
    assert not await writer.has(image)


def an_upload(data: bytes, media_type: MediaType = MediaType.PNG) -> Upload:
    digest = hashlib.sha256(data).hexdigest()
    content = ContentInfoFactory.build(byte_size=len(data), sha256=digest, media_type=media_type)
    return Upload(filename="a lion.png", content=content)


def with_uploads(*uploads: Upload, mask: Upload | None = None) -> Image:
    request = GenerationRequest(
        prompt="a lion",
        references=tuple(map(Reference.to_upload, uploads)),
        mask=None if mask is None else Reference.to_upload(mask),
    )
    return FailedImageFactory.build(request=request)


async def put_reference(writer: ImageArchiveWriter, data: bytes, media_type: MediaType = MediaType.PNG) -> None:
    await writer.put_reference(an_upload(data, media_type).content, in_chunks(data))


def read_reference(data: bytes) -> ReadReference:
    return an_upload(data).content.sha256, data


async def test_references_come_back_before_the_image_that_names_them(archive: Archive) -> None:
    large = b"large" * MIB
    image = with_uploads(an_upload(b"one"), an_upload(large, MediaType.WEBP), mask=an_upload(b"mask"))
    writer = archive.writer()
    await writer.prepare()
    await put_reference(writer, b"one")
    await put_reference(writer, large, MediaType.WEBP)
    await put_reference(writer, b"mask")
    await writer.put(image)
    await writer.finish()
    assert await found_in(archive.reader()) == [
        read_reference(b"one"),
        read_reference(large),
        read_reference(b"mask"),
        (image, None),
    ]


async def test_a_reference_that_several_images_name_is_written_once(archive: Archive) -> None:
    images = [with_uploads(an_upload(b"one"), an_upload(b"one")), with_uploads(an_upload(b"one"))]
    writer = archive.writer()
    await writer.prepare()
    assert not await writer.has_reference(an_upload(b"one").content)
    await put_reference(writer, b"one")
    assert await writer.has_reference(an_upload(b"one").content)
    assert not await writer.has_reference(an_upload(b"two").content)
    assert not await writer.has_reference(an_upload(b"one", MediaType.JPEG).content)
    for image in images:
        await writer.put(image)
    await writer.finish()
    found = await found_in(archive.reader())
    assert found[0] == read_reference(b"one")
    assert [one for one in in_order(found) if one != found[0]] == in_order([(image, None) for image in images])


async def test_unread_references_are_skipped(archive: Archive) -> None:
    image = with_uploads(an_upload(b"one"), an_upload(b"two" * MIB))
    writer = archive.writer()
    await writer.prepare()
    await put_reference(writer, b"one")
    await put_reference(writer, b"two" * MIB)
    await writer.put(image)
    await writer.finish()
    found = [one async for one in archive.reader().items()]
    assert [type(one) for one in found] == [ArchivedReference, ArchivedReference, ArchivedImage]


async def test_a_reference_that_breaks_off_is_not_there(archive: Archive) -> None:
    image, content = with_uploads(an_upload(b"one")), an_upload(b"one").content
    writer = archive.writer()
    await writer.prepare()
    with pytest.raises(LookupError):
        await writer.put_reference(content, broken_after(b"on"))
    assert not await writer.has_reference(content)
    await writer.put(image)
    await writer.finish()
    assert await found_in(archive.reader()) == [(image, None)]


async def test_a_second_export_knows_the_references(lasting_archive: Archive) -> None:
    image = with_uploads(an_upload(b"one"), mask=an_upload(b"mask"))
    writer = lasting_archive.writer()
    await writer.prepare()
    await put_reference(writer, b"one")
    await writer.put(image)
    again = lasting_archive.writer()
    assert await again.has_reference(an_upload(b"one").content)
    assert not await again.has(image)
    await put_reference(again, b"mask")
    assert await again.has(image)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).map(str.strip)
# As tags are stored: others are normalised when they are read.
tags = st.lists(texts.filter(bool), max_size=4).map(lambda labels: normalized_tags([Tag(label) for label in labels]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)
times = st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 -- as it asks

small_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=10,
)
words = texts.filter(bool)
references = st.builds(Reference.to_image, st.uuids())
options: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "model": words,
        "size": st.sampled_from(["auto", "16x16", "1536x1024", "8192x4028"]),
        "quality": words,
        "background": words,
        "output_format": st.sampled_from(list(OUTPUT_FORMATS)),
        "output_compression": st.integers(0, 100),
        "moderation": words,
        "references": st.lists(references, max_size=16).map(tuple),
        "mask": references,
        "input_fidelity": words,
        "partial_images": st.integers(0, 3),
        "extra": st.dictionaries(st.text("xyz", min_size=1), small_json_values, min_size=1, max_size=3),
    },
)
told = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
results = st.dictionaries(st.sampled_from(GenerationResult.__struct_fields__), told).map(GenerationResult.of)
places = st.integers(1, 10).flatmap(
    lambda size: st.builds(BatchPlace, guid=st.uuids(), position=st.integers(0, size - 1), size=st.just(size))
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    status = draw(st.sampled_from([ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN]))
    is_ready = status is ImageStatus.READY
    author = draw(st.sampled_from([None, "ann", "b\u00f6rk", "\u6771\u4eac"]))
    visibility = Visibility.PUBLIC if author is None else draw(st.sampled_from(Visibility))
    created_at = draw(times)
    failure = Failure(
        kind=draw(st.sampled_from(["GenerationRefusedError", "GenerationTimedOutError"])),
        detail=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=30)),
        maybe_billed=draw(st.booleans()),
        field=draw(st.sampled_from([None, "size", "references[3]"])),
    )
    return Image(
        guid=draw(st.uuids()),
        filename=draw(st.from_regex(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,254}", fullmatch=True)),
        request=GenerationRequest(
            prompt=draw(st.sampled_from(["a", "two\nlines \u2028 \ufeff ', \"", "\U0010ffff \x01 \\u0041"])),
            **draw(options),
        ),
        tags=draw(tags),
        author=None if author is None else UserName(author),
        visibility=visibility,
        status=status,
        model=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=255)),
        created_at=created_at,
        updated_at=created_at + timedelta(microseconds=draw(st.integers(0, 10**12))),
        content=ContentInfoFactory.build(byte_size=7) if is_ready else None,
        usage=draw(st.none() | st.dictionaries(st.text(), json_values, max_size=3)),
        failure=None if is_ready else failure,
        generator_request_id=draw(st.none() | st.from_regex("[ -~]{1,255}", fullmatch=True)),
        version=draw(st.integers(1, 2**31 - 1)),
        result=draw(results) if is_ready else None,
        batch=draw(st.none() | places),
    )


@pytest.mark.parametrize("kind", ARCHIVES)
@settings(max_examples=40, deadline=None)
@given(written=st.lists(images(), max_size=4, unique_by=lambda image: image.guid))
async def test_any_images_come_back_as_they_went_in(kind: type[Memory | Folder | Tar], written: list[Image]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = kind(Path(folder))
        pairs: list[Read] = [(image, b"7 bytes" if image.content else None) for image in written]
        await write(archive, *pairs)
        assert in_order(await found_in(archive.reader())) == in_order(pairs)
