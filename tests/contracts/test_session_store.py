"""The contract of `SessionStore`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.session_store import InMemorySessionStore
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.ports import SessionStore
from pixyproxy.domain.session import Session
from pixyproxy.domain.user import UserName
from tests.factories import SessionFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
LONG_AGO = NOON - timedelta(days=9_000)


@pytest.fixture
def memory_sessions() -> SessionStore:
    return InMemorySessionStore()


@pytest.fixture
def sqlite_sessions(sqlite_database: SQLiteDatabase) -> SessionStore:
    return sqlite_database.sessions


@pytest.fixture
def mysql_sessions(mysql_database: MySQLDatabase) -> SessionStore:
    return mysql_database.sessions


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def sessions(request: pytest.FixtureRequest) -> SessionStore:
    store: SessionStore = request.getfixturevalue(f"{request.param}_sessions")
    return store


async def added(sessions: SessionStore, **fields: object) -> Session:
    """Store a session."""
    session = SessionFactory.build(**fields)
    await sessions.add(session)
    return session


async def test_an_added_session_comes_back_with_all_its_fields(sessions: SessionStore) -> None:
    session = await added(sessions, created_at=NOON, seen_at=NOON + MOMENT, expires_at=NOON + 999_999 * MOMENT)
    assert await sessions.find(session.digest) == session
    assert await sessions.list() == [session]


@settings(
    max_examples=40,
    deadline=None,
    # Each example has a guid and a digest of its own, so that the store need not be a fresh one.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    user=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0:"), min_size=1, max_size=64),
    times=st.tuples(*[st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC))] * 3),  # noqa: DTZ001 -- the strategy's bound is naive
)
async def test_any_session_survives_the_round_trip(
    sessions: SessionStore, user: str, times: Sequence[datetime]
) -> None:
    names = ("created_at", "seen_at", "expires_at")
    session = await added(sessions, user=UserName(user), **dict(zip(names, times, strict=True)))
    assert await sessions.find(session.digest) == session
    assert session in await sessions.list(session.user)


async def test_an_unknown_digest_finds_no_session(sessions: SessionStore) -> None:
    session = await added(sessions, digest="a" * 64)
    for digest in (SessionFactory.build().digest, session.digest.upper(), session.digest[:-1], "", "%"):
        assert await sessions.find(digest) is None


async def test_a_session_that_has_expired_is_found(sessions: SessionStore) -> None:
    session = await added(sessions, created_at=LONG_AGO)
    assert await sessions.find(session.digest) == session
    assert await sessions.list() == [session]


@pytest.mark.parametrize("taken", ["guid", "digest"])
async def test_a_guid_or_digest_that_is_taken_is_refused_and_the_first_session_stays(
    sessions: SessionStore, taken: str
) -> None:
    first = await added(sessions)
    with pytest.raises(ConstraintViolationError):
        await added(sessions, **{taken: getattr(first, taken)})
    assert await sessions.list() == [first]


async def test_the_list_is_ordered_by_age(sessions: SessionStore) -> None:
    made = [await added(sessions, created_at=NOON + HOUR * hours) for hours in (2, 0, 1, 0)]
    assert await sessions.list() == sorted(made, key=lambda session: (session.created_at, str(session.guid)))


async def test_the_list_of_a_user_has_all_sessions_of_that_user_and_no_others(sessions: SessionStore) -> None:
    users = ["ann", "Ann", "ann ", "änn", "ann\u0301", "an", "ann%", "_nn", "\uff41nn"]
    made = {user: [await added(sessions, user=UserName(user), created_at=NOON)] for user in users}
    made["ann"].append(await added(sessions, user=UserName("ann"), created_at=NOON + HOUR))
    for user in users:
        assert await sessions.list(UserName(user)) == made[user]
    assert await sessions.list(UserName("stranger")) == []


async def test_a_use_is_stored_and_nothing_else_changes(sessions: SessionStore) -> None:
    session, other = await added(sessions), await added(sessions)
    await sessions.note_seen(session.guid, session.seen_at + HOUR)
    assert await sessions.find(session.digest) == msgspec.structs.replace(session, seen_at=session.seen_at + HOUR)
    assert await sessions.find(other.digest) == other


async def test_the_last_use_never_goes_back(sessions: SessionStore) -> None:
    session = await added(sessions, seen_at=NOON)
    for hours in (0, 2, 1, -1_000_000):
        await sessions.note_seen(session.guid, NOON + HOUR * hours)
    found = await sessions.find(session.digest)
    assert found is not None
    assert found.seen_at == NOON + HOUR * 2


async def test_a_use_of_an_unknown_session_is_ignored(sessions: SessionStore) -> None:
    session = await added(sessions)
    await sessions.note_seen(SessionFactory.build().guid, NOON)
    assert await sessions.list() == [session]


async def test_a_session_that_has_ended_is_gone_and_others_stay(sessions: SessionStore) -> None:
    user = UserName("ann")
    session, other = await added(sessions, user=user), await added(sessions, user=user)
    await sessions.end(session.guid)
    assert await sessions.find(session.digest) is None
    assert await sessions.list() == [other]


async def test_an_unknown_session_can_not_be_ended(sessions: SessionStore) -> None:
    session, other = await added(sessions), await added(sessions)
    await sessions.end(other.guid)
    for guid in (SessionFactory.build().guid, other.guid):
        with pytest.raises(RecordNotFoundError, match="no such session"):
            await sessions.end(guid)
    assert await sessions.list() == [session]


async def test_all_sessions_of_a_user_end_and_no_others(sessions: SessionStore) -> None:
    others = [await added(sessions, user=UserName(user)) for user in ("Ann", "ann ", "ann%")]
    for _ in range(3):
        await added(sessions, user=UserName("ann"))
    assert await sessions.end_all(UserName("ann")) == 3
    assert await sessions.end_all(UserName("ann")) == 0
    assert sorted(await sessions.list(), key=str) == sorted(others, key=str)


async def test_all_sessions_of_all_users_end(sessions: SessionStore) -> None:
    for user in ("ann", "bob"):
        await added(sessions, user=UserName(user))
    assert await sessions.end_all() == 2
    assert await sessions.list() == []
    assert await sessions.end_all() == 0


async def test_of_those_who_end_a_session_at_once_one_succeeds(sessions: SessionStore) -> None:
    session = await added(sessions)
    outcomes = await asyncio.gather(*(sessions.end(session.guid) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(RecordNotFoundError) == 4


async def test_a_use_that_is_noted_meanwhile_brings_no_session_back(sessions: SessionStore) -> None:
    session = await added(sessions)
    later = session.seen_at + HOUR
    await asyncio.gather(
        sessions.note_seen(session.guid, later), sessions.end(session.guid), sessions.note_seen(session.guid, later)
    )
    assert await sessions.list() == []


async def test_expired_sessions_are_forgotten_to_the_moment(sessions: SessionStore) -> None:
    fields = {"created_at": LONG_AGO, "seen_at": NOON}
    for expires_at in (NOON - HOUR, NOON):
        await added(sessions, **fields, expires_at=expires_at)
    kept = await added(sessions, **fields, expires_at=NOON + MOMENT)
    assert await sessions.forget_expired(NOON, LONG_AGO) == 2
    assert await sessions.list() == [kept]


async def test_idle_sessions_are_forgotten_to_the_moment(sessions: SessionStore) -> None:
    fields = {"created_at": LONG_AGO, "expires_at": NOON + 10 * HOUR}
    for seen_at in (LONG_AGO, NOON - HOUR):
        await added(sessions, **fields, seen_at=seen_at)
    kept = await added(sessions, **fields, seen_at=NOON - HOUR + MOMENT)
    assert await sessions.forget_expired(NOON, NOON - HOUR) == 2
    assert await sessions.forget_expired(NOON, NOON - HOUR) == 0
    assert await sessions.list() == [kept]
