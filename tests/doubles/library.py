"""Images and users that a service finds when it starts, in the places that it has by default."""

import asyncio
import hashlib
import io
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from PIL import Image as Picture

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import ContentStore
from pixyproxy.domain.user import UserName
from tests.doubles.service import clean_environment
from tests.factories import ImageFactory

DATABASE = Path("data") / "pixyproxy.db"
CONTENTS = Path("data") / "images"

Painting = tuple[Image, bytes]


def png(seed: object, *, width: int = 96, height: int = 64) -> bytes:
    """Return a picture of noise, which is as large as its pixels are many."""
    noise = random.Random(str(seed)).randbytes(3 * width * height)  # noqa: S311 -- the same each time
    buffer = io.BytesIO()
    Picture.frombytes("RGB", (width, height), noise).save(buffer, "PNG")
    return buffer.getvalue()


def paint(
    author: str, visibility: Visibility = Visibility.PUBLIC, *, data: bytes, media_type: MediaType = MediaType.PNG
) -> Painting:
    """Return a ready image of an author's that has this content; its size in pixels is what `png` takes by default."""
    image = ImageFactory.build(
        author=UserName(author),
        visibility=visibility,
        content=ContentInfo(
            media_type=media_type,
            byte_size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=96,
            height=64,
        ),
    )
    return image, data


def content_path(folder: Path, image: Image) -> Path:
    """Return where the service that works in `folder` keeps the content of an image."""
    key = image.content_key
    return folder / CONTENTS / key[:2] / key[2:4] / key


def fill(
    folder: Path, paintings: Iterable[Painting], users: Mapping[str, str], *, content_url: str | None = None
) -> None:
    """Store images, and users with their passwords, for a service that will work in `folder`.

    The content goes to the bucket of S3 that `content_url` names, if any.
    """
    (folder / DATABASE.parent).mkdir()
    contents: ContentStore = (
        FilesystemContentStore(folder / CONTENTS) if content_url is None else S3ContentStore(parse_s3_url(content_url))
    )
    asyncio.run(_store(folder, contents, paintings))
    for name, password in users.items():
        subprocess.run(
            [sys.executable, "-m", "pixyproxy", "users", "add", name, "--password-stdin"],
            cwd=folder,
            env=clean_environment({}),
            input=password.encode(),
            capture_output=True,
            check=True,
        )


async def _store(folder: Path, contents: ContentStore, paintings: Iterable[Painting]) -> None:
    database = SQLiteDatabase(folder / DATABASE)
    await database.open()
    await database.schema.upgrade()
    images = database.images
    await contents.prepare()
    for image, data in paintings:
        await contents.put(image.content_key, _only(data))
        await images.add(image)
    await contents.close()
    await database.close()


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data
