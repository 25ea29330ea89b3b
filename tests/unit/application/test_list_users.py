"""Listing users."""

from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, ListUsers


async def test_at_first_there_are_no_users(users: InMemoryUserRepository) -> None:
    assert await ListUsers(users=users)() == []


async def test_users_are_ordered_by_name_and_disabled_ones_are_listed_too(
    users: InMemoryUserRepository, add_user: AddUser
) -> None:
    for name in ("zoe", "Bob", "ann", "änn"):
        await users.disable((await add_user(name, "correct horse")).name)
    listed = await ListUsers(users=users)()
    assert [user.name for user in listed] == ["Bob", "ann", "zoe", "änn"]
    assert all(user.is_disabled for user in listed)
