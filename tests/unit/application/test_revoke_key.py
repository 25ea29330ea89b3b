"""Revoking API keys, one or all of a user."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, AuthenticateKey, CreateKey, ListKeys, RevokeKey, RevokeKeys
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.create_key import CreatedKey
from pixyproxy.domain.errors import (
    AuthenticationError,
    DBConnectionError,
    OperationNotAllowedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.user import ANONYMOUS, OPERATOR, Principal


class ForgetfulAPIKeyRepository(InMemoryAPIKeyRepository):
    """Revokes a key and loses the answer."""

    async def revoke(self, guid: UUID, at: datetime) -> None:
        await super().revoke(guid, at)
        raise DBConnectionError("The database does not answer.")


@pytest.fixture
def revoke_key(keys: InMemoryAPIKeyRepository, clock: InMemoryClock, access: AccessChanges) -> RevokeKey:
    return RevokeKey(keys=keys, clock=clock, access=access)


@pytest.fixture
def revoke_keys(keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository, revoke_key: RevokeKey) -> RevokeKeys:
    return RevokeKeys(list_keys=ListKeys(keys=keys, users=users), revoke_key=revoke_key)


@pytest.fixture
def authenticate_key(
    keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository, clock: InMemoryClock, access: AccessChanges
) -> AuthenticateKey:
    return AuthenticateKey(keys=keys, users=users, clock=clock, access=access)


@pytest.fixture(autouse=True)
async def made(create_key: CreateKey, add_user: AddUser) -> list[CreatedKey]:
    """Make three keys, two of Ann's and one of Bob's."""
    for name in ("ann", "bob"):
        await add_user(name, "correct horse")
    return [await create_key(OPERATOR, name="studio", user=user) for user in ("ann", "bob", "ann")]


async def revoked(keys: InMemoryAPIKeyRepository) -> list[bool]:
    """Return which keys are revoked, from the oldest on."""
    return [key.revoked_at is not None for key in await keys.list()]


async def test_a_revoked_key_is_refused_at_once_and_no_other_is(
    revoke_key: RevokeKey, authenticate_key: AuthenticateKey, made: list[CreatedKey], ann: Principal
) -> None:
    for created in made:
        await authenticate_key(created.secret)
    await revoke_key(made[0].key.guid, ann)
    with pytest.raises(AuthenticationError, match="wrong, expired or revoked"):
        await authenticate_key(made[0].secret)
    for created in made[1:]:
        assert (await authenticate_key(created.secret)).guid == created.key.guid


async def test_a_key_is_revoked_now(
    revoke_key: RevokeKey,
    keys: InMemoryAPIKeyRepository,
    clock: InMemoryClock,
    made: list[CreatedKey],
    ann: Principal,
) -> None:
    before = clock.now()
    await revoke_key(made[0].key.guid, ann)
    revoked_at = (await keys.get(made[0].key.guid)).revoked_at
    assert revoked_at is not None
    assert before < revoked_at < clock.now()


async def test_a_key_that_is_revoked_again_keeps_its_time(
    revoke_key: RevokeKey, keys: InMemoryAPIKeyRepository, made: list[CreatedKey], ann: Principal
) -> None:
    await revoke_key(made[0].key.guid, ann)
    once = await keys.get(made[0].key.guid)
    await revoke_key(made[0].key.guid, ann)
    assert await keys.get(made[0].key.guid) == once


async def test_the_key_of_another_user_is_not_found_and_stays(
    revoke_key: RevokeKey, keys: InMemoryAPIKeyRepository, made: list[CreatedKey], ann: Principal
) -> None:
    errors = []
    for guid in (made[1].key.guid, uuid4()):
        with pytest.raises(RecordNotFoundError) as caught:
            await revoke_key(guid, ann)
        errors.append(caught.value.detail)
    with pytest.raises(RecordNotFoundError):
        await revoke_key(made[0].key.guid, ANONYMOUS)
    assert errors[0] == errors[1]
    assert await revoked(keys) == [False, False, False]


async def test_an_administrator_revokes_the_key_of_any_user(
    revoke_key: RevokeKey, keys: InMemoryAPIKeyRepository, made: list[CreatedKey], admin: Principal
) -> None:
    await revoke_key(made[1].key.guid, admin)
    assert await revoked(keys) == [False, True, False]


async def test_a_key_is_forgotten_even_if_the_answer_of_the_database_is_lost(
    users: InMemoryUserRepository, clock: InMemoryClock, access: AccessChanges, made: list[CreatedKey]
) -> None:
    keys = ForgetfulAPIKeyRepository()
    await keys.add(made[0].key)
    authenticate_key = AuthenticateKey(keys=keys, users=users, clock=clock, access=access)
    await authenticate_key(made[0].secret)
    with pytest.raises(DBConnectionError):
        await RevokeKey(keys=keys, clock=clock, access=access)(made[0].key.guid, OPERATOR)
    with pytest.raises(AuthenticationError):
        await authenticate_key(made[0].secret)


async def test_all_keys_of_a_user_are_revoked_at_once_and_counted(
    revoke_keys: RevokeKeys, authenticate_key: AuthenticateKey, made: list[CreatedKey], ann: Principal
) -> None:
    for created in made:
        await authenticate_key(created.secret)
    assert await revoke_keys(ann) == 2
    for created in (made[0], made[2]):
        with pytest.raises(AuthenticationError):
            await authenticate_key(created.secret)
    assert (await authenticate_key(made[1].secret)).user == "bob"


async def test_keys_that_are_revoked_already_are_not_counted(
    revoke_keys: RevokeKeys, revoke_key: RevokeKey, made: list[CreatedKey]
) -> None:
    await revoke_key(made[0].key.guid, OPERATOR)
    assert await revoke_keys(OPERATOR, "ann") == 1
    assert await revoke_keys(OPERATOR, "ann") == 0


async def test_all_keys_of_another_user_are_an_administrators_to_revoke(
    revoke_keys: RevokeKeys, keys: InMemoryAPIKeyRepository, ann: Principal, admin: Principal
) -> None:
    with pytest.raises(OperationNotAllowedError):
        await revoke_keys(ann, "bob")
    with pytest.raises(UnauthorizedError):
        await revoke_keys(ANONYMOUS)
    with pytest.raises(RecordNotFoundError):
        await revoke_keys(admin, "stranger")
    assert await revoked(keys) == [False, False, False]
    assert await revoke_keys(admin, "bob") == 1
