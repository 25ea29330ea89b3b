"""File names under which pictures are downloaded, and keys of partial images."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.content import (
    FILENAME_PATTERN,
    ContentKey,
    ensure_filename,
    image_of_partial,
    partial_key_of,
    with_extension,
)
from pixyproxy.domain.errors import DataValidationError

NAMES = st.from_regex(FILENAME_PATTERN, fullmatch=True).filter(lambda name: not re.search("[\ud800-\udfff]", name))


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "x" * 255,
        "a-b_c.d",
        "0",
        "_",
        "a.",
        "red fox (2).png",
        "Лиса в снегу.png",
        "雪の中の狐.png",
        "狐　雪.png",
        "نامه\u200cای.png",
        "👩\u200d🚀.png",
        "e\u0301.png",
        "50%.png",
        "a;b='c'.png",
        "ж" * 80,
        "🦊" * 80,
    ],
)
def test_a_readable_name_is_accepted(name: str) -> None:
    ensure_filename(name)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".a", "-a", " a", "a ", "\u3000a", "../a", "a/b", "a\\b", "a:b", "a\0", "a\n", "a\r\nX: 1",
        "a\tb", 'a"b', "a*", "a?", "<a>", "a|b", "x" * 256, "ж" * 81, "\ud800", "a\x85b", "a\u2028b",
        "fox\u202egnp.exe", "a\u2066b", "a\u200bb", "a\ufeffb", "a\u00adb", "\u200d", "a\u200d", "\u200e", "a\ufffdb",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_name_that_is_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        ensure_filename(name)
    assert caught.value.field == "filename"


@pytest.mark.parametrize(
    ("name", "extension", "expected"),
    [
        ("fox.png", ".png", "fox.png"),
        ("fox.PNG", ".png", "fox.PNG"),
        ("fox.jpeg", ".jpg", "fox.jpeg"),
        ("fox.png", ".webp", "fox.webp"),
        ("fox.JPEG", ".png", "fox.png"),
        ("fox.tiff", ".svg", "fox.svg"),
        ("fox", ".png", "fox.png"),
        ("fox.v2", ".png", "fox.v2.png"),
        ("fox.png.exe", ".png", "fox.png.exe.png"),
        ("fox.", ".gif", "fox..gif"),
        ("Лиса.jpg", ".png", "Лиса.png"),
        ("x" * 255, ".webp", "x" * 250 + ".webp"),
        ("ж" * 80, ".png", "ж" * 76 + ".png"),
        ("x" * 251 + ".png", ".webp", "x" * 250 + ".webp"),
        ("png", ".png", "png.png"),
    ],
)
def test_a_name_gets_the_extension_of_what_it_names(name: str, extension: str, expected: str) -> None:
    assert with_extension(name, extension) == expected
    assert with_extension(expected, extension) == expected


@given(NAMES, st.sampled_from([".png", ".jpg", ".webp", ".gif", ".svg", ".avif"]))
def test_with_its_extension_a_name_is_still_a_name(name: str, extension: str) -> None:
    ensure_filename(name)

    named = with_extension(name, extension)

    ensure_filename(named)
    assert with_extension(named, extension) == named
    assert named.lower().endswith(extension if extension != ".jpg" else (".jpg", ".jpeg", ".jpe", ".jfif"))


def test_the_key_of_a_partial_image_leads_to_its_image() -> None:
    guid = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")

    assert partial_key_of(guid, 2) == "0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11-2"
    assert image_of_partial(partial_key_of(guid, 2)) == guid


@pytest.mark.parametrize("key", ["", "-", "fox-1", "0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11", "2", "0b6f1c1e-5d0e--1"])
def test_another_key_leads_to_no_image(key: str) -> None:
    assert image_of_partial(ContentKey(key)) is None
