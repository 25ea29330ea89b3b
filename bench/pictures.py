"""The cost of the worst pictures: time and memory to inspect and draw them, and the wait of other requests.

Each is done in a process of its own: `python bench/pictures.py`. To compare it with another version, have that one's
checkout in PYTHONPATH. `stall` is the longest time that the event loop could not run meanwhile; `memory` is the
peak above the memory before the picture.
"""

import asyncio
import io
import json
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

SIDE = 8_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, row: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG whose rows are all the same, with more chunks ahead of them."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(b"\0" + row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join((SIGNATURE, chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")))


def gif(frames: int, width: int = 1, height: int = 1) -> bytes:
    """Return a GIF whose frames are all the same."""
    target = io.BytesIO()
    Image.new("P", (width, height)).save(target, "GIF")
    whole = target.getvalue()
    start = whole.rindex(b"\x2c" + struct.pack("<HHHH", 0, 0, width, height))
    return whole[:start] + whole[start:-1] * frames + b"\x3b"


def scans(width: int, height: int, number: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    target = io.BytesIO()
    Image.new("L", (width, height), 99).save(target, "JPEG", progressive=True)
    whole = target.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * number + b"\xff\xd9"


def encoded(kind: str, **options: Any) -> bytes:
    """Return noise of 12 million pixels."""
    target = io.BytesIO()
    tile = Image.effect_noise((500, 500), 90).convert("RGB")
    picture = Image.new("RGB", (4_000, 3_000))
    for left in range(0, 4_000, 500):
        for top in range(0, 3_000, 500):
            picture.paste(tile, (left, top))
    picture.save(target, kind, **options)
    return target.getvalue()


def text(mib: int, count: int = 1) -> bytes:
    """Return chunks of compressed text."""
    return chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(mib << 20))) * count


PICTURES: dict[str, Callable[[], bytes]] = {
    "PNG 1024x1024": lambda: png(1_024, 1_024, bytes(3 * 1_024)),
    "PNG 12 MP noise": lambda: encoded("PNG", compress_level=1),
    "JPEG 12 MP noise": lambda: encoded("JPEG", quality=95),
    "JPEG 12 MP noise, progressive": lambda: encoded("JPEG", quality=95, progressive=True),
    "WebP 12 MP noise": lambda: encoded("WEBP", method=0),
    "PNG 64 MP": lambda: png(SIDE, SIDE, bytes(3 * SIDE)),
    "PNG 64 MP, 16 bits and alpha": lambda: png(SIDE, SIDE, bytes(8 * SIDE), depth=16, colour=6),
    "PNG zTXt of 200 MiB": lambda: png(1, 1, b"abc", text(200)),
    "PNG 60 zTXt of 1 MiB": lambda: png(1, 1, b"abc", text(1, 60)),
    "PNG 299,000 texts": lambda: png(1, 1, b"abc", chunk(b"tEXt", b"a\0b") * 299_000),
    "GIF 9 frames 3840x2160": lambda: gif(9, 3_840, 2_160),
    "GIF 10,000 frames 1x1": lambda: gif(10_000),
    "GIF 1,000,000 frames 1x1": lambda: gif(1_000_000),
    "JPEG 64 MP, 20 scans": lambda: scans(SIDE, SIDE, 11),
    "JPEG 64 MP, 1,000 scans": lambda: scans(SIDE, SIDE, 1_000),
    "JPEG 8 MP, 90 scans": lambda: scans(3_840, 2_160, 81),
    "bytes after a PNG, 60 MB": lambda: png(1, 1, b"abc") + bytes(60_000_000),
}


def status(name: str) -> int:
    """Return a line of this process' status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


async def longest_stall(work: Callable[[], object]) -> float:
    """Return for how long the loop stood still while the work was done in a thread."""
    task = asyncio.create_task(asyncio.to_thread(work))
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


def measured(name: str, what: str) -> dict[str, Any]:
    """Return the cost of judging or drawing this picture, in a fresh process."""
    from pixyproxy.adapters.pictures.inspection import inspect_picture  # noqa: PLC0415
    from pixyproxy.adapters.pictures.vips.picture import convert_bitmap  # noqa: PLC0415
    from pixyproxy.domain.variant import Variant, VariantFormat  # noqa: PLC0415

    variant = Variant(format=VariantFormat.WEBP, width=512)
    data, small = PICTURES[name](), png(8, 8, bytes(24))
    outcome: list[str] = []

    def work(data: bytes) -> None:
        try:
            if what == "draw":
                convert_bitmap(data, variant)
                outcome.append("drawn")
            else:
                picture = inspect_picture(data)
                outcome.append(f"{picture.width}x{picture.height}")
        except Exception as exc:  # noqa: BLE001 -- whatever it says
            outcome.append(str(exc).splitlines()[0])

    work(small)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = status("VmRSS"), time.perf_counter()
    stall = asyncio.run(longest_stall(lambda: work(data)))
    return {
        "size": len(data),
        "seconds": time.perf_counter() - start,
        "memory": (status("VmHWM") - before) / 1024,
        "stall": stall,
        "outcome": outcome[-1],
    }


def main() -> None:
    """Print a line for each picture."""
    if len(sys.argv) > 2:  # noqa: PLR2004 -- it is the process
        print(json.dumps(measured(sys.argv[1], sys.argv[2])))
        return
    print(f"{'picture':<32}{'bytes':>12}  {'':<8}{'s':>7}{'MB':>7}{'stall ms':>10}  outcome")
    for name in PICTURES:
        for what in ("judge", "draw"):
            command = [sys.executable, __file__, name, what]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- this file
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name:<32}{found['size']:>12,}  {what:<8}{found['seconds']:>7.2f}{found['memory']:>7.0f}"
                f"{1_000 * found['stall']:>10.0f}  {found['outcome']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
