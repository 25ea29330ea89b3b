import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="12" height="7"/>'
DECLARED = f"<?xml version='1.0' encoding='utf-16'?>{SVG}"


async def test_a_bitmap_is_known_by_its_bytes() -> None:
    image = await InMemoryImageGenerator().generate(GenerationRequest(prompt="a red fox"))
    found = inspect_picture(image.data)

    assert (found.media_type, found.width, found.height) == (MediaType.PNG, image.width, image.height)


@pytest.mark.parametrize(
    "data",
    [
        SVG.encode(),
        SVG.encode("utf-8-sig"),
        SVG.encode("utf-16"),
        b"\xff\xfe" + SVG.encode("utf-16-le"),
        b"\xfe\xff" + SVG.encode("utf-16-be"),
        b"\xfe\xff" + f"\n{SVG}".encode("utf-16-be"),
        DECLARED.encode("utf-16-le"),
        DECLARED.encode("utf-16-be"),
        f"<?xml version='1.0' encoding='UTF-8' standalone='no'?>\n<!-- a -->\n{SVG}\n<!-- b -->\n".encode(),
        f"<?xml version='1.0' encoding='iso-8859-1'?><!-- \u00e9 -->{SVG}".encode("latin-1"),
        f"{' ' * 5_000}\r\n\t{SVG}".encode(),
    ],
)
def test_an_svg_is_known_by_its_bytes(data: bytes) -> None:
    found = inspect_picture(data)

    assert (found.media_type, found.width, found.height) == (MediaType.SVG, 12, 7)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!doctype html><html><body><svg></svg></body></html>", "web page"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "web page"),
        (b"\n\n<html></html>", "web page"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "web page"),
        (b"<hello", "markup, but no SVG"),
        (b"hello", "none of PNG, JPEG, WebP, GIF and SVG"),
        (SVG.encode("utf-32-be"), "markup, but no SVG"),
        (gzip.compress(SVG.encode(), mtime=0), "none of PNG, JPEG, WebP, GIF and SVG"),
        (b"hello" + SVG.encode(), "none of PNG, JPEG, WebP, GIF and SVG"),
    ],
)
def test_the_error_says_what_is_there_instead_of_a_picture(data: bytes, words: str) -> None:
    with pytest.raises(UnreadablePictureError, match=words):
        inspect_picture(data)


@settings(max_examples=100)
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"<" + data))
def test_random_bytes_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadablePictureError):
        inspect_picture(data)
