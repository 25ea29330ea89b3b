"""Names of files in a zip."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.application.member_names import MAX_BYTES, MemberNames, safe_name

ANY_TEXT = st.text(st.characters(), max_size=300)
# Few letters, so that many names are the same but for their case or their Unicode form.
LIKE_EACH_OTHER = st.text(st.sampled_from("aAéE\u0301ß.- /1"), max_size=4)


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a red fox.png", "a red fox.png"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        (r"C:\Windows\fox.png", "C__Windows_fox.png"),
        (".hidden.png", "_.hidden.png"),
        ("-rf.png", "_-rf.png"),
        ("CON.png", "_CON.png"),
        ("con .tar.png", "_con .tar.png"),
        ("lpt¹.png", "_lpt¹.png"),
        ("console.png", "console.png"),
        ("fox.png. . ", "fox.png"),
        ("fox\x00\n\u202egnp.exe", "fox___gnp.exe"),
        ("狐と雪.png", "狐と雪.png"),
        ("cafe\u0301.png", "café.png"),
        ("\ud800.png", "_.png"),
        ("", "_"),
    ],
)
def test_a_name_means_a_file_and_nothing_else(filename: str, expected: str) -> None:
    assert safe_name(filename) == expected


@given(ANY_TEXT)
def test_any_text_becomes_a_name_that_every_system_takes(filename: str) -> None:
    name = safe_name(filename)
    assert 1 <= len(name.encode()) <= MAX_BYTES
    assert not re.search(r'[\x00-\x1f/\\:*?"<>|]', name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)", name)


@given(st.lists(ANY_TEXT | LIKE_EACH_OTHER, max_size=30))
def test_names_differ_also_without_regard_to_case_and_unicode_form(filenames: list[str]) -> None:
    names = MemberNames()
    made = [names.name(filename) for filename in filenames]
    assert len({unicodedata.normalize("NFD", name).casefold() for name in made}) == len(made)
    assert len({name.upper() for name in made}) == len(made)
    assert all(len(name.encode()) <= MAX_BYTES for name in made)


def test_a_thousand_of_the_same_name_are_numbered_and_keep_their_extension() -> None:
    names = MemberNames()
    made = [names.name("fox.png") for _ in range(1000)]
    assert made[:3] == ["fox.png", "fox-2.png", "fox-3.png"]
    assert made[-1] == "fox-1000.png"


def test_a_number_that_is_taken_is_passed_over() -> None:
    names = MemberNames()
    assert [names.name(each) for each in ("fox-2.png", "fox.png", "FOX.png", "Fox.png")] == [
        "fox-2.png",
        "fox.png",
        "FOX-3.png",
        "Fox-4.png",
    ]


def test_a_long_name_is_shortened_before_its_extension() -> None:
    names = MemberNames()
    first, second = (names.name("🦊" * 80 + ".webp") for _ in range(2))
    assert first == "🦊" * 62 + ".webp"
    assert second == "🦊" * 62 + "-2.webp"
