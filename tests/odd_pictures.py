"""Pictures that are odd in one way each: those that browsers show, and those of which they show nothing.

What Chromium 156 makes of each was tried. It is stricter than others with animations whose later frames are damaged.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageCms

WIDTH, HEIGHT = 48, 32
JUNK: Final = b"PK\3\4" + bytes(range(256)) * 8
FILES: Final = Path(__file__).parent / "pictures"

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_ORIENTATION: Final = 0x0112


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the picture in the format `kind`."""
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def gradient(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a picture that is different everywhere."""
    down = Image.linear_gradient("L").resize((width, height))
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    return Image.merge("RGB", (down, across, down.transpose(Image.Transpose.FLIP_TOP_BOTTOM)))


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """Return a chunk of a PNG, with its own checksum or another one."""
    found = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def png(*chunks: bytes) -> bytes:
    """Return a PNG of these chunks."""
    return _SIGNATURE + b"".join(chunks)


def header(width: int = WIDTH, height: int = HEIGHT, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    """Return the header of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def chunks_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each chunk of a PNG."""
    position = len(_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def exif(orientation: int = 6) -> bytes:
    """Return EXIF data that says how a picture is to be turned."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def interlaced(width: int, height: int) -> bytes:
    """Return the rows of an interlaced PNG of one colour, not packed yet."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, step, down in passes:
        samples = len(range(left, width, step))
        if samples:
            rows += (b"\0" + b"\x80\x20\xf0" * samples) * len(range(top, height, down))
    return rows


def gif_of(frames: int) -> bytes:
    """Return a GIF of `count` frames of one pixel."""
    frame = b"\x21\xf9\4\0\1\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b"\x3b"


@cache
def plain() -> dict[str, bytes]:
    """Return pictures with nothing odd about them, in every kind of each format."""
    picture = gradient()
    frames = [picture.rotate(90 * turn) for turn in range(3)]
    moving: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 100}
    return {
        "png": encoded(picture, "PNG"),
        "png-palette": encoded(picture.convert("P"), "PNG"),
        "png-1-bit": encoded(picture.convert("1"), "PNG"),
        "png-16-bit": encoded(Image.new("I;16", (WIDTH, HEIGHT), 0x8000), "PNG"),
        "png-alpha": encoded(picture.convert("LA"), "PNG"),
        "png-interlaced": png(header(interlace=1), chunk(b"IDAT", zlib.compress(interlaced(WIDTH, HEIGHT))), _IEND),
        "png-moving": encoded(picture, "PNG", **moving),
        "jpeg": encoded(picture, "JPEG"),
        "jpeg-progressive": encoded(picture, "JPEG", progressive=True),
        "jpeg-grey": encoded(picture.convert("L"), "JPEG"),
        "jpeg-cmyk": encoded(picture.convert("CMYK"), "JPEG"),
        "jpeg-mpo": encoded(picture, "MPO", save_all=True, append_images=frames[1:]),
        "webp": encoded(picture, "WEBP"),
        "webp-lossless": encoded(picture, "WEBP", lossless=True),
        "webp-alpha": encoded(picture.convert("RGBA"), "WEBP"),
        "webp-moving": encoded(picture, "WEBP", **moving),
        "gif": encoded(picture, "GIF"),
        "gif-moving": encoded(picture, "GIF", **moving),
    }


_IEND: Final = chunk(b"IEND", b"")


@cache
def shown() -> dict[str, bytes]:
    """Return pictures that browsers show, though not always all of them."""
    found = dict(plain())
    found.update({path.name: path.read_bytes() for path in sorted(FILES.iterdir())})
    found.update({f"{name}+junk": data + JUNK for name, data in plain().items()})
    found.update({f"{name}-without-end": data[:-2] for name, data in plain().items() if name[:4] != "webp"})
    found.update({f"{name}-cut": data[: len(data) * 4 // 5] for name, data in _large().items()})
    found.update(_shown_pngs())
    found.update(_shown_jpegs())
    found.update(_shown_others())
    return found


def _large() -> dict[str, bytes]:
    noise = Image.effect_noise((200, 120), 80).convert("RGB")
    return {
        "png": encoded(noise, "PNG"),
        "png-interlaced": png(header(200, 120, interlace=1), chunk(b"IDAT", zlib.compress(interlaced(200, 120), 0))),
        "jpeg": encoded(noise, "JPEG"),
        "jpeg-progressive": encoded(noise, "JPEG", progressive=True),
        "gif": encoded(noise, "GIF"),
    }


def _shown_pngs() -> dict[str, bytes]:
    pixels = b"".join(content for kind, content in chunks_of(plain()["png"]) if kind == b"IDAT")
    head, idat, rows = header(), chunk(b"IDAT", pixels), zlib.decompress(pixels)
    moving = list(chunks_of(plain()["png-moving"]))
    found = {
        "png-idat-checksum": png(head, chunk(b"IDAT", pixels, 0), _IEND),
        "png-iend-checksum": png(head, idat, chunk(b"IEND", b"", 0)),
        "png-adler": png(head, chunk(b"IDAT", pixels[:-4] + bytes(4)), _IEND),
        "png-without-iend": png(head, idat),
        "png-junk-in-idat": png(head, chunk(b"IDAT", pixels + JUNK), _IEND),
        "png-too-many-rows": png(head, chunk(b"IDAT", zlib.compress(rows + bytes(5_000))), _IEND),
        "png-half-the-rows": png(head, chunk(b"IDAT", zlib.compress(rows[: len(rows) // 2])), _IEND),
        "png-idat-byte-by-byte": png(head, *(chunk(b"IDAT", bytes([byte])) for byte in pixels), _IEND),
        "png-5000-texts": png(head, chunk(b"tEXt", b"a\0b") * 5_000, idat, _IEND),
        "png-text-of-5-mib": png(head, chunk(b"tEXt", b"a\0" + b"b" * (5 << 20)), idat, _IEND),
        "png-ztxt-of-100-mib": png(head, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20))), idat, _IEND),
        "png-profile-of-5-mib": png(head, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(5 << 20))), idat, _IEND),
        "png-ztxt-behind": png(head, idat, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 << 20))), _IEND),
        "png-filter-damaged": png(head, chunk(b"IDAT", zlib.compress(rows[:145] + b"\x09" + rows[146:])), _IEND),
        "png-palette-too-short": png(
            header(8, 8, colour=3),
            chunk(b"PLTE", b"\xff\0\0"),
            chunk(b"IDAT", zlib.compress((b"\0" + b"\5" * 8) * 8)),
            _IEND,
        ),
        **{
            f"png-palette-longer-than-depth-{depth}": png(
                header(8, 8, colour=3, depth=depth),
                chunk(b"PLTE", b"\xff\0\0\0\xff\0" * 128),
                chunk(b"tRNS", b"\xff" * 256),
                chunk(b"IDAT", zlib.compress((b"\0" + b"\x11" * depth) * 8)),
                _IEND,
            )
            for depth in (1, 2, 4)
        },
        "png-palette-ends-in-a-colour": png(
            header(8, 8, colour=3),
            chunk(b"PLTE", b"\xff\0\0\0\xff"),
            chunk(b"IDAT", zlib.compress(bytes(72))),
            _IEND,
        ),
        "png-frames-missing": png(*(chunk(k, struct.pack(">II", 50, 0) if k == b"acTL" else c) for k, c in moving)),
        "png-later-frames-damaged": png(*(chunk(k, c[:4] + JUNK if k == b"fdAT" else c) for k, c in moving)),
        "png-nonsense-as-profile": encoded(gradient(), "PNG", icc_profile=b"nonsense" * 40),
    }
    for kind in (b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tRNS", b"abCd"):
        name = kind.decode()
        found[f"png-{name}-empty"] = png(head, chunk(kind, b""), idat, _IEND)
        found[f"png-{name}-nonsense"] = png(head, chunk(kind, b"nonsense"), idat, _IEND)
        found[f"png-{name}-checksum"] = png(head, chunk(kind, b"a\0\0b", 0), idat, _IEND)
        found[f"png-{name}-twice"] = png(head, chunk(kind, b"a\0b"), chunk(kind, b"c\0d"), idat, _IEND)
    return found


def _shown_jpegs() -> dict[str, bytes]:
    plain_jpeg = plain()["jpeg"]
    start, rest = plain_jpeg[:2], plain_jpeg[2:]
    scan = plain_jpeg.index(b"\xff\xda")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return {
        "jpeg-nonsense-as-exif": start + segment(0xE1, b"Exif\0\0nonsense") + rest,
        "jpeg-nonsense-as-profile": start + segment(0xE2, b"ICC_PROFILE\0\1\2nonsense") + rest,
        "jpeg-other-colours-in-profile": encoded(gradient(), "JPEG", icc_profile=lab),
        "jpeg-adobe-too-short": start + segment(0xEE, b"Adobe\0") + rest,
        "jpeg-20000-segments": start + segment(0xEC, b"ab") * 20_000 + rest,
        "jpeg-fill-bytes": plain_jpeg.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
        "jpeg-junk-in-scan": plain_jpeg[: scan + 60] + b"\x5a" * 9 + plain_jpeg[scan + 69 :],
        "jpeg-second-picture-cut": plain()["jpeg-mpo"][: len(plain()["jpeg-mpo"]) * 3 // 5],
        "jpeg-progressive-cut-in-a-table": plain()["jpeg-progressive"][:-40],
    }


def _shown_others() -> dict[str, bytes]:
    gif, webp = plain()["gif"], plain()["webp"]
    noise = encoded(Image.effect_noise((200, 120), 80), "GIF")
    return {
        "gif-screen-of-nothing": gif[:6] + bytes(4) + gif[10:],
        "gif-screen-too-small": gif[:6] + struct.pack("<HH", 10, 10) + gif[10:],
        "gif-screen-larger": gif[:6] + struct.pack("<HH", 100, 100) + gif[10:],
        "gif-damaged": noise[: len(noise) // 2] + b"\xff" * 500 + noise[len(noise) // 2 + 500 :],
        "gif-later-frames-cut": plain()["gif-moving"][: len(gif) + 300],
        "gif-2000-frames": gif_of(2_000),
        "webp-one-more-chunk": webp + b"ABCD\4\0\0\0data",
        "webp-nonsense-as-profile": encoded(gradient(), "WEBP", icc_profile=b"nonsense" * 40),
        "webp-later-frames-cut": plain()["webp-moving"][:-12],
    }


@cache
def hidden() -> dict[str, bytes]:
    """Return data that resembles a picture, but that browsers don't show."""
    plain_png, plain_jpeg, gif, webp = (plain()[name] for name in ("png", "jpeg", "gif", "webp"))
    pixels = b"".join(content for kind, content in chunks_of(plain_png) if kind == b"IDAT")
    head, idat = header(), chunk(b"IDAT", pixels)
    scan, frame = plain_jpeg.index(b"\xff\xda"), plain_jpeg.index(b"\xff\xc0")
    return {
        "png-signature": _SIGNATURE,
        "png-without-idat": png(head, _IEND),
        "png-without-a-row": png(head, chunk(b"IDAT", pixels[:9])),
        "png-header-checksum": png(chunk(b"IHDR", plain_png[16:29], 0), idat, _IEND),
        "png-header-twice": png(head, head, idat, _IEND),
        "png-unknown-critical-chunk": png(head, chunk(b"ABCD", b""), idat, _IEND),
        "png-first-filter-unknown": png(header(8, 8), chunk(b"IDAT", zlib.compress((b"\x09" + bytes(24)) * 8)), _IEND),
        "png-palette-missing": png(header(8, 8, colour=3), chunk(b"IDAT", zlib.compress(bytes(72))), _IEND),
        "png-palette-twice": png(
            header(8, 8, colour=3),
            chunk(b"PLTE", b"\xff\0\0") * 2,
            chunk(b"IDAT", zlib.compress(bytes(72))),
            _IEND,
        ),
        "png-idat-is-no-zlib": png(head, chunk(b"IDAT", b"nonsense" * 9), _IEND),
        "png-no-such-depth": png(header(depth=3), idat, _IEND),
        "png-behind-a-line-break": b"\n" + plain_png,
        "jpeg-empty": b"\xff\xd8\xff\xd9",
        "jpeg-without-scan": plain_jpeg[:scan],
        "jpeg-without-data": plain_jpeg[: scan + 14],
        "jpeg-height-0": plain_jpeg[: frame + 5] + bytes(2) + plain_jpeg[frame + 7 :],
        "jpeg-twice-begun": plain_jpeg[:2] + plain_jpeg,
        "jpeg-12-bit": plain_jpeg[: frame + 4] + b"\x0c" + plain_jpeg[frame + 5 :],
        "gif-head": gif[:13],
        "gif-without-data": gif[:792],
        "gif-other-version": b"GIF88a" + gif[6:],
        "gif-screen-too-large": gif[:6] + b"\xff" * 4 + gif[10:],
        "webp-cut": webp[:-2],
        "webp-no-riff": b"RIFX" + webp[4:],
        "webp-length-too-short": webp[:4] + struct.pack("<I", len(webp) - 48) + webp[8:],
        "webp-length-0": webp[:4] + bytes(4) + webp[8:],
    }
