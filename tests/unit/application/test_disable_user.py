"""Stopping a user from logging in."""

import msgspec
import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, CreateImage, DisableUser, GetImage
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.use_cases import LIGHTHOUSE


@pytest.fixture
def disable_user(users: InMemoryUserRepository, access: AccessChanges) -> DisableUser:
    return DisableUser(users=users, access=access)


async def test_a_disabled_user_is_marked_and_no_other(
    disable_user: DisableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    ann = await add_user("ann", "correct horse")
    bob = await add_user("bob", "correct horse")
    await disable_user("ann")
    assert await users.list() == [msgspec.structs.replace(ann, is_disabled=True), bob]


async def test_disabling_twice_changes_nothing_more(
    disable_user: DisableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    ann = await add_user("ann", "correct horse")
    for _ in range(2):
        await disable_user("ann")
    assert await users.list() == [msgspec.structs.replace(ann, is_disabled=True)]


async def test_an_unknown_user_is_not_found(disable_user: DisableUser) -> None:
    with pytest.raises(RecordNotFoundError):
        await disable_user("stranger")


async def test_the_name_is_read_in_nfc(
    disable_user: DisableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    zoe = await add_user("Zo\u00eb", "correct horse")
    await disable_user("Zoe\u0308")
    assert (await users.get(zoe.name)).is_disabled


async def test_the_images_of_a_disabled_user_stay(
    disable_user: DisableUser, add_user: AddUser, create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    ann = await add_user("ann", "correct horse")
    image = (await create_image(LIGHTHOUSE, principal=Principal(name=ann.name))).image
    await disable_user("ann")
    assert await GetImage(images=images)(image.guid, ANONYMOUS) == image
