"""Content inspector on Pillow and an XML parser."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from pixyproxy.adapters.pictures.formats import bitmap_type_of, is_turned_on_its_side
from pixyproxy.adapters.pictures.inspection import inspect_input, inspect_picture
from pixyproxy.adapters.pictures.picture import Picture, UnreadablePictureError
from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import ContentInspector, InputInfo, StoredContent

T = TypeVar("T")

# Few threads: each keeps the memory of the largest picture that it has decoded, up to hundreds of megabytes.
_THREADS: Final = 2


class PillowContentInspector(ContentInspector):
    """Reads the whole picture in a worker thread; content of more than 64 MiB is refused as damaged."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="content-inspector")

    async def inspect(self, content: StoredContent) -> ContentInfo:
        return await self._inspected(_describe, content)

    async def inspect_input(self, content: StoredContent) -> InputInfo:
        return await self._inspected(_describe_input, content)

    def is_turned(self, head: bytes) -> bool | None:
        return is_turned_on_its_side(head)

    def media_type_of(self, head: bytes) -> MediaType | None:
        return bitmap_type_of(head)

    async def _inspected(self, describe: Callable[[bytes], T], content: StoredContent) -> T:
        data = await read_all(content)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, describe, data)
        except UnreadablePictureError as exc:
            raise DamagedContentError(str(exc)) from exc


def _describe(data: bytes) -> ContentInfo:
    return _info(inspect_picture(data), data)


def _describe_input(data: bytes) -> InputInfo:
    found = inspect_input(data)
    return InputInfo(content=_info(found.picture, data), has_alpha=found.has_alpha)


def _info(picture: Picture, data: bytes) -> ContentInfo:
    return ContentInfo(
        media_type=picture.media_type,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        width=picture.width,
        height=picture.height,
    )
