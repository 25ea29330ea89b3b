"""Which odd pictures a real browser shows."""

import base64
from typing import Any

import pytest
from playwright.sync_api import Page

from pixyproxy.adapters.pictures.inspection import inspect_picture
from tests import odd_pictures

SHOW = """
async ([type, data]) => {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([bytes], {type}));
    try { await image.decode(); } catch { return null; }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value) => value) ? [image.naturalWidth, image.naturalHeight] : null;
}
"""
# Chromium shows nothing of an animated WebP that breaks off after its complete first frame.
STRICTER = {"webp-later-frames-cut"}
SHOWN = {name: data for name, data in odd_pictures.shown().items() if name not in STRICTER}


def seen(page: Page, name: str, data: bytes) -> Any:
    """Return the size of the picture that Chromium shows, or None if there is nothing to be seen."""
    return page.evaluate(SHOW, [f"image/{name.partition('-')[0]}", base64.b64encode(data).decode()])


@pytest.fixture
def blank(page: Page) -> Page:
    page.goto("about:blank")
    return page


def test_an_accepted_picture_is_shown_in_its_size(blank: Page) -> None:
    wrong = {}
    for name, data in SHOWN.items():
        picture = inspect_picture(data)
        if (found := seen(blank, name, data)) != [picture.width, picture.height]:
            wrong[name] = found
    assert wrong == {}


def test_a_refused_picture_is_not_shown(blank: Page) -> None:
    assert {name: found for name, data in odd_pictures.hidden().items() if (found := seen(blank, name, data))} == {}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_turned_picture_is_shown_in_the_size_that_is_reported(blank: Page, kind: str, orientation: int) -> None:
    exif = b"Exif\0\0" + odd_pictures.exif(orientation)
    data = odd_pictures.encoded(odd_pictures.gradient(80, 40), kind, exif=exif)
    picture = inspect_picture(data)
    assert seen(blank, kind, data) == [picture.width, picture.height]
