"""The contract of `APIKeyRepository`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.api_key import APIKey, KeyScope
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.ports import APIKeyRepository
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import APIKeyFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAMES = [
    "'; DROP TABLE api_keys; --",
    'say "hi"',
    "100%s",
    ":guid",
    "%(name)s",
    "\\",
    "\\'",
    "😀" * 64,
    "שלום",
    "Zoe\u0308",
    "日本語のキー",
    "a\u202eb",
    "a\u200db",
]


@pytest.fixture
def memory_keys() -> APIKeyRepository:
    return InMemoryAPIKeyRepository()


@pytest.fixture
def sqlite_keys(sqlite_database: SQLiteDatabase) -> APIKeyRepository:
    return sqlite_database.api_keys


@pytest.fixture
def mysql_keys(mysql_database: MySQLDatabase) -> APIKeyRepository:
    return mysql_database.api_keys


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def keys(request: pytest.FixtureRequest) -> APIKeyRepository:
    repository: APIKeyRepository = request.getfixturevalue(f"{request.param}_keys")
    return repository


async def added(keys: APIKeyRepository, **fields: object) -> APIKey:
    """Store a key."""
    key = APIKeyFactory.build(**fields)
    await keys.add(key)
    return key


async def test_an_added_key_comes_back_with_all_its_fields(keys: APIKeyRepository) -> None:
    key = await added(
        keys,
        name="studio",
        scopes=tuple(KeyScope),
        visibility=Visibility.PUBLIC,
        tags=(Tag("fox"), Tag("été"), Tag('"\\😀')),
        expires_at=NOON + timedelta(microseconds=1),
        last_used_at=NOON,
        revoked_at=NOON + timedelta(microseconds=999_999),
    )
    assert await keys.get(key.guid) == key
    assert await keys.find(key.digest) == key
    assert await keys.list() == [key]


async def test_a_key_with_nothing_optional_comes_back_as_it_is(keys: APIKeyRepository) -> None:
    key = await added(keys, scopes=(KeyScope.READ,), visibility=None, tags=())
    assert await keys.get(key.guid) == key


@pytest.mark.parametrize("scopes", [(KeyScope.READ,), (KeyScope.MANAGE,), (KeyScope.READ, KeyScope.CREATE)])
async def test_the_scopes_are_kept(keys: APIKeyRepository, scopes: Sequence[KeyScope]) -> None:
    key = await added(keys, scopes=scopes)
    assert (await keys.get(key.guid)).scopes == scopes


@pytest.mark.parametrize("year", [2037, 2038, 2106, 9999])
async def test_a_key_may_expire_after_the_seconds_of_32_bits_have_ended(keys: APIKeyRepository, year: int) -> None:
    key = await added(keys, expires_at=datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    assert await keys.get(key.guid) == key


@pytest.mark.parametrize("text", NAMES)
async def test_a_name_is_kept_whatever_is_in_it(keys: APIKeyRepository, text: str) -> None:
    key = await added(keys, name=text, user=UserName(text.replace(":", ";")))
    assert await keys.get(key.guid) == key
    assert await keys.list(key.user) == [key]


@settings(
    max_examples=40,
    deadline=None,
    # Each example has a guid and a digest of its own, so that the repository need not be a fresh one.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=64),
    tags=st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64), unique=True, max_size=32
    ),
    times=st.tuples(*[st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC))] * 4),  # noqa: DTZ001 -- the strategy's bound is naive
)
async def test_any_key_survives_the_round_trip(
    keys: APIKeyRepository, name: str, tags: Sequence[str], times: Sequence[datetime]
) -> None:
    names = ("created_at", "expires_at", "last_used_at", "revoked_at")
    key = await added(keys, name=name, tags=tuple(map(Tag, tags)), **dict(zip(names, times, strict=True)))
    assert await keys.get(key.guid) == key


async def test_an_unknown_guid_is_not_found(keys: APIKeyRepository) -> None:
    await added(keys)
    with pytest.raises(RecordNotFoundError, match="no such API key"):
        await keys.get(APIKeyFactory.build().guid)


async def test_an_unknown_digest_finds_no_key(keys: APIKeyRepository) -> None:
    key = await added(keys)
    for digest in (APIKeyFactory.build().digest, key.digest.upper(), key.digest[:-1], ""):
        assert await keys.find(digest) is None


async def test_a_guid_that_is_taken_is_refused_and_the_first_key_stays(keys: APIKeyRepository) -> None:
    first = await added(keys)
    with pytest.raises(ConstraintViolationError):
        await added(keys, guid=first.guid)
    assert await keys.list() == [first]


async def test_a_digest_that_is_taken_is_refused_and_the_first_key_stays(keys: APIKeyRepository) -> None:
    first = await added(keys)
    with pytest.raises(ConstraintViolationError):
        await added(keys, digest=first.digest)
    assert await keys.list() == [first]


async def test_keys_may_share_their_name_their_user_and_their_prefix(keys: APIKeyRepository) -> None:
    first = await added(keys, created_at=NOON)
    second = await added(keys, name=first.name, user=first.user, prefix=first.prefix, created_at=NOON + MINUTE)
    assert await keys.list(first.user) == [first, second]
    assert await keys.find(second.digest) == second


async def test_an_empty_repository_lists_no_keys(keys: APIKeyRepository) -> None:
    assert await keys.list() == []
    assert await keys.list(UserName("ann")) == []


async def test_the_list_is_ordered_by_age(keys: APIKeyRepository) -> None:
    made = [await added(keys, created_at=NOON + MINUTE * minutes) for minutes in (2, 0, 1, 0)]
    assert await keys.list() == sorted(made, key=lambda key: (key.created_at, str(key.guid)))


async def test_the_list_of_a_user_has_all_keys_of_that_user_and_no_others(keys: APIKeyRepository) -> None:
    users = ["ann", "Ann", "ann ", "änn", "ann\u0301", "an", "ann%", "_nn", "\uff41nn"]
    made = {user: await added(keys, user=UserName(user)) for user in users}
    revoked = await added(keys, user=UserName("bob"), revoked_at=NOON)
    for user in users:
        assert await keys.list(UserName(user)) == [made[user]]
    assert await keys.list(UserName("bob")) == [revoked]
    assert await keys.list(UserName("stranger")) == []


async def test_a_revoked_key_is_stored_with_the_time_and_nothing_else_changes(keys: APIKeyRepository) -> None:
    key, other = await added(keys), await added(keys)
    await keys.revoke(key.guid, NOON)
    assert await keys.get(key.guid) == msgspec.structs.replace(key, revoked_at=NOON)
    assert await keys.find(key.digest) == msgspec.structs.replace(key, revoked_at=NOON)
    assert await keys.get(other.guid) == other


async def test_a_key_that_is_revoked_again_keeps_its_time(keys: APIKeyRepository) -> None:
    key = await added(keys)
    for minutes in (0, 0, 1, -1):
        await keys.revoke(key.guid, NOON + MINUTE * minutes)
    assert (await keys.get(key.guid)).revoked_at == NOON


async def test_an_unknown_key_is_not_revoked(keys: APIKeyRepository) -> None:
    key = await added(keys)
    with pytest.raises(RecordNotFoundError, match="no such API key"):
        await keys.revoke(APIKeyFactory.build().guid, NOON)
    assert await keys.list() == [key]


async def test_the_last_use_is_stored_and_nothing_else_changes(keys: APIKeyRepository) -> None:
    key, other = await added(keys), await added(keys)
    for minutes in (0, 1):
        await keys.note_use(key.guid, NOON + MINUTE * minutes)
        assert await keys.get(key.guid) == msgspec.structs.replace(key, last_used_at=NOON + MINUTE * minutes)
    assert await keys.get(other.guid) == other


async def test_the_last_use_never_goes_back(keys: APIKeyRepository) -> None:
    key = await added(keys)
    for minutes in (0, -1, 0, -1_000_000):
        await keys.note_use(key.guid, NOON + MINUTE * minutes)
    assert (await keys.get(key.guid)).last_used_at == NOON


async def test_a_use_of_an_unknown_key_is_ignored(keys: APIKeyRepository) -> None:
    key = await added(keys)
    await keys.note_use(APIKeyFactory.build().guid, NOON)
    assert await keys.list() == [key]


async def test_uses_that_are_noted_at_once_leave_the_latest(keys: APIKeyRepository) -> None:
    key = await added(keys)
    await asyncio.gather(*(keys.note_use(key.guid, NOON + MINUTE * (minutes * 7 % 20)) for minutes in range(20)))
    assert (await keys.get(key.guid)).last_used_at == NOON + MINUTE * 19


async def test_a_use_does_not_undo_a_revocation_at_the_same_time(keys: APIKeyRepository) -> None:
    for _ in range(10):
        key = await added(keys)
        await asyncio.gather(
            keys.note_use(key.guid, NOON), keys.revoke(key.guid, NOON + MINUTE), keys.note_use(key.guid, NOON)
        )
        assert await keys.get(key.guid) == msgspec.structs.replace(key, last_used_at=NOON, revoked_at=NOON + MINUTE)


async def test_of_several_revocations_at_once_one_time_stays(keys: APIKeyRepository) -> None:
    key = await added(keys)
    times = [NOON + MINUTE * minutes for minutes in range(10)]
    await asyncio.gather(*(keys.revoke(key.guid, time) for time in times))
    revoked_at = (await keys.get(key.guid)).revoked_at
    assert revoked_at in times
    await keys.revoke(key.guid, NOON - MINUTE)
    assert (await keys.get(key.guid)).revoked_at == revoked_at
