"""Letting a disabled user log in again."""

import pytest

from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, EnableUser
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.errors import DataValidationError, RecordNotFoundError


@pytest.fixture
def enable_user(users: InMemoryUserRepository, access: AccessChanges) -> EnableUser:
    return EnableUser(users=users, access=access)


async def test_an_enabled_user_is_as_before_and_no_other_user_changes(
    enable_user: EnableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    ann = await add_user("ann", "correct horse", is_admin=True)
    bob = await add_user("bob", "correct horse")
    for name in (ann.name, bob.name):
        await users.disable(name)
    await enable_user("ann")
    assert await users.get(ann.name) == ann
    assert (await users.get(bob.name)).is_disabled


async def test_enabling_a_user_who_is_not_disabled_changes_nothing(
    enable_user: EnableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    ann = await add_user("ann", "correct horse")
    await enable_user("ann")
    assert await users.list() == [ann]


async def test_an_unknown_user_is_not_found(enable_user: EnableUser) -> None:
    with pytest.raises(RecordNotFoundError):
        await enable_user("stranger")


async def test_what_is_no_name_is_refused(enable_user: EnableUser) -> None:
    with pytest.raises(DataValidationError):
        await enable_user("a:b")


async def test_the_name_is_read_in_nfc(
    enable_user: EnableUser, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    zoe = await add_user("Zo\u00eb", "correct horse")
    await users.disable(zoe.name)
    await enable_user("Zoe\u0308")
    assert await users.get(zoe.name) == zoe
