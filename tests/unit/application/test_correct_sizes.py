"""Storing the size of turned pictures as they are shown."""

import msgspec
import pytest
from PIL import Image as Pictures

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CorrectSizes
from pixyproxy.application.correct_sizes import HEAD_SIZE, exchanged
from pixyproxy.application.upgrade_data import UpgradeData
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import StoredContent
from tests import odd_pictures
from tests.factories import FailedImageFactory, ImageFactory
from tests.streams import pieces


def picture(kind: str, orientation: int = 6, *, noise: bool = False) -> bytes:
    drawn = Pictures.effect_noise((400, 200), 90).convert("RGB") if noise else odd_pictures.gradient(80, 40)
    return odd_pictures.encoded(drawn, kind, exif=b"Exif\0\0" + odd_pictures.exif(orientation))


async def stored_as_it_lies(images: InMemoryImageRepository, contents: InMemoryContentStore, data: bytes) -> Image:
    """Store an image as an older version did, which did not look at EXIF data."""
    found = await PillowContentInspector().inspect(StoredContent(len(data), pieces(data)))
    lying = found if found.width > found.height else exchanged(found)
    image = await images.add(ImageFactory.build(content=lying))
    await contents.put(image.content_key, pieces(data))
    return image


class WatchedContentStore(InMemoryContentStore):
    """Records each content that is opened, in full or in part; fails for those in `broken`, or for all."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[int | None] = []
        self.broken: set[ContentKey] = set()
        self.is_away = False

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        if self.is_away or key in self.broken:
            raise ContentStoreError("The content store does not work.")
        self.opened.append(end)
        return await super().open(key, start=start, end=end)

    async def check(self) -> None:
        if self.is_away:
            raise ContentStoreError("The content store does not work.")


@pytest.fixture
def contents() -> WatchedContentStore:
    return WatchedContentStore()


@pytest.fixture
def correct_sizes(images: InMemoryImageRepository, contents: WatchedContentStore, clock: InMemoryClock) -> CorrectSizes:
    return CorrectSizes(
        image_maintenance=images, contents=contents, inspector=PillowContentInspector(), clock=clock, batch=2
    )


@pytest.fixture
def upgrade_data(correct_sizes: CorrectSizes) -> UpgradeData:
    return UpgradeData(progress=InMemoryDataUpgrades(), upgrades=[correct_sizes])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_a_turned_picture_gets_the_size_that_is_shown_and_a_new_version(
    upgrade_data: UpgradeData,
    images: InMemoryImageRepository,
    contents: WatchedContentStore,
    clock: InMemoryClock,
    kind: str,
) -> None:
    image = await stored_as_it_lies(images, contents, picture(kind))
    assert image.content is not None
    before = clock.now()
    assert await upgrade_data() == ["corrected width and height of 1 turned image(s)"]
    corrected = await images.get(image.guid)
    assert corrected == msgspec.structs.replace(
        image, content=exchanged(image.content), updated_at=corrected.updated_at, version=image.version + 1
    )
    assert before <= corrected.updated_at <= clock.now()


@pytest.mark.parametrize(
    ("kind", "orientation"), [("PNG", 1), ("PNG", 3), ("JPEG", 1), ("JPEG", 3), ("WEBP", 1), ("WEBP", 3), ("WEBP", 6)]
)
async def test_any_other_picture_stays_as_it_is(
    upgrade_data: UpgradeData,
    images: InMemoryImageRepository,
    contents: WatchedContentStore,
    kind: str,
    orientation: int,
) -> None:
    image = await stored_as_it_lies(images, contents, picture(kind, orientation))
    assert await upgrade_data() == []
    assert await images.get(image.guid) == image


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_of_a_picture_that_is_not_turned_no_more_than_the_head_is_read(
    upgrade_data: UpgradeData, images: InMemoryImageRepository, contents: WatchedContentStore, kind: str
) -> None:
    data = picture(kind, 1, noise=True)
    await stored_as_it_lies(images, contents, data)
    await upgrade_data()
    assert contents.opened == [HEAD_SIZE]


async def test_a_size_that_is_right_already_stays(
    upgrade_data: UpgradeData, images: InMemoryImageRepository, contents: WatchedContentStore
) -> None:
    image = await stored_as_it_lies(images, contents, picture("JPEG"))
    assert await upgrade_data() != []
    again = UpgradeData(progress=InMemoryDataUpgrades(), upgrades=upgrade_data.upgrades)
    assert await again() == []
    assert (await images.get(image.guid)).version == image.version + 1


async def test_missing_damaged_and_unreadable_contents_are_passed_over(
    upgrade_data: UpgradeData, images: InMemoryImageRepository, contents: WatchedContentStore
) -> None:
    missing = await stored_as_it_lies(images, contents, picture("JPEG"))
    await contents.delete(missing.content_key)
    unreadable = await stored_as_it_lies(images, contents, picture("PNG"))
    contents.broken.add(unreadable.content_key)
    other = await stored_as_it_lies(images, contents, picture("JPEG"))
    await contents.put(other.content_key, pieces(picture("JPEG", noise=True)))
    damaged = await stored_as_it_lies(images, contents, picture("JPEG"))
    await contents.put(damaged.content_key, pieces(picture("JPEG")[:60]))
    await images.add(FailedImageFactory.build())
    turned = await stored_as_it_lies(images, contents, picture("PNG"))
    assert await upgrade_data() == ["corrected width and height of 1 turned image(s)"]
    assert (await images.get(turned.guid)).version == turned.version + 1
    for image in (missing, unreadable, other, damaged):
        assert await images.get(image.guid) == image


async def test_when_the_store_is_away_the_upgrade_goes_on_later(
    upgrade_data: UpgradeData, images: InMemoryImageRepository, contents: WatchedContentStore
) -> None:
    for _ in range(5):
        await stored_as_it_lies(images, contents, picture("PNG"))
    contents.is_away = True
    with pytest.raises(ContentStoreError):
        await upgrade_data()
    contents.is_away = False
    assert await upgrade_data.unfinished() == ["sizes-as-shown"]
    assert await upgrade_data() == ["corrected width and height of 5 turned image(s)"]
    assert await upgrade_data.unfinished() == []
