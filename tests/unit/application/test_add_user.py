"""Adding a user."""

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser
from pixyproxy.domain.errors import ConstraintViolationError, DataValidationError
from pixyproxy.domain.user import UserName

PASSWORD = "correct horse"


async def test_a_new_user_is_stored_with_a_hash_of_the_password(
    add_user: AddUser, users: InMemoryUserRepository, hasher: InMemoryPasswordHasher
) -> None:
    added = await add_user("ann", PASSWORD)
    stored = await users.get(UserName("ann"))
    assert stored == added
    assert stored.id is not None
    assert PASSWORD not in stored.password_hash
    assert await hasher.verify(stored.password_hash, PASSWORD)
    assert not stored.is_disabled


async def test_a_new_user_was_created_now(users: InMemoryUserRepository, hasher: InMemoryPasswordHasher) -> None:
    clock = InMemoryClock()
    before, user, after = (
        clock.now(),
        await AddUser(users=users, hasher=hasher, clock=clock)("ann", PASSWORD),
        clock.now(),
    )
    assert before < user.created_at < after


async def test_the_name_and_the_password_are_kept_in_nfc(add_user: AddUser, hasher: InMemoryPasswordHasher) -> None:
    user = await add_user("Zoe\u0308", "Zoe\u0308 secret")
    assert user.name == "Zo\u00eb"
    assert await hasher.verify(user.password_hash, "Zo\u00eb secret")


@pytest.mark.parametrize("name", ["ann", "Zoe\u0308"])
async def test_a_name_that_is_taken_is_refused_and_nothing_changes(
    add_user: AddUser, users: InMemoryUserRepository, name: str
) -> None:
    first = await add_user(name, PASSWORD)
    with pytest.raises(ConstraintViolationError):
        await add_user(name, "battery staple")
    assert await users.list() == [first]


@pytest.mark.parametrize(
    ("name", "password", "field"),
    [("", PASSWORD, "name"), ("a:b", PASSWORD, "name"), ("ann", "short", "password"), ("ann", "x" * 1025, "password")],
)
async def test_an_invalid_name_or_password_adds_no_user(
    add_user: AddUser, users: InMemoryUserRepository, name: str, password: str, field: str
) -> None:
    with pytest.raises(DataValidationError) as caught:
        await add_user(name, password)
    assert caught.value.field == field
    assert await users.list() == []
