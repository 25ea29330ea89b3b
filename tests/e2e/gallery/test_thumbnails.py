"""Thumbnails that a browser requests all at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import httpx
import msgspec
import pytest

from pixyproxy.domain.image import Image
from tests.doubles.library import fill, paint, png
from tests.doubles.service import Service, running_service

COUNT: Final = 100
THUMBNAIL: Final = "width=256&height=256&fit=cover&format=auto&quality=70"
# What Chromium sends for an `<img>`.
ACCEPT: Final = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}


class World(msgspec.Struct, frozen=True):
    """A service and its images, none of which has a thumbnail."""

    service: Service
    images: Sequence[Image]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("thumbnails")
    paintings = [paint("ann", data=png(number)) for number in range(COUNT)]
    fill(folder, paintings, {})
    with running_service(folder) as service:
        yield World(service, [image for image, _ in paintings])


def test_a_hundred_cold_thumbnails_at_once_are_made(world: World) -> None:
    async def ask_for_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=COUNT)
        async with httpx.AsyncClient(base_url=world.service.url, limits=limits, headers=ACCEPT, timeout=60) as client:
            paths = [f"/image/{image.guid}/content?{THUMBNAIL}" for image in world.images]
            return await asyncio.gather(*map(client.get, paths))

    answers = asyncio.run(ask_for_all())

    assert Counter((answer.status_code, answer.headers["Content-Type"]) for answer in answers) == {
        (200, "image/avif"): COUNT
    }
