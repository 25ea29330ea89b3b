"""Stored tags are brought into NFC in every `ImageRepository`, and nothing else is changed."""

import asyncio
import unicodedata
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.application import UpgradeData, UpgradeTags
from pixyproxy.application.upgrade_data import UpgradedBatch
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.tag import Tag
from tests.factories import GeneratingImageFactory, ImageFactory

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)

# Tags as they were stored, and as they are from now on.
TAGS = [
    (("sea", "Zoe\u0308", "art"), ("sea", "Zo\u00eb", "art")),
    (("Zoe\u0308", "sea", "Zo\u00eb"), ("Zo\u00eb", "sea")),
    (("sea", "Zo\u00eb", "Zoe\u0308"), ("sea", "Zo\u00eb")),
    (("a\u200db", "ab", "\U0001f469\u200d\U0001f3a8"), ("ab", "\U0001f469\u200d\U0001f3a8")),
    (("カ\u3099",), ("ガ",)),
    (("a\u202eb", "\u200b", "e\u0301\u202e"), ("a\u202eb", "\u200b", "é\u202e")),
    (("e" + "\u0301\u0323" * 16, "\u0958" * 64, "\u200d"), ("e" + "\u0301\u0323" * 16, "\u0958" * 64, "\u200d")),
    (("sea",), ("sea",)),
    ((), ()),
]


def upgrade_of(images: ImagePorts, batch: int = 2) -> UpgradeData:
    upgrade = UpgradeTags(
        images=images, image_maintenance=images, clock=InMemoryClock(NOW, step=timedelta(0)), batch=batch
    )
    return UpgradeData(progress=InMemoryDataUpgrades(), upgrades=[upgrade])


async def store(images: ImagePorts) -> list[Image]:
    return [
        await images.add(
            ImageFactory.build(visibility=Visibility.PUBLIC, author="ann", tags=tuple(map(Tag, tags)), version=3)
        )
        for tags, _ in TAGS
    ]


def expected(image: Image, tags: tuple[str, ...]) -> Image:
    if image.tags == tags:
        return image
    return msgspec.structs.replace(image, tags=tuple(map(Tag, tags)), version=4, updated_at=NOW)


async def test_tags_are_normalised_and_twins_merged_in_their_places(images: ImagePorts) -> None:
    stored = await store(images)
    changed = sum(before != after for before, after in TAGS)
    assert await upgrade_of(images)() == [f"the tags of {changed} image(s)"]
    for image, (_, tags) in zip(stored, TAGS, strict=True):
        assert await images.get(image.guid) == expected(image, tags)
    found = await images.list(msgspec.structs.replace(PUBLIC, tags=(Tag("Zo\u00eb"),)), limit=10)
    assert {image.guid for image in found} == {image.guid for image in stored[:3]}
    for listed in await images.list(PUBLIC, limit=20):
        assert listed == await images.get(listed.guid)
    assert await upgrade_of(images)() == []


async def test_an_image_that_is_being_made_is_upgraded_too(images: ImagePorts) -> None:
    image = await images.add(GeneratingImageFactory.build(tags=(Tag("Zoe\u0308"),)))
    await upgrade_of(images)()
    assert (await images.get(image.guid)).tags == ("Zo\u00eb",)


async def test_several_processes_may_upgrade_at_once_while_others_write(images: ImagePorts) -> None:
    stored = await store(images)
    shown = datetime(2026, 11, 26, 13, tzinfo=UTC)

    async def hide(image: Image) -> None:
        changed = image.changed(ImageChanges(visibility=Visibility.PRIVATE), at=shown)
        await images.change(changed, expected_version=3)

    async def delete(image: Image) -> None:
        await images.delete(image.guid, expected_version=3, lease_seconds=60.0)

    work = [*map(hide, stored[:3]), *map(delete, stored[3:5])]
    await asyncio.gather(*(upgrade_of(images)() for _ in range(3)), *work, return_exceptions=True)
    await upgrade_of(images)()
    for record in await images.scan(limit=20):
        assert isinstance(record, Image)
        assert all(tag in {one for _, tags in TAGS for one in tags} for tag in record.tags)


async def test_a_concurrent_change_is_kept(images: ImagePorts, monkeypatch: pytest.MonkeyPatch) -> None:
    image = await images.add(
        ImageFactory.build(author="ann", visibility=Visibility.PUBLIC, tags=(Tag("Zoe\u0308"),), version=1)
    )
    scan = images.scan

    async def scan_and_change(*, after: str = "", limit: int) -> object:
        found = await scan(after=after, limit=limit)
        if not after:
            changed = image.changed(ImageChanges(visibility=Visibility.PRIVATE), at=NOW)
            await images.change(changed, expected_version=1)
        return found

    monkeypatch.setattr(type(images), "scan", lambda _self, **fields: scan_and_change(**fields))
    upgrade = UpgradeTags(
        images=images, image_maintenance=images, clock=InMemoryClock(NOW, step=timedelta(0)), batch=10
    )
    assert await upgrade.upgrade(after="") == UpgradedBatch(str(image.guid), 1)
    stored = await images.get(image.guid)
    assert (stored.visibility, stored.tags, stored.version) == (Visibility.PRIVATE, ("Zo\u00eb",), 3)
    assert unicodedata.is_normalized("NFC", stored.tags[0])
