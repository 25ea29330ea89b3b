"""The texts that modules show: all of them are in the templates, each under a name of its own."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

from pixyproxy.entrypoints.http import gallery

FOLDER: Final = Path(gallery.__file__).parent


def all_of(pattern: str, folder: str, files: str) -> list[str]:
    return [found for path in (FOLDER / folder).glob(files) for found in re.findall(pattern, path.read_text("utf-8"))]


def test_no_two_texts_have_the_same_name() -> None:
    names = Counter(all_of(r'data-text="([^"]+)"', "templates", "*.html"))

    assert [name for name, count in names.items() if count > 1] == []


def test_each_text_that_a_module_shows_is_there() -> None:
    shown = all_of(r'\btext\("([^"]+)"', "static", "*.js")

    assert shown
    assert set(shown) <= set(all_of(r'data-text="([^"]+)"', "templates", "*.html"))


def test_modules_have_no_english_of_their_own() -> None:
    words = r"[A-Za-z]+(?:[,;:]? [a-z]{2,}){2,}[.!?]?"

    assert all_of(rf"[\"'`]({words})[\"'`]", "static", "*.js") == []
