"""The contract of `UserRepository`."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import PasswordHash, UserName
from tests.factories import UserFactory


@pytest.fixture
def memory_users() -> UserRepository:
    return InMemoryUserRepository()


@pytest.fixture
def sqlite_users(sqlite_database: SQLiteDatabase) -> UserRepository:
    return sqlite_database.users


@pytest.fixture
def mysql_users(mysql_database: MySQLDatabase) -> UserRepository:
    return mysql_database.users


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def users(request: pytest.FixtureRequest) -> UserRepository:
    repository: UserRepository = request.getfixturevalue(f"{request.param}_users")
    return repository


async def test_an_added_user_comes_back_with_an_id_and_all_its_fields(users: UserRepository) -> None:
    user = UserFactory.build(is_disabled=True)
    added = await users.add(user)
    assert added.id is not None
    assert added == msgspec.structs.replace(user, id=added.id)
    assert await users.get(user.name) == added


async def test_each_user_has_an_id_of_its_own(users: UserRepository) -> None:
    added = [await users.add(user) for user in UserFactory.batch(3)]
    assert len({user.id for user in added}) == 3


async def test_unknown_name_is_not_found(users: UserRepository) -> None:
    await users.add(UserFactory.build(name="ann"))
    with pytest.raises(RecordNotFoundError, match="no user with this name"):
        await users.get(UserName("bob"))


async def test_a_taken_name_is_refused_and_the_first_user_stays(users: UserRepository) -> None:
    first = await users.add(UserFactory.build(name="ann"))
    with pytest.raises(ConstraintViolationError, match="user with this name is stored already"):
        await users.add(UserFactory.build(name="ann"))
    assert await users.list() == [first]


async def test_of_many_who_add_the_same_name_at_once_one_succeeds(users: UserRepository) -> None:
    results = await asyncio.gather(
        *(users.add(UserFactory.build(name="ann")) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
    assert len(await users.list()) == 1


@pytest.mark.parametrize("other", ["Ann", "ANN", "ann ", "änn", "ann\u0301", "an", "ann%", "_nn", "a\\nn", "\uff41nn"])
async def test_names_are_compared_character_by_character(users: UserRepository, other: str) -> None:
    user = await users.add(UserFactory.build(name="ann"))
    with pytest.raises(RecordNotFoundError):
        await users.get(UserName(other))
    assert await users.get(UserName("ann")) == user


async def test_names_that_differ_in_case_or_accent_are_different_users(users: UserRepository) -> None:
    names = ["ann", "Ann", "änn", "straße", "strasse", "ﬁ", "fi"]
    added = {name: await users.add(UserFactory.build(name=name)) for name in names}
    for name in names:
        assert await users.get(UserName(name)) == added[name]


async def test_another_password_hash_is_stored_and_nothing_else(users: UserRepository) -> None:
    added = await users.add(UserFactory.build())
    await users.set_password_hash(added.name, PasswordHash("$another"))
    assert await users.get(added.name) == msgspec.structs.replace(added, password_hash=PasswordHash("$another"))


async def test_disabling_is_stored_and_nothing_else(users: UserRepository) -> None:
    added = await users.add(UserFactory.build())
    for _ in range(2):
        await users.disable(added.name)
        assert await users.get(added.name) == msgspec.structs.replace(added, is_disabled=True)


async def test_enabling_is_stored_and_nothing_else(users: UserRepository) -> None:
    added = await users.add(UserFactory.build(is_disabled=True, is_admin=True))
    for _ in range(2):
        await users.enable(added.name)
        assert await users.get(added.name) == msgspec.structs.replace(added, is_disabled=False)


async def test_an_administrator_stays_one_whatever_changes(users: UserRepository) -> None:
    admin, other = await users.add(UserFactory.build(is_admin=True)), await users.add(UserFactory.build())
    await users.set_password_hash(admin.name, PasswordHash("$another"))
    await users.disable(admin.name)
    await users.enable(admin.name)
    assert {user.name: user.is_admin for user in await users.list()} == {admin.name: True, other.name: False}


async def test_a_change_touches_no_other_user(users: UserRepository) -> None:
    ann, upper = await users.add(UserFactory.build(name="ann")), await users.add(UserFactory.build(name="ANN"))
    await users.disable(ann.name)
    await users.enable(ann.name)
    await users.set_password_hash(ann.name, PasswordHash("$another"))
    assert await users.get(upper.name) == upper


async def test_the_same_password_hash_again_is_no_error(users: UserRepository) -> None:
    added = await users.add(UserFactory.build())
    await users.set_password_hash(added.name, added.password_hash)
    assert await users.get(added.name) == added


async def test_a_change_of_an_unknown_user_is_not_found(users: UserRepository) -> None:
    await users.add(UserFactory.build(name="ann"))
    with pytest.raises(RecordNotFoundError):
        await users.disable(UserName("Ann"))
    with pytest.raises(RecordNotFoundError):
        await users.enable(UserName("Ann"))
    with pytest.raises(RecordNotFoundError):
        await users.set_password_hash(UserName("Ann"), PasswordHash("$another"))


async def test_a_change_of_the_password_does_not_undo_a_disabling_at_the_same_time(users: UserRepository) -> None:
    added = await users.add(UserFactory.build())
    await asyncio.gather(users.set_password_hash(added.name, PasswordHash("$another")), users.disable(added.name))
    stored = await users.get(added.name)
    assert (stored.password_hash, stored.is_disabled) == ("$another", True)


async def test_an_empty_repository_lists_no_users(users: UserRepository) -> None:
    assert await users.list() == []


async def test_the_list_is_ordered_by_code_point(users: UserRepository) -> None:
    names = [
        "b",
        "a",
        "B",
        "ab",
        "a b",
        "a-b",
        "a!",
        "ä",
        "z",
        "\ufb01",
        "\U0001f600",
        "\ue000",
        "\u05d0",
        "10",
        "9",
        "_",
    ]
    added = [await users.add(UserFactory.build(name=name)) for name in names]
    assert await users.list() == sorted(added, key=lambda user: user.name)


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE users; --",
        'say "hi"',
        "100%s",
        "%(name)s",
        "\\",
        "\\'",
        "😀" * 64,
        "שלום",
        "Zoe\u0308",
        "a\u202eb",
        "a\u200db",
    ],
)
async def test_a_name_is_kept_whatever_is_in_it(users: UserRepository, name: str) -> None:
    added = await users.add(UserFactory.build(name=name))
    assert await users.get(UserName(name)) == added
    assert await users.list() == [added]


async def test_a_password_hash_of_255_characters_is_kept(users: UserRepository) -> None:
    added = await users.add(UserFactory.build(password_hash="$" * 255))
    assert await users.get(added.name) == added


async def test_created_at_is_kept_to_the_microsecond(users: UserRepository) -> None:
    for microsecond in (0, 1, 999_999, 100_000):
        time = datetime(2026, 3, 29, 1, 30, 0, microsecond, tzinfo=UTC)
        added = await users.add(UserFactory.build(created_at=time))
        assert (await users.get(added.name)).created_at == time


@settings(
    max_examples=40,
    deadline=None,
    # Each example has a name of its own, so that the repository need not be a fresh one.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    password_hash=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=255),
    created_at=st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 -- the strategy's bounds are naive
    is_disabled=st.booleans(),
    is_admin=st.booleans(),
)
async def test_any_user_survives_the_round_trip(
    users: UserRepository, password_hash: str, created_at: datetime, *, is_disabled: bool, is_admin: bool
) -> None:
    added = await users.add(
        UserFactory.build(
            password_hash=password_hash, created_at=created_at, is_disabled=is_disabled, is_admin=is_admin
        )
    )
    assert await users.get(added.name) == added
