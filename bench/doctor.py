"""How long `pixyproxy doctor` takes for many images, and how much memory.

    python bench/doctor.py [--images 100000] [--bytes 200] [--no-digests]

Each number of images is checked by a process of its own, so that one peak does not hide the other: a tenth of
`--images` first, then all of them. The images are the same each time, and nothing is wrong with them. They are written
past PixyProxy, without waiting for the disk, and not measured.
"""

import argparse
import asyncio
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from embedded_library import fill, peak_mib, prepare

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application import CheckConsistency, CorrectSizes, FinishDeletions, RecoverImages
from pixyproxy.application.digest_check import DigestCheck
from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility

SEED = 7


def make_images(count: int, byte_size: int) -> Iterator[tuple[Image, bytes]]:
    """Yield images with their contents."""
    source = random.Random(SEED)  # noqa: S311 -- the same images each time
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        guid, data = UUID(int=source.getrandbits(128), version=4), source.randbytes(byte_size)
        prompt, at = f"a lighthouse with {number} windows", start + timedelta(seconds=number)
        content = ContentInfo(
            media_type=MediaType.PNG,
            byte_size=byte_size,
            sha256=hashlib.sha256(data).hexdigest(),
            width=1024,
            height=1024,
        )
        yield (
            Image(
                guid=guid,
                filename=filename_for(prompt, guid, MediaType.PNG),
                request=GenerationRequest(prompt=prompt),
                author=None,
                visibility=Visibility.PUBLIC,
                status=ImageStatus.READY,
                model="gpt-image-2",
                created_at=at,
                updated_at=at,
                content=content,
            ),
            data,
        )


async def check(folder: Path, count: int, digests: DigestCheck) -> None:
    """Check the images in `folder` and print one line of results."""
    database = SQLiteDatabase(folder / "pixyproxy.db")
    await database.open()
    images = database.images
    contents, inspector, clock = FilesystemContentStore(folder / "images"), PillowContentInspector(), SystemClock()
    check_consistency = CheckConsistency(
        images=images,
        leases=images,
        deletions=images,
        image_maintenance=images,
        contents=contents,
        variants=contents,
        quarantine=contents,
        content_maintenance=contents,
        inspector=inspector,
        clock=clock,
        correct_size=CorrectSizes(
            image_maintenance=images, contents=contents, inspector=inspector, clock=clock
        ).correct,
        recover=RecoverImages(
            images=images,
            leases=images,
            queue=images,
            contents=contents,
            quarantine=contents,
            inspector=inspector,
            generator=SketchImageGenerator(),
            clock=clock,
        ),
        finish_deletions=FinishDeletions(deletions=images, contents=contents),
    )
    peak_before, start = peak_mib(), time.perf_counter()
    report = await check_consistency(digests=digests)
    seconds = time.perf_counter() - start
    if (report.images, report.contents, report.remaining) != (count, count, 0):
        raise SystemExit(f"not what was written: {report}")
    print(
        f"{count:>9,} images, digests {digests}: {seconds:6.1f} s, "
        f"{count / seconds:7,.0f} images/s, peak memory {peak_before:.1f} MiB before and {peak_mib():.1f} MiB after",
        flush=True,
    )
    await database.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill two folders and check each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--no-digests", action="store_true")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="Only check what was written to FOLDER.")
    options = parser.parse_args(arguments)
    if options.check:
        asyncio.run(check(options.check, options.images, DigestCheck.NONE if options.no_digests else DigestCheck.READ))
        return
    for count in (options.images // 10, options.images):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(prepare(Path(folder)))
            fill(Path(folder), make_images(count, options.bytes))
            command = [sys.executable, __file__, "--check", folder, "--images", str(count)]
            command += ["--no-digests"] * options.no_digests
            subprocess.run(command, check=True)  # noqa: S603 -- our own script


if __name__ == "__main__":
    main()
