"""Many ready images, stored in seconds, for a service that keeps its images where it does by default."""

import hashlib
import io
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

from PIL import Image as Picture

from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageId, ImageStatus, Visibility
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.doubles.image_rows import rows_of, write_sqlite_rows
from tests.doubles.library import CONTENTS, DATABASE, content_path

SIDE: Final = 320
SUBJECTS: Final = ("fox", "lighthouse", "forest", "harbour", "mountain", "owl", "garden", "city", "river", "train")
PLACES: Final = ("in the snow", "at dusk", "in the rain", "at dawn", "in autumn", "by the sea", "at night")


def many_pictures() -> Sequence[bytes]:
    """Return twelve small JPEGs of different colours."""
    pictures = []
    for number in range(12):
        gradient = Picture.linear_gradient("L").resize((SIDE, SIDE))
        hue = Picture.new("L", gradient.size, number * 255 // 12)
        picture = Picture.merge(
            "HSV",
            (
                hue,
                gradient.point(lambda value: 120 + value // 3),
                gradient.transpose(Picture.Transpose.FLIP_TOP_BOTTOM),
            ),
        )
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG")
        pictures.append(buffer.getvalue())
    return pictures


def fill_quickly(
    folder: Path,
    count: int,
    *,
    author: str,
    visibility: Visibility = Visibility.PUBLIC,
    prompt: str | None = None,
    tags: Sequence[str] | None = None,
    newest: datetime | None = None,
    apart: timedelta = timedelta(milliseconds=1),
    pictures: Sequence[bytes] | None = None,
) -> Sequence[Image]:
    """Store `count` ready images for the service in `folder`, which has started there once, and return them.

    The newest comes first, as in a list; the time is `newest`, or now, and each other image is `apart` older. A
    `prompt` may have the field `{number}`, which counts from 1 for the oldest. Images that have one of `pictures` in
    common share its file; without `pictures` they are small ones of twelve colours.
    """
    files = [_Content.of(picture) for picture in pictures or many_pictures()]
    newest = newest or datetime.now(UTC)
    first_id = _first_free_id(folder)
    images = []
    for number in range(1, count + 1):
        content = files[number % len(files)]
        subject, place = SUBJECTS[number % len(SUBJECTS)], PLACES[number % len(PLACES)]
        text = (prompt or f"a {subject} {place}, {{number}}").replace("{number}", str(number))
        guid = uuid4()
        at = newest - (count - number) * apart
        image = Image(
            id=ImageId(first_id + number),
            guid=guid,
            filename=filename_for(text, guid, content.info.media_type),
            request=GenerationRequest(prompt=text),
            tags=tuple(map(Tag, (subject,) if tags is None else tags)),
            author=UserName(author),
            visibility=visibility,
            status=ImageStatus.READY,
            model="sketch",
            created_at=at,
            updated_at=at,
            content=content.info,
        )
        content.put(folder, image)
        images.append(image)
    write_sqlite_rows(folder / DATABASE, rows_of(images))
    return images[::-1]


def share_variants(folder: Path, images: Iterable[Image]) -> None:
    """Give the variants of one image to all images that have the same picture, as if they had been made for each.

    They are those of the first image of each picture, which are there.
    """
    firsts: dict[str, Image] = {}
    for image in images:
        first = firsts.setdefault(image.ready_content.sha256, image)
        if image is not first:
            target = _variants_path(folder, image)
            target.mkdir(parents=True, exist_ok=True)
            for variant in _variants_path(folder, first).iterdir():
                os.link(variant, target / variant.name)


class _Content:
    """The content of some images: one file with many names."""

    def __init__(self, data: bytes, info: ContentInfo) -> None:
        self.info = info
        self._data = data
        self._file: Path | None = None

    @classmethod
    def of(cls, data: bytes) -> "_Content":
        picture = Picture.open(io.BytesIO(data))
        info = ContentInfo(
            media_type=MediaType(Picture.MIME[picture.format or ""]),
            byte_size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=picture.width,
            height=picture.height,
        )
        return cls(data, info)

    def put(self, folder: Path, image: Image) -> None:
        """Store the content of an image, as the content store does."""
        path = content_path(folder, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self._file is not None:
                os.link(self._file, path)
        except OSError:
            # A file has at most some 65,000 names.
            self._file = None
        if self._file is None:
            path.write_bytes(self._data)
            self._file = path


def _variants_path(folder: Path, image: Image) -> Path:
    key = image.content_key
    return folder / CONTENTS / "variants" / key[:2] / key[2:4] / key


def _first_free_id(folder: Path) -> int:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        ((highest,),) = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'images'")
    return highest or 0
