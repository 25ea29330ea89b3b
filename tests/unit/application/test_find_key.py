"""Finding an API key by what is known of it."""

from typing import Any

import pytest

from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import FindKey, ListKeys
from pixyproxy.domain.api_key import APIKey, digest_of, make_key_secret
from pixyproxy.domain.errors import DataValidationError, OperationNotAllowedError, RecordNotFoundError
from pixyproxy.domain.user import OPERATOR, Principal
from tests.factories import APIKeyFactory

SECRET = make_key_secret(b"a secret" * 4)


@pytest.fixture
def find_key(keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository) -> FindKey:
    return FindKey(list_keys=ListKeys(keys=keys, users=users))


async def added(keys: InMemoryAPIKeyRepository, **fields: Any) -> APIKey:
    """Store a key."""
    key = APIKeyFactory.build(**fields)
    await keys.add(key)
    return key


async def test_a_key_is_found_by_its_guid_its_beginning_and_its_secret(
    find_key: FindKey, keys: InMemoryAPIKeyRepository
) -> None:
    key = await added(keys, prefix=SECRET[:10], digest=digest_of(SECRET))
    await added(keys, prefix="pixy_other")
    for text in (str(key.guid), str(key.guid).upper(), SECRET[:6], SECRET[:10], SECRET):
        assert await find_key(text, OPERATOR) == key


@pytest.mark.parametrize("text", ["", "pixy", "pixy_", SECRET[:11], f"{SECRET}x", SECRET[1:], "name", "%", "pixy_%"])
async def test_what_names_no_key_is_not_found(find_key: FindKey, keys: InMemoryAPIKeyRepository, text: str) -> None:
    await added(keys, prefix=SECRET[:10], digest=digest_of(SECRET), name="name")
    with pytest.raises(RecordNotFoundError, match="no such API key"):
        await find_key(text, OPERATOR)


async def test_a_beginning_of_several_keys_is_refused_with_their_guids(
    find_key: FindKey, keys: InMemoryAPIKeyRepository
) -> None:
    made = [await added(keys, prefix="pixy_01234") for _ in range(2)]
    with pytest.raises(DataValidationError) as caught:
        await find_key("pixy_01234", OPERATOR)
    assert caught.value.field == "key"
    assert all(str(key.guid) in caught.value.detail for key in made)


async def test_of_keys_that_begin_alike_one_that_is_not_revoked_is_meant(
    find_key: FindKey, keys: InMemoryAPIKeyRepository
) -> None:
    revoked, active = await added(keys, prefix="pixy_01234"), await added(keys, prefix="pixy_01234")
    await keys.revoke(revoked.guid, revoked.created_at)
    assert await find_key("pixy_0", OPERATOR) == active
    await keys.revoke(active.guid, active.created_at)
    with pytest.raises(DataValidationError):
        await find_key("pixy_0", OPERATOR)


async def test_only_an_administrator_finds_keys_so(
    find_key: FindKey, keys: InMemoryAPIKeyRepository, ann: Principal
) -> None:
    key = await added(keys, user=ann.name)
    with pytest.raises(OperationNotAllowedError):
        await find_key(str(key.guid), ann)
