"""The way from SQLite to MySQL: exported, imported, and every byte and every field is the same."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from PIL import Image as Picture

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application import StoreUpload
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import ContentPorts, ImagePorts, StoredContent
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import load_settings
from tests.contents import keys_in
from tests.doubles.seaweedfs import SeaweedFS
from tests.doubles.service import clean_environment
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.requests import REQUEST

Everything = Mapping[UUID, tuple[Image, bytes | None]]

TIMES = [
    datetime(1970, 1, 2, tzinfo=UTC),
    datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, 0, 999_999, tzinfo=UTC),
    datetime(2037, 12, 31, 23, 59, 59, 120_000, tzinfo=UTC),
]
PROMPTS = [
    "it's \"quoted\" `twice` and ''thrice''; DROP TABLE images; --",
    "100% %s %(guid)s %% :guid ?",
    "\\ \\' \\n C:\\new\\0 \\",
    "one\ntwo\r\nthree\ttab\u2028separator",
    "👩‍👩‍👧‍👦 🏴‍☠️ 😀 \u202eصورة قطة\u202c e\u0301 \ufffe\uffff\U0010ffff\x7f\x01",
    "💡" * 32_000,
]
USAGES = [
    None,
    {},
    {"total_tokens": 10**40, "cost": 0.1, "details": {"text": [1, None, True, {"": "\u0000"}]}, "\ud800": "日本"},
]
MADE = [FailedImageFactory, UnknownImageFactory]
UPLOADERS = 3
NUMBER = len(PROMPTS) + len(MADE) * len(TIMES) + UPLOADERS


class Home:
    """A database and a content store, and the environment that leads the commands to them."""

    def __init__(self, images: ImagePorts, content_url: str, database_url: str) -> None:
        self.images = images
        settings = {
            "PIXYPROXY_DATABASE_URL": database_url,
            "PIXYPROXY_CONTENT_URL": content_url,
            "PIXYPROXY_GENERATOR": "sketch",
        }
        container = Container(settings=load_settings(settings))
        self.contents: ContentPorts = container.contents()
        self.upload_contents: ContentPorts = container.upload_contents()
        self.environment = clean_environment(settings)

    async def prepare(self) -> None:
        for contents in (self.contents, self.upload_contents):
            await contents.prepare()

    async def close(self) -> None:
        for contents in (self.contents, self.upload_contents):
            await contents.close()

    async def add(self, image: Image, data: bytes | None = None) -> None:
        if data is not None:
            await self.contents.put(image.content_key, chunks_of(data))
        await self.images.add(image)

    async def upload(self, data: bytes) -> Reference:
        store_upload = StoreUpload(
            uploads=self.images, upload_store=self.upload_contents, inspector=PillowContentInspector()
        )
        return Reference.to_upload(await store_upload(chunks_of(data), filename="löwe.png"))

    async def uploads(self) -> Mapping[ContentKey, bytes]:
        """Return all uploads by their keys."""
        found = {}
        for key in await keys_in(self.upload_contents):
            stored = await self.upload_contents.open(key)
            found[key] = b"".join([chunk async for chunk in stored.chunks])
        return found

    async def everything(self) -> Everything:
        """Return all images by their guids without the database's ids, and all contents."""
        found = {}
        for image in await self.images.scan(limit=1_000):
            assert isinstance(image, Image)
            data = None
            if image.content is not None:
                stored = await self.contents.open(image.content_key)
                data = b"".join([chunk async for chunk in stored.chunks])
            found[image.guid] = msgspec.structs.replace(image, id=None), data
        return found


@lru_cache
def picture_of(media_type: MediaType, pixels: int) -> bytes:
    """Return a square picture of noise."""
    if media_type is MediaType.SVG:
        noise = os.urandom(pixels * pixels).hex()
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{pixels}" height="{pixels}"><!--{noise}--></svg>'
        ).encode()
    file = io.BytesIO()
    picture = Picture.frombytes("RGB", (pixels, pixels), os.urandom(3 * pixels * pixels))
    picture.save(file, media_type.name.lower())
    return file.getvalue()


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def source(sqlite_database: SQLiteDatabase, tmp_path: Path) -> Home:
    """Return a home on SQLite with images of every kind, unfinished ones included."""
    home = Home(
        sqlite_database.images,
        f"file:{tmp_path}/source images",
        f"sqlite:///{tmp_path}/pixyproxy.db",
    )
    await home.prepare()
    for image, data in await finished_images():
        await home.add(image, data)
    for image in await images_with_uploads(home):
        await home.add(image)
    for factory in (PendingImageFactory, GeneratingImageFactory):
        await home.add(factory.build())
    return home


async def finished_images() -> Sequence[tuple[Image, bytes | None]]:
    """Return images that differ in all that an image can be."""
    made: list[tuple[Image, bytes | None]] = []
    for number, prompt in enumerate(PROMPTS):
        data = picture_of(list(MediaType)[number % len(MediaType)], 100 * (2 * number + 1))
        info = await PillowContentInspector().inspect(StoredContent(len(data), chunks_of(data)))
        time = TIMES[number % len(TIMES)]
        has_author = number % 3 != 0
        image = ImageFactory.build(
            prompt=prompt,
            # Not in the order of the alphabet; and a database may find some of them equal.
            tags=tuple(map(Tag, ["z", "a", "A", "ä", "日本", "x" * 64, "a b"])) if number else (),
            author="ann" if has_author else None,
            visibility=Visibility.PRIVATE if number % 3 == 1 else Visibility.PUBLIC,
            content=info,
            usage=USAGES[number % len(USAGES)],
            created_at=time,
            updated_at=time + timedelta(microseconds=number),
            version=number + 1 if number else 2**31 - 1,
            generator_request_id=None if number else "~" * 255,
        )
        made.append((image, data))
    for factory in MADE:
        made.extend((factory.build(created_at=time, visibility=Visibility.PRIVATE), None) for time in TIMES)
    return made


async def images_with_uploads(home: Home) -> Sequence[Image]:
    """Return images of a batch that were drawn from uploads and images, all with every option."""
    lion, sea = [await home.upload(picture_of(media_type, 100)) for media_type in (MediaType.PNG, MediaType.JPEG)]
    parent = Reference.to_image(UUID(int=7))
    batch = UUID(int=8)
    return [
        FailedImageFactory.build(
            request=GenerationRequest(**{**REQUEST, "references": references, "mask": lion}),
            batch=BatchPlace(guid=batch, position=position, size=UPLOADERS),
            author=author,
        )
        for position, (references, author) in enumerate(
            [((lion, parent, sea, lion), "ann"), ((sea,), "ann"), ((parent,), "bob")]
        )
    ]


@pytest.fixture
async def target(mysql_database: MySQLDatabase, mysql_url: str, tmp_path: Path) -> Home:
    """Return an empty home on MySQL."""
    home = Home(mysql_database.images, f"file:{tmp_path}/target images", mysql_url)
    await home.prepare()
    return home


async def finished(home: Home) -> Everything:
    return {guid: pair for guid, pair in (await home.everything()).items() if pair[0].status.is_final}


async def run(*arguments: str, home: Home, status: int = 0) -> tuple[str, str]:
    """Run a command to its end and return its output of both streams."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "pixyproxy", *arguments),
        env=home.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == status, errors.decode()
    return output.decode(), errors.decode()


async def run_through_a_pipe(source: Home, target: Home) -> tuple[int, int, str]:
    """Run `pixyproxy export - | pixyproxy import -`, and return both exit statuses and the last line."""
    read, write = os.pipe()
    command = sys.executable, "-W", "error", "-m", "pixyproxy"
    exporting = await asyncio.create_subprocess_exec(
        *command, "export", "-", env=source.environment, stdout=write, stderr=subprocess.DEVNULL
    )
    importing = await asyncio.create_subprocess_exec(
        *command, "import", "-", env=target.environment, stdin=read, stdout=subprocess.PIPE
    )
    os.close(read)
    os.close(write)
    output, _ = await importing.communicate()
    return await exporting.wait(), importing.returncode or 0, output.decode()


async def test_from_sqlite_to_mysql_by_a_folder_every_byte_and_field_is_the_same(
    source: Home, target: Home, tmp_path: Path
) -> None:
    archive = str(tmp_path / "archive")
    exported, _ = await run("export", archive, home=source)
    assert exported == f"{NUMBER} images exported, 0 there already, 2 still being made and left out, 0 not exported.\n"
    imported, _ = await run("import", archive, home=target)
    assert imported == f"{NUMBER} images imported, 0 there already, 0 given their missing content, 0 not taken.\n"
    expected = await finished(source)
    assert len(expected) == NUMBER
    assert await target.everything() == expected
    assert await target.uploads() == await source.uploads()
    assert len(await source.uploads()) == 2
    again, _ = await run("import", archive, home=target)
    assert again == f"0 images imported, {NUMBER} there already, 0 given their missing content, 0 not taken.\n"
    assert await target.everything() == expected


async def test_from_sqlite_to_mysql_through_a_pipe_every_byte_and_field_is_the_same(source: Home, target: Home) -> None:
    assert await run_through_a_pipe(source, target) == (
        0,
        0,
        f"{NUMBER} images imported, 0 there already, 0 given their missing content, 0 not taken.\n",
    )
    assert await target.everything() == await finished(source)
    assert await target.uploads() == await source.uploads()


@pytest.fixture
async def third(tmp_path: Path) -> AsyncIterator[Home]:
    """Return an empty home on another SQLite file."""
    database = SQLiteDatabase(tmp_path / "third.db")
    await database.open()
    await database.schema.upgrade()
    home = Home(database.images, f"file:{tmp_path}/third images", f"sqlite:///{tmp_path}/third.db")
    await home.prepare()
    yield home
    await database.close()


async def test_and_back_again_every_byte_and_field_is_the_same(source: Home, target: Home, third: Home) -> None:
    await run_through_a_pipe(source, target)
    await run_through_a_pipe(target, third)
    assert await third.everything() == await finished(source)
    assert await third.uploads() == await source.uploads()


@pytest.fixture
async def target_on_s3(mysql_database: MySQLDatabase, mysql_url: str, seaweedfs: SeaweedFS) -> AsyncIterator[Home]:
    """Return an empty home on MySQL and S3."""
    home = Home(mysql_database.images, seaweedfs.url(), mysql_url)
    await home.prepare()
    yield home
    await home.close()


async def test_from_a_folder_to_s3_and_back_every_byte_and_field_is_the_same_and_what_s3_lost_is_imported_again(
    source: Home, target_on_s3: Home, third: Home, tmp_path: Path
) -> None:
    archive, back = str(tmp_path / "archive"), str(tmp_path / "back")
    await run("export", archive, home=source)
    await run("import", archive, home=target_on_s3)
    expected = await finished(source)
    assert await target_on_s3.everything() == expected
    assert await target_on_s3.uploads() == await source.uploads()
    unchanged, _ = await run("export", archive, home=target_on_s3)
    assert unchanged.startswith(f"0 images exported, {NUMBER} there already, ")
    await target_on_s3.contents.put_quarantined(ContentKey(str(UUID(int=9))), chunks_of(b"no picture"))
    exported, _ = await run("export", back, home=target_on_s3)
    assert exported.startswith(f"{NUMBER} images exported, ")
    assert "In quarantine and left out: 1." in exported
    await run("import", back, home=third)
    assert await third.everything() == expected
    assert await third.uploads() == await source.uploads()

    lost = next(image for image, data in expected.values() if data is not None)
    await target_on_s3.contents.delete(lost.content_key)
    for key in await target_on_s3.uploads():
        await target_on_s3.upload_contents.delete(key)
    await run("import", archive, home=target_on_s3)
    assert await target_on_s3.everything() == expected
    assert await target_on_s3.uploads() == await source.uploads()


async def test_imported_images_are_found_by_words_and_tags(source: Home, target: Home, tmp_path: Path) -> None:
    await run("export", str(tmp_path / "archive"), home=source)
    await run("import", str(tmp_path / "archive"), home=target)
    wanted = ImageFilter(visibility=Visibility.PUBLIC, search=Search.parse("quoted twice"))
    found = await target.images.list(wanted, limit=10)
    assert [image.prompt for image in found] == [PROMPTS[0]]
    tagged = ImageFilter(author=found[0].author, visibility=Visibility.PUBLIC, tags=(Tag("日本"),))
    assert {image.guid for image in await target.images.list(tagged, limit=10)} == {
        image.guid for image in await source.images.list(tagged, limit=10)
    }


async def test_a_damaged_archive_gives_all_that_is_whole(source: Home, target: Home, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    await run("export", str(archive), home=source)
    picture, *_ = archive.rglob("*.webp")
    data = bytearray(picture.read_bytes())
    data[len(data) // 2] ^= 1
    picture.write_bytes(data)
    _, errors = await run("import", str(archive), home=target, status=1)
    assert picture.stem in errors
    expected = {guid: pair for guid, pair in (await finished(source)).items() if str(guid) != picture.stem}
    assert await target.everything() == expected
    await run("export", str(archive), home=source)


async def test_an_import_that_is_killed_goes_on_when_it_is_run_again(
    source: Home, target: Home, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    await run("export", str(archive), home=source)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pixyproxy", "import", str(archive)), env=target.environment
    )
    while not await target.images.count():  # noqa: ASYNC110 -- another process is at work
        await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    before = await target.everything()
    expected = await finished(source)
    assert all(expected[guid] == pair for guid, pair in before.items())
    await run("import", str(archive), home=target)
    assert await target.everything() == expected
