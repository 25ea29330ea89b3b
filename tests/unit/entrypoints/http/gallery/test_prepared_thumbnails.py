"""Thumbnails that are there before a browser asks for them."""

import re
from html import unescape
from typing import Final

from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.domain.variant import Variant, VariantFormat, VariantPolicy, thumbnail_of
from pixyproxy.entrypoints.settings import GallerySwitch
from tests.images import eventually
from tests.unit.entrypoints.http.serving import Served, serving, with_settings

# What Chromium sends for an `<img>`.
ACCEPT: Final = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
THUMBNAIL: Final = thumbnail_of(VariantPolicy())


async def show(served: Served, guid: str) -> None:
    """Request the thumbnail of an image as a browser that shows the gallery does."""
    page = await served.get("/gallery")
    found = re.search(f'<img src="(/image/{guid}/[^"]*)"', page.text)
    assert found, page.text
    answer = await served.client.get(unescape(found[1]), headers={"Accept": ACCEPT})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/avif")


async def test_a_browser_gets_the_thumbnail_that_was_made_when_the_image_became_ready() -> None:
    maker = PillowVariantMaker()
    async with serving(variant_maker=maker) as served:
        detail = (await served.post()).json()
        contents, image = served.container.contents(), await served.stored(detail["guid"])

        async def is_made() -> bool:
            name = THUMBNAIL.name_for(image.ready_content.sha256)
            return await contents.find_variant(image.content_key, name) is not None

        await eventually(is_made)
        await show(served, detail["guid"])
        assert maker.made == [THUMBNAIL]


async def test_a_service_without_a_gallery_makes_no_thumbnail_unasked() -> None:
    maker = PillowVariantMaker()
    async with serving(with_settings(gallery=GallerySwitch.OFF), variant_maker=maker) as served:
        guids = [(await served.post()).json()["guid"] for _ in range(2)]
        await served.get(f"/image/{guids[1]}/content?width=64&format=png")
        assert maker.made == [Variant(format=VariantFormat.PNG, width=64)]
