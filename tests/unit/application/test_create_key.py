"""Making an API key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.application import AddUser, CreateKey
from pixyproxy.domain.api_key import DEFAULT_SCOPES, KeyScope, digest_of, make_key_secret
from pixyproxy.domain.errors import (
    DataValidationError,
    OperationNotAllowedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.ports import TokenSource
from pixyproxy.domain.user import ANONYMOUS, OPERATOR, Principal

PASSWORD = "correct horse"


class RecordedTokenSource(TokenSource):
    """Makes tokens of sevens, and records their sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def new(self, size: int) -> bytes:
        self.sizes.append(size)
        return b"\7" * size


@pytest.fixture(autouse=True)
async def _users(add_user: AddUser) -> None:
    for name in ("ann", "bob", "Zo\u00eb"):
        await add_user(name, PASSWORD)


async def test_a_new_key_is_stored_and_its_secret_is_not(
    create_key: CreateKey, keys: InMemoryAPIKeyRepository, ann: Principal
) -> None:
    created = await create_key(ann, name="studio")
    assert await keys.list() == [created.key]
    assert created.key.user == "ann"
    assert created.key.scopes == DEFAULT_SCOPES
    assert created.key.digest == digest_of(created.secret)
    assert created.secret.startswith(created.key.prefix)
    assert created.secret not in repr(created.key)


async def test_all_that_is_asked_for_is_stored(
    create_key: CreateKey, keys: InMemoryAPIKeyRepository, ann: Principal
) -> None:
    fields: dict[str, Any] = {
        "name": "studio",
        "scopes": (KeyScope.READ, KeyScope.MANAGE),
        "visibility": Visibility.PUBLIC,
        "tags": ("fox", "draft"),
        "expires_at": datetime(2027, 1, 31, tzinfo=UTC),
    }
    key = (await create_key(ann, **fields)).key
    stored = await keys.get(key.guid)
    assert {name: getattr(stored, name) for name in fields} == fields


async def test_the_secret_is_made_of_the_token_that_the_source_gives(
    keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository, clock: InMemoryClock, ann: Principal
) -> None:
    tokens = RecordedTokenSource()
    create_key = CreateKey(keys=keys, users=users, clock=clock, guids=RandomGuidSource(), tokens=tokens)
    created = await create_key(ann, name="studio")
    assert created.secret == make_key_secret(b"\7" * 32)
    assert tokens.sizes == [32]


async def test_no_log_or_traceback_shows_the_secret(create_key: CreateKey, ann: Principal) -> None:
    created = await create_key(ann, name="studio")
    for text in (repr(created), str(created), f"{created!s}"):
        assert created.secret not in text
        assert created.secret[11:] not in text


async def test_two_keys_of_one_name_are_different_keys(create_key: CreateKey, ann: Principal) -> None:
    first, second = await create_key(ann, name="studio"), await create_key(ann, name="studio")
    assert first.key.guid != second.key.guid
    assert first.secret != second.secret


async def test_ones_own_name_may_be_given(create_key: CreateKey, ann: Principal) -> None:
    assert (await create_key(ann, name="studio", user="ann")).key.user == "ann"


async def test_a_key_of_another_user_is_refused_whether_there_is_that_user_or_not(
    create_key: CreateKey, keys: InMemoryAPIKeyRepository, ann: Principal
) -> None:
    for user in ("bob", "stranger", ""):
        with pytest.raises(OperationNotAllowedError):
            await create_key(ann, name="studio", user=user)
    assert await keys.list() == []


async def test_without_a_login_no_key_is_made(create_key: CreateKey, keys: InMemoryAPIKeyRepository) -> None:
    with pytest.raises(UnauthorizedError):
        await create_key(ANONYMOUS, name="studio")
    with pytest.raises(OperationNotAllowedError):
        await create_key(ANONYMOUS, name="studio", user="ann")
    assert await keys.list() == []


async def test_an_administrator_makes_keys_of_all_users(
    create_key: CreateKey, add_user: AddUser, admin: Principal
) -> None:
    await add_user("admin", PASSWORD, is_admin=True)
    assert (await create_key(admin, name="studio")).key.user == "admin"
    assert (await create_key(admin, name="studio", user="bob")).key.user == "bob"
    assert (await create_key(OPERATOR, name="studio", user="Zoe\u0308")).key.user == "Zo\u00eb"


async def test_an_unknown_user_gets_no_key(create_key: CreateKey, keys: InMemoryAPIKeyRepository) -> None:
    with pytest.raises(RecordNotFoundError, match="no user with this name"):
        await create_key(OPERATOR, name="studio", user="stranger")
    assert await keys.list() == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": ()}, "scopes"),
        ({"expires_at": datetime(2025, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"tags": ("a", "a")}, "tags"),
        ({"user": "a:b"}, "user"),
        ({"user": ""}, "user"),
    ],
)
async def test_what_breaks_a_rule_is_blamed_and_nothing_is_stored(
    create_key: CreateKey, keys: InMemoryAPIKeyRepository, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(DataValidationError) as caught:
        await create_key(OPERATOR, **{"name": "studio", "user": "ann", **fields})
    assert caught.value.field == field
    assert await keys.list() == []


async def test_a_key_may_expire_at_any_time_from_now_on(
    keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository, ann: Principal
) -> None:
    clock = InMemoryClock(step=timedelta(0))
    create_key = CreateKey(keys=keys, users=users, clock=clock, guids=RandomGuidSource(), tokens=RecordedTokenSource())
    with pytest.raises(DataValidationError):
        await create_key(ann, name="studio", expires_at=clock.now())
    created = await create_key(ann, name="studio", expires_at=clock.now() + timedelta(microseconds=1))
    assert created.key.created_at == clock.now()
