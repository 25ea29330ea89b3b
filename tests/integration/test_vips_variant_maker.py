"""Large, odd and hostile pictures in libvips."""

import asyncio
import base64
import io
import os
import stat
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from pixyproxy.adapters.pictures.vips import picture
from pixyproxy.adapters.pictures.vips.drawing import Drawer
from pixyproxy.adapters.pictures.vips.variant_maker import VipsVariantMaker
from pixyproxy.domain.errors import DamagedContentError, OverloadedError
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.variant import Fit, Variant, VariantFormat
from tests import odd_pictures

PNG = Variant(format=VariantFormat.PNG)
SMALL = Variant(format=VariantFormat.PNG, width=64)
SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
RED_SQUARE = f'<svg {SVG} width="20" height="20"><rect width="20" height="20" fill="red"/></svg>'
# Each blur of 4,096 x 4,096 pixels takes seconds, and there are two hundred.
ENDLESS = (
    f'<svg {SVG} width="4096" height="4096"><filter id="blur"><feGaussianBlur stdDeviation="50"/></filter>'
    + 200 * '<rect filter="url(#blur)" width="4000" height="4000"/>'
    + "</svg>"
)


@pytest.fixture
async def maker() -> AsyncIterator[VipsVariantMaker]:
    maker = VipsVariantMaker()
    yield maker
    await maker.close()


@pytest.fixture
def drawer() -> Iterator[Drawer]:
    drawer = Drawer()
    yield drawer
    drawer.close()


def stored(data: bytes | str) -> StoredContent:
    content = data.encode() if isinstance(data, str) else data

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    return StoredContent(len(content), chunks())


def encoded(bitmap: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    bitmap.save(target, kind, **options)
    return target.getvalue()


def opened(data: bytes) -> Image.Image:
    bitmap = Image.open(io.BytesIO(data))
    bitmap.load()
    return bitmap


def middle(data: bytes) -> tuple[int, ...]:
    bitmap = opened(data)
    found = bitmap.getpixel((bitmap.width // 2, bitmap.height // 2))
    assert isinstance(found, tuple)
    return found


async def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so; fail when that takes more than ten seconds."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 -- threads and processes tell the loop nothing
            await asyncio.sleep(0.01)


def uniform_png(width: int, height: int, *, depth: int = 1, colour: int = 0, rows: int | None = None) -> bytes:
    """Return a PNG of one grey or, with `colour` 2, one colour; with fewer `rows` than its height it breaks off."""
    samples = 3 if colour == 2 else 1
    row = b"\0" + b"\xff" * ((width * depth * samples + 7) // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


async def test_a_decompression_bomb_is_refused_by_its_first_bytes(maker: VipsVariantMaker) -> None:
    bomb = uniform_png(30_000, 30_000)
    assert len(bomb) < 2_000_000
    for data in (bomb, bomb[:1_000]):
        with pytest.raises(DamagedContentError, match="64,000,000 pixels"):
            await maker.make(stored(data), SMALL)


async def test_a_picture_of_64_million_pixels_is_still_made_and_one_more_row_is_refused(
    maker: VipsVariantMaker,
) -> None:
    assert opened(await maker.make(stored(uniform_png(8_000, 8_000)), SMALL)).size == (64, 64)
    with pytest.raises(DamagedContentError, match="64,000,000 pixels"):
        await maker.make(stored(uniform_png(8_000, 8_001, rows=1)), SMALL)


async def test_a_large_picture_is_read_row_by_row(tmp_path: Path) -> None:
    """Decoded at once it would take 192 MB."""
    file = tmp_path / "large.png"
    file.write_bytes(uniform_png(8_000, 8_000, depth=8, colour=2))
    program = (
        "import pathlib, re, sys\n"
        "from pixyproxy.adapters.pictures.vips.picture import convert_bitmap\n"
        "from pixyproxy.domain.variant import Variant, VariantFormat\n"
        "data = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "convert_bitmap(data, Variant(format=VariantFormat.WEBP, width=512))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1])\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(file)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 160_000


async def test_content_of_more_than_64_mib_is_refused_before_it_is_held(maker: VipsVariantMaker) -> None:
    mib, given = bytes(1 << 20), 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield mib

    with pytest.raises(DamagedContentError, match="64 MiB"):
        await maker.make(StoredContent(10, chunks()), SMALL)
    assert given == 65


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "BMP", "PPM", "ICO", "TGA", "PDF"])
async def test_no_other_format_is_touched(maker: VipsVariantMaker, kind: str) -> None:
    with pytest.raises(DamagedContentError, match="none of PNG, JPEG, WebP, GIF and SVG"):
        await maker.make(stored(encoded(Image.new("RGB", (40, 40), "red"), kind)), SMALL)


async def test_a_compressed_svg_is_refused(maker: VipsVariantMaker) -> None:
    with pytest.raises(DamagedContentError, match="none of"):
        await maker.make(stored(zlib.compress(RED_SQUARE.encode(), wbits=31)), SMALL)


async def test_messages_of_libvips_and_pillow_stay_inside(maker: VipsVariantMaker) -> None:
    with pytest.raises(DamagedContentError) as caught:
        await maker.make(stored(odd_pictures.hidden()["jpeg-twice-begun"]), PNG)
    assert caught.value.detail == "The JPEG picture is damaged or incomplete."
    assert caught.value.__cause__ is not None


async def test_sixteen_bits_become_eight(maker: VipsVariantMaker) -> None:
    made = await maker.make(stored(encoded(Image.new("I;16", (40, 40), 0x8000), "PNG")), PNG)
    assert opened(made).mode == "RGB"
    assert all(abs(value - 0x80) <= 1 for value in middle(made))


async def test_printing_colours_become_those_of_a_screen(maker: VipsVariantMaker) -> None:
    # Pillow writes CMYK inverted, as is usual.
    made = await maker.make(stored(encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG")), PNG)
    red, green, blue = middle(made)
    assert red > 180
    assert max(green, blue) < 90


def swapped_profile() -> bytes:
    """Return a colour profile that takes red for blue and blue for red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("variant", [PNG, SMALL])
async def test_colours_are_converted_by_the_profile_that_is_dropped(
    maker: VipsVariantMaker, kind: str, variant: Variant
) -> None:
    options = {"quality": 100} if kind != "PNG" else {}
    red = encoded(Image.new("RGB", (100, 100), "red"), kind, icc_profile=swapped_profile(), **options)
    made = middle(await maker.make(stored(red), variant))
    assert made[0] < 40
    assert made[2] > 215


async def test_a_profile_that_is_nonsense_is_passed_over(maker: VipsVariantMaker) -> None:
    red = encoded(Image.new("RGB", (100, 100), "red"), "PNG", icc_profile=b"nonsense" * 40)
    assert middle(await maker.make(stored(red), SMALL)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("asked", [{"width": 50}, {"width": 50, "height": 300, "fit": Fit.COVER}, {"height": 999}])
async def test_a_large_picture_becomes_exactly_as_small_as_was_asked_for(
    maker: VipsVariantMaker, kind: str, asked: dict[str, Any]
) -> None:
    gradient = Image.linear_gradient("L").resize((3_001, 1_999)).convert("RGB")
    variant = Variant(format=VariantFormat.PNG, **asked)
    made = opened(await maker.make(stored(encoded(gradient, kind)), variant))
    assert made.size == variant.size_of(3_001, 1_999)
    levels = [made.convert("L").getpixel((made.width // 2, made.height * part // 4)) for part in (1, 2, 3)]
    assert all(isinstance(level, int) and abs(level - 64 * part) < 8 for part, level in enumerate(levels, 1))


async def test_a_side_of_a_variant_has_4096_pixels_at_most(maker: VipsVariantMaker) -> None:
    made = opened(await maker.make(stored(uniform_png(16_384, 100)), Variant(format=VariantFormat.WEBP)))
    assert made.size == (4_096, 25)


async def test_the_loop_goes_on_and_no_more_are_at_work_than_there_are_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end = threading.Event()
    at_work: set[str] = set()

    def slow_convert_bitmap(data: bytes, variant: Variant) -> bytes:
        at_work.add(threading.current_thread().name)
        assert may_end.wait(10)
        return b"made"

    monkeypatch.setattr(picture, "convert_bitmap", slow_convert_bitmap)
    maker = VipsVariantMaker(max_workers=2)
    tasks = [asyncio.create_task(maker.make(stored(uniform_png(1, 1)), PNG)) for _ in range(5)]
    await until(lambda: len(at_work) == 2)
    may_end.set()
    assert await asyncio.gather(*tasks) == [b"made"] * 5
    assert len(at_work) == 2
    await maker.close()


@pytest.mark.parametrize("kind", VariantFormat)
async def test_an_svg_is_drawn_in_every_format(maker: VipsVariantMaker, kind: VariantFormat) -> None:
    made = await maker.make(stored(RED_SQUARE), Variant(format=kind, width=64))
    assert opened(made).size == (64, 64)
    assert all(abs(found - value) < 8 for found, value in zip(middle(made)[:3], (255, 0, 0), strict=True))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (20, 10)),
        ({"width": 400}, (400, 200)),
        ({"height": 5}, (10, 5)),
        ({"width": 30, "height": 30, "fit": Fit.COVER}, (30, 30)),
        ({"width": 4_096}, (4_096, 2_048)),
    ],
)
async def test_an_svg_is_drawn_as_large_as_was_asked_for_and_sharp(
    maker: VipsVariantMaker, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    halves = '<rect width="10" height="10"/><rect x="10" width="10" height="10" fill="red"/>'
    svg = f'<svg {SVG} width="20" height="10">{halves}</svg>'
    made = opened(await maker.make(stored(svg), Variant(format=VariantFormat.PNG, **asked)))
    assert made.size == size
    row = [made.getpixel((x, made.height // 2)) for x in (made.width // 2 - 2, made.width // 2 + 1)]
    assert row == [(0, 0, 0, 255), (255, 0, 0, 255)]


@pytest.mark.parametrize("size", ['width="1000000" height="1000000"', 'viewBox="0 0 1000000 1000000"'])
async def test_an_svg_without_measure_is_drawn_within_the_bounds(maker: VipsVariantMaker, size: str) -> None:
    svg = f'<svg {SVG} {size}><rect width="1000000" height="1000000" fill="red"/></svg>'
    assert middle(await maker.make(stored(svg), SMALL)) == (255, 0, 0, 255)


@pytest.mark.parametrize(
    ("encoding", "declaration"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-16-le", '<?xml version="1.0" encoding="UTF-16LE"?>'),
        ("utf-16-be", '<?xml version="1.0" encoding="UTF-16BE"?>'),
        ("iso-8859-1", '<?xml version="1.0" encoding="ISO-8859-1"?><!-- \xe9 -->'),
        ("iso-8859-2", '<?xml version="1.0" encoding="ISO-8859-2"?><!-- \u0159 -->'),
        ("gbk", '<?xml version="1.0" encoding="gbk"?><!-- \u72d0 -->'),
        ("utf-8", '<?xml version="1.1"?>'),
        ("utf-8", '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY fox "red">]><!-- &fox; -->'),
    ],
)
async def test_an_svg_in_any_encoding_is_drawn(maker: VipsVariantMaker, encoding: str, declaration: str) -> None:
    svg = f"{declaration}\n{RED_SQUARE}"
    assert middle(await maker.make(stored(svg.encode(encoding)), SMALL)) == (255, 0, 0, 255)


async def test_an_svg_loads_only_embedded_resources(maker: VipsVariantMaker, tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    red.write_bytes(encoded(Image.new("RGB", (20, 20), "red"), "PNG"))
    visitors: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: visitors.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    inline = f"data:image/png;base64,{base64.b64encode(red.read_bytes()).decode()}"
    assert middle(await maker.make(stored(referring_svg(inline)), PNG)) == (255, 0, 0, 255)
    for place in (red.as_uri(), str(red), "red.png", "file:///etc/hostname", f"http://127.0.0.1:{port}/red.png"):
        assert middle(await maker.make(stored(referring_svg(place)), PNG)) == (0, 0, 0, 0)
    server.close()
    await server.wait_closed()
    assert visitors == []


def referring_svg(place: str) -> str:
    """Return an SVG that refers to `place` in every way there is."""
    return (
        f'<?xml-stylesheet href="{place}" type="text/css"?><svg {SVG} width="20" height="20">'
        f'<style>@import url("{place}"); @font-face {{ font-family: f; src: url("{place}") }}</style>'
        f'<image href="{place}" width="20" height="20"/><image xlink:href="{place}" width="20" height="20"/>'
        f'<use href="{place}#a"/><text y="40" font-family="f">.</text></svg>'
    )


async def test_an_svg_reads_no_file_as_an_entity_or_by_inclusion(maker: VipsVariantMaker, tmp_path: Path) -> None:
    part = tmp_path / "part.svg"
    part.write_text(f'<rect {SVG} width="20" height="20" fill="red"/>')
    entity = f'<!DOCTYPE svg [<!ENTITY part SYSTEM "{part.as_uri()}">]><svg {SVG} width="20" height="20">&part;</svg>'
    inclusion = (
        f'<svg {SVG} xmlns:xi="http://www.w3.org/2001/XInclude" width="20" height="20">'
        f'<xi:include href="{part.as_uri()}"/></svg>'
    )
    for svg in (entity, inclusion):
        try:
            made = await maker.make(stored(svg), PNG)
        except DamagedContentError:
            continue
        assert middle(made) == (0, 0, 0, 0)


async def test_an_svg_runs_no_script(maker: VipsVariantMaker) -> None:
    svg = RED_SQUARE.replace("<rect", "<script>for (;;);</script><rect onload='for (;;);'")
    assert middle(await maker.make(stored(svg), PNG)) == (255, 0, 0, 255)


async def test_an_entity_bomb_is_refused(maker: VipsVariantMaker) -> None:
    entities = "".join(f'<!ENTITY e{n} "{10 * f"&e{n - 1};"}">' for n in range(1, 12))
    svg = f'<!DOCTYPE svg [<!ENTITY e0 "ha">{entities}]><svg {SVG} width="20" height="20"><text>&e11;</text></svg>'
    with pytest.raises(DamagedContentError, match="can't be drawn"):
        await maker.make(stored(svg), PNG)


def test_a_drawing_that_takes_too_long_is_given_up() -> None:
    drawer = Drawer(seconds=0.5)
    with pytest.raises(DamagedContentError, match="too long"):
        drawer.draw(ENDLESS.encode(), PNG)


def test_a_drawing_that_takes_too_much_memory_is_given_up() -> None:
    drawer = Drawer(memory=256 << 20)
    large = RED_SQUARE.encode()
    with pytest.raises(DamagedContentError, match="can't be drawn"):
        drawer.draw(large, Variant(format=VariantFormat.AVIF, width=4_096))
    assert middle(Drawer().draw(large, SMALL)) == (255, 0, 0, 255)


def test_the_drawing_process_has_no_secrets_and_imports_nothing_from_the_working_directory(
    drawer: Drawer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\nenv\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HOME", "/home/user")
    arguments, *environment = drawer.draw(b"", PNG).decode().splitlines()
    assert arguments.startswith("-P -m pixyproxy.adapters.pictures.vips.drawing ")
    names = {line.partition("=")[0] for line in environment}
    assert {"HOME", "PYTHONPATH"} <= names
    assert "OPENAI_API_KEY" not in names
    assert "sk-secret" not in "\n".join(environment)


async def test_closing_breaks_off_drawings(maker: VipsVariantMaker) -> None:
    drawing = asyncio.create_task(maker.make(stored(ENDLESS), PNG))
    await until(lambda: bool(maker._drawer._running))
    await maker.close()
    with pytest.raises(OverloadedError):
        await asyncio.wait_for(drawing, 5)


async def test_a_cancelled_caller_leaves_no_process(maker: VipsVariantMaker) -> None:
    drawing = asyncio.create_task(maker.make(stored(ENDLESS), PNG))
    await until(lambda: bool(maker._drawer._running))
    [process] = maker._drawer._running
    drawing.cancel()
    await asyncio.wait([drawing])
    await maker.close()
    await until(lambda: process.returncode is not None)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
