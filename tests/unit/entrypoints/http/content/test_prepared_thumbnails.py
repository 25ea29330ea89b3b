"""Thumbnails that are there before a browser asks for them."""

from typing import Final

from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.domain.variant import VariantPolicy, thumbnail_of
from pixyproxy.entrypoints.settings import GallerySwitch
from tests.images import eventually
from tests.unit.entrypoints.http.conftest import ANN
from tests.unit.entrypoints.http.serving import Served, serving, with_settings

# What Chromium sends for an `<img>`.
ACCEPT: Final = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
THUMBNAIL: Final = thumbnail_of(VariantPolicy())


async def ask(served: Served, guid: str) -> None:
    query = "width=256&height=256&fit=cover&format=auto&quality=70"
    answer = await served.client.get(f"/image/{guid}/content?{query}", headers={"Accept": ACCEPT})
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
        await ask(served, detail["guid"])
        assert maker.made == [THUMBNAIL]


async def test_a_service_without_a_gallery_makes_no_thumbnail_unasked() -> None:
    maker = PillowVariantMaker()
    async with serving(with_settings(gallery=GallerySwitch.OFF), variant_maker=maker) as served:
        first, second = [(await served.post(auth=ANN)).json()["guid"] for _ in range(2)]
        await ask(served, second)
        assert maker.made == [THUMBNAIL]
        await ask(served, first)
        assert maker.made == [THUMBNAIL, THUMBNAIL]
