"""Letting the first user in."""

from collections.abc import Sequence

import pytest

from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, CreateFirstUser
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.user import User

PASSWORD = "correct horse"


class LateUserRepository(InMemoryUserRepository):
    """Shows an empty list, as to a process that looked just before another one added the first user."""

    async def list(self) -> Sequence[User]:
        return []


async def test_the_first_user_is_added(add_user: AddUser, users: InMemoryUserRepository) -> None:
    assert await CreateFirstUser(users=users, add_user=add_user)("pixy", PASSWORD)
    assert [user.name for user in await users.list()] == ["pixy"]


async def test_there_is_no_second_first_user(add_user: AddUser, users: InMemoryUserRepository) -> None:
    ann = await add_user("ann", PASSWORD)
    assert not await CreateFirstUser(users=users, add_user=add_user)("pixy", PASSWORD)
    assert await users.list() == [ann]


async def test_a_disabled_user_is_a_user(add_user: AddUser, users: InMemoryUserRepository) -> None:
    ann = await add_user("ann", PASSWORD)
    await users.disable(ann.name)
    assert not await CreateFirstUser(users=users, add_user=add_user)("pixy", PASSWORD)


async def test_a_second_process_adds_no_user_and_says_so(add_user: AddUser) -> None:
    users = LateUserRepository()
    add_user = AddUser(users=users, hasher=add_user.hasher, clock=add_user.clock)
    first = await add_user("pixy", "battery staple")
    assert not await CreateFirstUser(users=users, add_user=add_user)("pixy", PASSWORD)
    assert await users.get(first.name) == first


async def test_an_invalid_password_adds_no_user(add_user: AddUser, users: InMemoryUserRepository) -> None:
    with pytest.raises(DataValidationError):
        await CreateFirstUser(users=users, add_user=add_user)("pixy", "short")
    assert await users.list() == []
