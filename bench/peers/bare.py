"""The floor of `reads.py`: Litestar handlers that answer from memory."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from litestar import Litestar, Response, get


class ImageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The same fields as PixyProxy's."""

    guid: UUID
    filename: str
    status: str
    prompt: str
    tags: Sequence[str]
    author: str | None
    visibility: str
    created_at: datetime
    updated_at: datetime
    media_type: str | None
    byte_size: int | None
    sha256: str | None
    width: int | None
    height: int | None
    model: str
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    batch: UUID | None = None
    problem: None = None


def _image(number: int) -> ImageDetail:
    guid, at = UUID(int=number, version=4), datetime(2026, 11, 21, 10, 0, 0, 123456 + number, UTC)
    return ImageDetail(
        guid=guid,
        filename=f"a-detailed-watercolor-of-a-red-fox-sleeping-in-the-forest-{guid}.png",
        status="ready",
        prompt="a detailed watercolor of a red fox sleeping in the forest of Karomi at dusk, with a golden lantern",
        tags=["lighthouse-1", "draft-7"],
        author="reader",
        visibility="public",
        created_at=at,
        updated_at=at,
        media_type="image/png",
        byte_size=1_482_033,
        sha256="9f86d081884c7d659a2feaa0c55ad015" * 2,
        width=1024,
        height=1024,
        model="gpt-image-2",
    )


_IMAGES = [_image(number) for number in range(100)]
_CONTENTS = {size: bytes(size) for size in (2_000, 50_000, 900_000)}


@get("/image/{guid:uuid}", sync_to_thread=False)
def details(guid: UUID) -> ImageDetail:  # noqa: ARG001 -- parsed, as PixyProxy does
    """Return a struct that is ready."""
    return _IMAGES[0]


@get("/image", sync_to_thread=False)
def images() -> Sequence[ImageDetail]:
    """Return 100 structs that are ready."""
    return _IMAGES


@get("/bytes/{size:int}", media_type="image/png", sync_to_thread=False)
def content(size: int) -> bytes:
    """Return bytes that are in memory."""
    return _CONTENTS[size]


@get("/unchanged", sync_to_thread=False)
def unchanged() -> Response[None]:
    """Answer 304."""
    return Response(None, status_code=304, headers={"ETag": '"an entity tag"'})


app = Litestar([details, images, content, unchanged], openapi_config=None, logging_config=None)
