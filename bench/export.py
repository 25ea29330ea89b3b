"""How long `pixyproxy export` and `pixyproxy import` take for many images, and how much memory.

    python bench/export.py [--images 100000] [--pixels 16]

Each number of images is exported and imported by processes of their own, so that one peak does not hide the other: a
tenth of `--images` first, then all of them; into a folder, and through a pipe as a tar. The images are the same each
time: PNGs of `--pixels` by `--pixels`. They are written past PixyProxy, without waiting for the disk, and not measured.
"""

import argparse
import asyncio
import hashlib
import io
import os
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
from PIL import Image as Picture

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.archive.tar_writer import TarImageArchiveWriter
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application import ExportImages, ImportImages, ImportUploads, StoreUpload
from pixyproxy.application.export_images import ExportOutcome
from pixyproxy.application.import_images import ImportOutcome
from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import ImageArchiveReader, ImageArchiveWriter

SEED = 7


def make_images(count: int, pixels: int) -> Iterator[tuple[Image, bytes]]:
    """Yield images with their contents."""
    source = random.Random(SEED)  # noqa: S311 -- the same images each time
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        guid = UUID(int=source.getrandbits(128), version=4)
        file = io.BytesIO()
        Picture.frombytes("L", (pixels, pixels), source.randbytes(pixels * pixels)).save(file, "png")
        data = file.getvalue()
        prompt, at = f"a lighthouse with {number} windows", start + timedelta(seconds=number)
        content = ContentInfo(
            media_type=MediaType.PNG,
            byte_size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=pixels,
            height=pixels,
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


def report(work: str, count: int, start: float, peak_before: float) -> None:
    """Print one line of results."""
    seconds = time.perf_counter() - start
    print(
        f"{work:<12} {count:>9,} images: {seconds:7.1f} s, {count / seconds:6,.0f} images/s, "
        f"peak memory {peak_before:.1f} MiB before and {peak_mib():.1f} MiB after",
        file=sys.stderr,
        flush=True,
    )


async def export_to(archive: str, folder: Path, count: int) -> None:
    """Export the images in `folder` to the folder `archive`, or as a tar to the standard output."""
    database = SQLiteDatabase(folder / "pixyproxy.db")
    await database.open()
    is_tar = archive == "-"
    stdout = os.fdopen(1, "wb", buffering=0)
    writer: ImageArchiveWriter = TarImageArchiveWriter(stdout) if is_tar else FolderImageArchiveWriter(Path(archive))
    images, contents = database.images, FilesystemContentStore(folder / "images")
    export_images = ExportImages(
        images=images,
        image_maintenance=images,
        contents=contents,
        upload_contents=FilesystemContentStore(folder / "images" / "uploads"),
        quarantine=contents,
    )
    peak_before, start = peak_mib(), time.perf_counter()
    outcomes = await export_images(writer)
    is_resumed = ExportOutcome.UNCHANGED in outcomes
    report(
        "export tar" if is_tar else "export again" if is_resumed else "export",
        sum(outcomes.values()),
        start,
        peak_before,
    )
    if set(outcomes.values()) != {count}:
        raise SystemExit(f"not what was written: {outcomes}")
    await database.close()


async def import_from(archive: str, folder: Path, count: int) -> None:
    """Import the images of the folder `archive`, or of the tar that comes from the standard input, to `folder`."""
    database = SQLiteDatabase(folder / "pixyproxy.db")
    await database.open()
    is_tar = archive == "-"
    reader: ImageArchiveReader = (
        TarImageArchiveReader(sys.stdin.buffer) if is_tar else FolderImageArchiveReader(Path(archive))
    )
    images, contents = database.images, FilesystemContentStore(folder / "images")
    upload_contents, inspector = FilesystemContentStore(folder / "images" / "uploads"), PillowContentInspector()
    import_images = ImportImages(
        images=images,
        deletions=images,
        contents=contents,
        quarantine=contents,
        inspector=inspector,
        import_uploads=ImportUploads(
            upload_contents=upload_contents,
            inspector=inspector,
            store_upload=StoreUpload(uploads=images, upload_store=upload_contents, inspector=inspector),
        ),
    )
    peak_before, start = peak_mib(), time.perf_counter()
    outcomes = await import_images(reader)
    is_again = ImportOutcome.UNCHANGED in outcomes
    report(
        "import tar" if is_tar else "import again" if is_again else "import", sum(outcomes.values()), start, peak_before
    )
    if set(outcomes.values()) != {count}:
        raise SystemExit(f"not what was written: {outcomes}")
    await database.close()


def measure(count: int, pixels: int) -> None:
    """Export and import `count` images in all ways."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        homes = [folder / home for home in ("source", "from-folder", "from-tar")]
        for home in homes:
            home.mkdir()
            asyncio.run(prepare(home))
        fill(homes[0], make_images(count, pixels))
        command = [sys.executable, __file__, "--images", str(count)]
        export = [*command, "--home", str(homes[0]), "--export"]
        for arguments in 2 * [[*export, str(folder / "archive")]] + 2 * [
            [*command, "--home", str(homes[1]), "--import", str(folder / "archive")]
        ]:
            subprocess.run(arguments, check=True)  # noqa: S603 -- our own script
        with subprocess.Popen([*export, "-"], stdout=subprocess.PIPE) as exporting:  # noqa: S603 -- our own script
            arguments = [*command, "--home", str(homes[2]), "--import", "-"]
            subprocess.run(arguments, check=True, stdin=exporting.stdout)  # noqa: S603 -- our own script


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a tenth of the images, and then all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--pixels", type=int, default=16)
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="Where database and contents are.")
    parser.add_argument("--export", metavar="FOLDER|-", help="Only export from --home.")
    parser.add_argument("--import", dest="import_", metavar="FOLDER|-", help="Only import to --home.")
    options = parser.parse_args(arguments)
    if options.export:
        asyncio.run(export_to(options.export, options.home, options.images))
    elif options.import_:
        asyncio.run(import_from(options.import_, options.home, options.images))
    else:
        for count in (options.images // 10, options.images):
            measure(count, options.pixels)


if __name__ == "__main__":
    main()
