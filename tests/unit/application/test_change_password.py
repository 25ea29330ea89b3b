"""Giving a user another password."""

import pytest

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, ChangePassword
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.errors import DataValidationError, RecordNotFoundError


@pytest.fixture
def change_password(
    users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, access: AccessChanges
) -> ChangePassword:
    return ChangePassword(users=users, hasher=hasher, access=access)


async def test_only_the_new_password_fits_afterwards(
    change_password: ChangePassword, add_user: AddUser, users: InMemoryUserRepository, hasher: InMemoryPasswordHasher
) -> None:
    user = await add_user("ann", "correct horse")
    await change_password("ann", "battery staple")
    changed = await users.get(user.name)
    assert await hasher.verify(changed.password_hash, "battery staple")
    assert not await hasher.verify(changed.password_hash, "correct horse")
    assert changed.id == user.id


async def test_the_name_and_the_password_are_read_in_nfc(
    change_password: ChangePassword, add_user: AddUser, users: InMemoryUserRepository, hasher: InMemoryPasswordHasher
) -> None:
    user = await add_user("Zo\u00eb", "correct horse")
    await change_password("Zoe\u0308", "Zoe\u0308 secret")
    assert await hasher.verify((await users.get(user.name)).password_hash, "Zo\u00eb secret")


async def test_no_other_users_password_changes(
    change_password: ChangePassword, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    await add_user("ann", "correct horse")
    bob = await add_user("bob", "correct horse")
    await change_password("ann", "battery staple")
    assert await users.get(bob.name) == bob


async def test_an_unknown_user_is_not_found(change_password: ChangePassword) -> None:
    with pytest.raises(RecordNotFoundError):
        await change_password("stranger", "battery staple")


async def test_a_password_that_breaks_a_rule_changes_nothing(
    change_password: ChangePassword, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    user = await add_user("ann", "correct horse")
    with pytest.raises(DataValidationError):
        await change_password("ann", "short")
    assert await users.get(user.name) == user


async def test_a_disabled_user_stays_disabled(
    change_password: ChangePassword, add_user: AddUser, users: InMemoryUserRepository
) -> None:
    user = await add_user("ann", "correct horse")
    await users.disable(user.name)
    await change_password("ann", "battery staple")
    assert (await users.get(user.name)).is_disabled
