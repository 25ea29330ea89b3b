"""Archives that earlier releases have written can be imported for ever."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application import ImportImages
from pixyproxy.application.export_images import ExportOutcome
from pixyproxy.application.import_images import ImportOutcome
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageArchiveReader, ImagePorts
from tests.archiving import exporter, importer

ARCHIVES = Path("tests/archives/482b97f")
EXPECTED: dict[str, dict[str, Any]] = json.loads((ARCHIVES / "images.json").read_text())


@pytest.fixture
def contents() -> InMemoryContentStore:
    return InMemoryContentStore()


@pytest.fixture(params=["sqlite", "mysql"])
def images(request: pytest.FixtureRequest) -> ImagePorts:
    database: SQLiteDatabase | MySQLDatabase = request.getfixturevalue(f"{request.param}_database")
    return database.images


@pytest.fixture
def import_images(images: ImagePorts, contents: InMemoryContentStore) -> ImportImages:
    return importer(images, contents)


def reader_of(path: Path) -> ImageArchiveReader:
    if path.is_dir():
        return FolderImageArchiveReader(path)
    return TarImageArchiveReader(io.BytesIO(path.read_bytes()))


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*.*")}


@pytest.mark.parametrize("name", ["folder", "archive.tar"])
async def test_every_field_and_every_byte_of_format_1_is_imported(
    import_images: ImportImages, images: ImagePorts, contents: InMemoryContentStore, name: str
) -> None:
    assert await import_images(reader_of(ARCHIVES / name)) == {ImportOutcome.IMPORTED: len(EXPECTED)}
    found = await images.scan(limit=10)
    assert [str(image.guid) for image in found] == sorted(EXPECTED)
    for image in found:
        assert isinstance(image, Image)
        expected = EXPECTED[str(image.guid)]
        fields = json.loads(json.dumps({**msgspec.to_builtins(image), "prompt": image.prompt}))
        if image.failure is not None:
            assert fields["failure"].pop("field") is None
        assert {field: fields[field] for field in expected} == expected
        assert (image.request.options, image.result, image.batch) == ({}, None, None)
        if image.content is not None:
            stored = await contents.open(image.content_key)
            data = b"".join([chunk async for chunk in stored.chunks])
            assert hashlib.sha256(data).hexdigest() == image.content.sha256
    assert await import_images(reader_of(ARCHIVES / name)) == {ImportOutcome.UNCHANGED: len(EXPECTED)}


async def test_an_export_over_format_1_rewrites_its_records_and_then_knows_them(
    import_images: ImportImages, images: ImagePorts, contents: InMemoryContentStore, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    await import_images(reader_of(ARCHIVES / "folder"))
    shutil.copytree(ARCHIVES / "folder", folder)
    export_images = exporter(images, contents)
    exported = await export_images(FolderImageArchiveWriter(folder))
    assert exported == {ExportOutcome.EXPORTED: len(EXPECTED)}
    again = await export_images(FolderImageArchiveWriter(folder))
    assert again == {ExportOutcome.UNCHANGED: len(EXPECTED)}
    records = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    assert [record["format"] for record in records] == [2] * len(EXPECTED)
    assert files_in(folder) == files_in(ARCHIVES / "folder")
    assert await import_images(reader_of(folder)) == {ImportOutcome.UNCHANGED: len(EXPECTED)}
