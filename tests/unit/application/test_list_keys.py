"""Listing API keys."""

import pytest

from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, CreateKey, ListKeys
from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.errors import (
    DataValidationError,
    OperationNotAllowedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.user import ANONYMOUS, OPERATOR, Principal


@pytest.fixture
def list_keys(keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository) -> ListKeys:
    return ListKeys(keys=keys, users=users)


@pytest.fixture(autouse=True)
async def made(create_key: CreateKey, add_user: AddUser) -> list[APIKey]:
    """Make three keys of Ann's and Bob's, from the oldest on."""
    for name in ("ann", "bob", "admin"):
        await add_user(name, "correct horse")
    return [(await create_key(OPERATOR, name="studio", user=user)).key for user in ("ann", "bob", "ann")]


async def test_ones_own_keys_are_listed_the_oldest_first(
    list_keys: ListKeys, made: list[APIKey], ann: Principal, bob: Principal
) -> None:
    assert await list_keys(ann) == await list_keys(ann, user="ann") == [made[0], made[2]]
    assert await list_keys(bob) == [made[1]]


async def test_revoked_keys_are_listed_too(
    list_keys: ListKeys, made: list[APIKey], keys: InMemoryAPIKeyRepository, bob: Principal
) -> None:
    await keys.revoke(made[1].guid, made[1].created_at)
    assert [key.revoked_at for key in await list_keys(bob)] == [made[1].created_at]


async def test_the_keys_of_other_users_are_refused(list_keys: ListKeys, ann: Principal) -> None:
    for user in ("bob", "stranger", ""):
        with pytest.raises(OperationNotAllowedError):
            await list_keys(ann, user=user)
    with pytest.raises(OperationNotAllowedError):
        await list_keys(ann, of_all=True)


async def test_without_a_login_nothing_is_listed(list_keys: ListKeys) -> None:
    with pytest.raises(UnauthorizedError):
        await list_keys(ANONYMOUS)
    with pytest.raises(OperationNotAllowedError):
        await list_keys(ANONYMOUS, of_all=True)


async def test_an_administrator_lists_the_keys_of_one_user_and_of_all(
    list_keys: ListKeys, made: list[APIKey], admin: Principal
) -> None:
    assert await list_keys(admin) == []
    assert await list_keys(admin, user="bob") == [made[1]]
    assert await list_keys(admin, of_all=True) == made


async def test_an_unknown_user_is_not_found(list_keys: ListKeys, admin: Principal) -> None:
    with pytest.raises(RecordNotFoundError):
        await list_keys(admin, user="stranger")


async def test_what_is_no_name_is_blamed(list_keys: ListKeys, admin: Principal) -> None:
    with pytest.raises(DataValidationError) as caught:
        await list_keys(admin, user="a:b")
    assert caught.value.field == "user"
