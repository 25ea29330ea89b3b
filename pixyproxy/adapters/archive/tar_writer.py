"""Export to a tar."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterable
from typing import BinaryIO, Final, TypeAlias

from pixyproxy.adapters.archive.blocking import CHUNK_SIZE, to_thread
from pixyproxy.adapters.archive.private_folder import FILE_MODE
from pixyproxy.adapters.archive.records import ArchiveName, ReferenceName, image_to_json
from pixyproxy.adapters.archive.tar import TarOutput
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchiveProblem, ImageArchiveWriter

SPOOL_SIZE: Final = 8 << 20

Spool: TypeAlias = "tempfile.SpooledTemporaryFile[bytes]"


class TarImageArchiveWriter(ImageArchiveWriter):
    """Writes images to `stream` as a tar: each record, directly followed by the content, and behind its references.

    A stream can't take bytes back, so each content is spooled until it is complete: up to 8 MiB in memory, more in a
    temporary file. If the stream is a file, `prepare` restricts it to its owner. Remembers the names of all references.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._tar = TarOutput(stream)
        self._references: set[ReferenceName] = set()

    async def prepare(self) -> ArchiveProblem | None:
        if await asyncio.to_thread(_shut_others_out, self._stream):
            return None
        return ArchiveProblem("The tar", "Others may be able to read it: it belongs to another user.")

    async def has(self, image: Image) -> bool:  # noqa: ARG002 -- the port's
        return False

    async def has_reference(self, content: ContentInfo) -> bool:
        return ReferenceName.of(content) in self._references

    async def put_reference(self, content: ContentInfo, chunks: AsyncIterable[bytes]) -> None:
        name = ReferenceName.of(content)
        with tempfile.SpooledTemporaryFile(SPOOL_SIZE) as spool:
            await _spool(chunks, spool)
            await to_thread(self._write_spooled, str(name), spool, 0)
        self._references.add(name)

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        with tempfile.SpooledTemporaryFile(SPOOL_SIZE) as spool:
            if chunks is not None:
                await _spool(chunks, spool)
            await to_thread(self._write, image, spool)

    async def finish(self) -> None:
        await to_thread(self._tar.finish)

    def _write(self, image: Image, spool: Spool) -> None:
        time = image.updated_at.timestamp()
        record = image_to_json(image)
        self._tar.begin(str(ArchiveName.of_record(image.guid)), len(record), time)
        self._tar.write(record)
        self._tar.end()
        if image.content is not None:
            self._write_spooled(str(ArchiveName.of_content(image.guid, image.content)), spool, time)

    def _write_spooled(self, name: str, spool: Spool, time: float) -> None:
        self._tar.begin(name, spool.tell(), time)
        spool.seek(0)
        while chunk := spool.read(CHUNK_SIZE):
            self._tar.write(chunk)
        self._tar.end()


async def _spool(chunks: AsyncIterable[bytes], spool: Spool) -> None:
    async for chunk in chunks:
        await to_thread(spool.write, chunk)


def _shut_others_out(stream: BinaryIO) -> bool:
    """Restrict a file to its owner; return whether that worked. True for pipes and memory, which have no owner."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):
        return True
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) == FILE_MODE:
        return True
    try:
        os.fchmod(descriptor, FILE_MODE)
    except OSError:
        return False
    return True
