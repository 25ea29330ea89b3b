"""Opening, finding, listing and ending sessions."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.session_store import InMemorySessionStore
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.memory.verified_logins import InMemoryVerifiedLogins
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.adapters.system.token_source import RandomTokenSource
from pixyproxy.application import (
    AddUser,
    AuthenticateUser,
    ChangePassword,
    DisableUser,
    EnableUser,
    EndSession,
    EndSessions,
    FindSession,
    ListSessions,
    OpenSession,
    SweepSessions,
    find_session,
)
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.application.known_sessions import CAPACITY, FoundSession, KnownSessions
from pixyproxy.application.open_session import OpenedSession
from pixyproxy.domain.errors import (
    AuthenticationError,
    DBConnectionError,
    RecordNotFoundError,
    TooManyLoginsError,
)
from pixyproxy.domain.ports import AccessMark, Clock
from pixyproxy.domain.session import Session, make_session_token
from pixyproxy.domain.user import Password, Principal, UserName
from tests.factories import SessionFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = 3_600.0
IDLE = 14 * 24 * HOUR
LIFETIME = 30 * 24 * HOUR
ANN = UserName("ann")


class Hands(Clock):
    """A clock that is put forward by hand, both the time of day and the seconds since the start."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def __call__(self) -> float:
        return self.passed


class WatchedSessionStore(InMemorySessionStore):
    """Records the look-ups and the notes; `before_note` and `after_find` come in between."""

    def __init__(self, access_version: InMemoryAccessVersion) -> None:
        super().__init__(access_version)
        self.found = 0
        self.noted: list[datetime] = []
        self.before_note: Callable[[], Awaitable[None]] | None = None
        self.after_find: Callable[[], Awaitable[None]] | None = None

    async def find(self, digest: str) -> Session | None:
        self.found += 1
        session = await super().find(digest)
        if self.after_find is not None:
            await self.after_find()
        return session

    async def note_seen(self, guid: UUID, at: datetime) -> None:
        self.noted.append(at)
        if self.before_note is not None:
            await self.before_note()
        await super().note_seen(guid, at)


class CollatingSessionStore(InMemorySessionStore):
    """Finds a session for every digest, as a database does that compares with a collation."""

    async def find(self, digest: str) -> Session | None:
        return next(iter(await self.list()), None)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def access(access_version: InMemoryAccessVersion, hands: Hands) -> AccessChanges:
    return AccessChanges(access_version, monotonic=hands)


@pytest.fixture
def sessions(access_version: InMemoryAccessVersion) -> WatchedSessionStore:
    return WatchedSessionStore(access_version)


@pytest.fixture
def authenticate(
    users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, hands: Hands, access: AccessChanges
) -> AuthenticateUser:
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=hands)
    return AuthenticateUser(users=users, hasher=hasher, verified=verified, access=access)


@pytest.fixture
def open_session(authenticate: AuthenticateUser, sessions: WatchedSessionStore, hands: Hands) -> OpenSession:
    return OpenSession(
        authenticate_user=authenticate,
        sessions=sessions,
        clock=hands,
        guids=RandomGuidSource(),
        tokens=RandomTokenSource(),
        lifetime=LIFETIME,
    )


@pytest.fixture
def find(
    sessions: WatchedSessionStore, users: InMemoryUserRepository, hands: Hands, access: AccessChanges
) -> FindSession:
    return FindSession(sessions=sessions, users=users, clock=hands, access=access, idle=IDLE)


@pytest.fixture
def elsewhere(
    sessions: WatchedSessionStore,
    users: InMemoryUserRepository,
    hands: Hands,
    access_version: InMemoryAccessVersion,
) -> FindSession:
    """The use case of another process."""
    access = AccessChanges(access_version, monotonic=hands)
    return FindSession(sessions=sessions, users=users, clock=hands, access=access, idle=IDLE)


@pytest.fixture
def end_session(sessions: WatchedSessionStore, access: AccessChanges) -> EndSession:
    return EndSession(sessions=sessions, access=access)


@pytest.fixture
def end_sessions(sessions: WatchedSessionStore, users: InMemoryUserRepository, access: AccessChanges) -> EndSessions:
    return EndSessions(sessions=sessions, users=users, access=access)


@pytest.fixture
async def opened(open_session: OpenSession, add_user: AddUser, sessions: WatchedSessionStore) -> OpenedSession:
    """Log Ann in."""
    await add_user("ann", "correct horse")
    made = await open_session("ann", "correct horse")
    sessions.found = 0
    return made


async def test_a_login_opens_a_session_that_its_token_finds(find: FindSession, opened: OpenedSession) -> None:
    assert await find(opened.token) == FoundSession(opened.session, Principal(name=ANN))
    assert opened.session.expires_at == NOON + timedelta(seconds=LIFETIME)


async def test_the_session_of_an_administrator_is_an_administrators(
    open_session: OpenSession, add_user: AddUser, find: FindSession
) -> None:
    await add_user("root", "correct horse", is_admin=True)
    found = await find((await open_session("root", "correct horse")).token)
    assert found is not None
    assert found.principal == Principal(name=UserName("root"), is_admin=True)


async def test_each_login_has_a_token_of_its_own(open_session: OpenSession, opened: OpenedSession) -> None:
    again = await open_session("ann", "correct horse")
    assert again.token != opened.token
    assert again.session.guid != opened.session.guid


async def test_an_opened_session_shows_no_token(opened: OpenedSession) -> None:
    assert opened.token not in repr(opened)


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong horse"), ("bob", "correct horse"), ("", ""), ("a:b", "x")]
)
async def test_a_wrong_login_opens_no_session(
    open_session: OpenSession, sessions: WatchedSessionStore, opened: OpenedSession, name: str, password: str
) -> None:
    with pytest.raises(AuthenticationError, match="The user name or the password is wrong"):
        await open_session(name, password)
    assert await sessions.list() == [opened.session]


async def test_wrong_logins_are_limited_as_those_of_requests_are(
    open_session: OpenSession, opened: OpenedSession
) -> None:
    for _ in range(10):
        with pytest.raises(AuthenticationError):
            await open_session("ann", "wrong horse", address="192.0.2.1")
    with pytest.raises(TooManyLoginsError):
        await open_session("ann", "wrong horse", address="192.0.2.1")


async def test_a_disabled_user_opens_no_session(
    open_session: OpenSession, users: InMemoryUserRepository, opened: OpenedSession, hands: Hands
) -> None:
    # The login is remembered, and no change is known yet.
    await users.disable(ANN)
    with pytest.raises(AuthenticationError):
        await open_session("ann", "correct horse")


async def test_an_old_password_that_is_still_remembered_opens_no_session(
    open_session: OpenSession,
    authenticate: AuthenticateUser,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    opened: OpenedSession,
) -> None:
    """Another process has changed it; this one takes the old one in requests for up to five seconds."""
    await users.set_password_hash(ANN, await hasher.hash(Password("battery staple")))
    await authenticate("ann", "correct horse")
    with pytest.raises(AuthenticationError):
        await open_session("ann", "correct horse")


async def test_a_password_that_changes_while_it_is_verified_opens_no_session(
    *,
    open_session: OpenSession,
    find: FindSession,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    sessions: WatchedSessionStore,
    add_user: AddUser,
) -> None:
    user = await add_user("ann", "correct horse")
    opening = asyncio.create_task(open_session("ann", "correct horse"))
    new = await hasher.hash(Password("battery staple"))
    for _ in range(100):
        await asyncio.sleep(0)
        if opening.done():
            break
        await users.set_password_hash(ANN, new)
        await users.set_password_hash(ANN, user.password_hash)
    await users.set_password_hash(ANN, new)
    assert await find((await opening).token) is None


@pytest.mark.parametrize("token", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "=", "pixy_" + "A" * 42])
async def test_a_malformed_token_is_no_session_and_costs_no_look_up(
    find: FindSession, end_session: EndSession, sessions: WatchedSessionStore, opened: OpenedSession, token: str
) -> None:
    assert await find(token) is None
    await end_session(token)
    assert sessions.found == 0


async def test_an_unknown_token_is_no_session(find: FindSession, opened: OpenedSession) -> None:
    assert await find(make_session_token(b"unknown!" * 4)) is None


async def test_a_session_that_the_database_only_takes_for_the_right_one_is_none(
    users: InMemoryUserRepository, opened: OpenedSession, hands: Hands, access: AccessChanges
) -> None:
    sessions = CollatingSessionStore()
    await sessions.add(opened.session)
    find = FindSession(sessions=sessions, users=users, clock=hands, access=access, idle=IDLE)
    assert await find(make_session_token(b"another!" * 4)) is None
    assert await find(opened.token) is not None


async def test_a_session_of_a_user_that_is_gone_is_none(
    find: FindSession, users: InMemoryUserRepository, opened: OpenedSession
) -> None:
    users._users.clear()
    assert await find(opened.token) is None


async def test_a_known_session_is_not_looked_up_for_five_seconds(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    for passed in (0, 1, TRUST_SECONDS - 0.001):
        hands.passed = passed
        await find(opened.token)
    assert sessions.found == 1
    hands.passed = TRUST_SECONDS
    await find(opened.token)
    assert sessions.found == 2


async def test_a_known_session_expires_to_the_moment(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    for passed in range(0, int(LIFETIME), int(24 * HOUR)):
        hands.passed = passed
        assert await find(opened.token) is not None
    hands.passed = LIFETIME - 0.001
    assert await find(opened.token) is not None
    hands.passed = LIFETIME
    assert await find(opened.token) is None


async def test_an_idle_session_ends(find: FindSession, hands: Hands, opened: OpenedSession) -> None:
    hands.passed = IDLE - 1
    assert await find(opened.token) is not None
    hands.passed = 2 * IDLE - 2
    assert await find(opened.token) is not None
    hands.passed = LIFETIME - 1
    assert await find(opened.token) is not None


async def test_a_session_that_was_idle_too_long_has_ended(
    find: FindSession, hands: Hands, opened: OpenedSession
) -> None:
    hands.passed = IDLE
    assert await find(opened.token) is None


async def test_the_use_is_noted_once_an_hour(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    for minutes in range(0, 130, 5):
        hands.passed = 60.0 * minutes
        await find(opened.token)
    assert sessions.noted == [NOON + timedelta(hours=1), NOON + timedelta(hours=2)]


async def test_a_session_in_use_never_ends_by_a_short_idle_time(
    sessions: WatchedSessionStore,
    users: InMemoryUserRepository,
    access: AccessChanges,
    hands: Hands,
    opened: OpenedSession,
) -> None:
    find = FindSession(sessions=sessions, users=users, clock=hands, access=access, idle=8.0)
    for seconds in range(0, 60, 5):
        hands.passed = float(seconds)
        assert await find(opened.token) is not None
    hands.passed += 8.0
    assert await find(opened.token) is None


async def test_of_many_requests_at_once_one_notes_the_use(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    async def give_way() -> None:
        await asyncio.sleep(0)

    sessions.after_find = sessions.before_note = give_way
    hands.passed = HOUR
    await asyncio.gather(*(find(opened.token) for _ in range(20)))
    assert len(sessions.noted) == 1


async def test_a_use_that_another_process_has_noted_is_not_noted_again(
    find: FindSession, elsewhere: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    hands.passed = HOUR
    await elsewhere(opened.token)
    await find(opened.token)
    assert len(sessions.noted) == 1


async def test_a_database_that_can_not_note_the_use_fails_no_request_and_is_not_asked_again_in_that_hour(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    async def fail() -> None:
        raise DBConnectionError("The database can't be written to.")

    sessions.before_note = fail
    for seconds in (0, 10, 3_599, 3_600):
        hands.passed = HOUR + seconds
        assert await find(opened.token) is not None
    assert len(sessions.noted) == 2


async def test_a_database_that_hangs_while_noting_the_use_does_not_hold_the_request_for_ever(
    find: FindSession,
    sessions: WatchedSessionStore,
    hands: Hands,
    opened: OpenedSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(find_session, "NOTE_SECONDS", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    sessions.before_note = hang
    hands.passed = HOUR
    assert await find(opened.token) is not None


async def test_a_database_that_does_not_answer_is_no_end_of_a_session(
    find: FindSession, sessions: WatchedSessionStore, opened: OpenedSession
) -> None:
    async def fail() -> None:
        raise DBConnectionError("The database does not answer.")

    sessions.after_find = fail
    with pytest.raises(DBConnectionError):
        await find(opened.token)


async def test_a_session_ends_at_once_here_and_elsewhere_at_the_next_look(
    find: FindSession, elsewhere: FindSession, end_session: EndSession, hands: Hands, opened: OpenedSession
) -> None:
    for known in (find, elsewhere):
        assert await known(opened.token) is not None
    await end_session(opened.token)
    assert await find(opened.token) is None
    hands.passed = LOOK_SECONDS
    assert await elsewhere(opened.token) is None
    await end_session(opened.token)


async def test_a_session_that_ends_while_it_is_being_looked_up_is_not_remembered(
    find: FindSession, end_session: EndSession, sessions: WatchedSessionStore, opened: OpenedSession
) -> None:
    async def end() -> None:
        sessions.after_find = None
        await end_session(opened.token)

    sessions.after_find = end
    await find(opened.token)
    assert await find(opened.token) is None


async def test_a_change_by_sql_which_no_version_tells_of_counts_after_five_seconds(
    find: FindSession, sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    await find(opened.token)
    sessions._sessions.clear()
    hands.passed = TRUST_SECONDS
    assert await find(opened.token) is None


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_a_changed_password_ends_the_users_sessions(
    *,
    find: FindSession,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    access: AccessChanges,
    sessions: WatchedSessionStore,
    opened: OpenedSession,
    is_noticed: bool,
) -> None:
    """Also where the change ends no sessions itself, as by SQL."""
    await find(opened.token)
    change = ChangePassword(users=users, hasher=hasher, access=access, sessions=sessions if is_noticed else None)
    await change("ann", "battery staple")
    assert await find(opened.token) is None
    assert (await sessions.list() == []) is is_noticed
    # Not even the same password brings them back.
    await change("ann", "correct horse")
    assert await find(opened.token) is None


async def test_a_disabled_users_sessions_end_for_good(
    find: FindSession,
    users: InMemoryUserRepository,
    access: AccessChanges,
    sessions: WatchedSessionStore,
    opened: OpenedSession,
) -> None:
    await find(opened.token)
    await DisableUser(users=users, access=access, sessions=sessions)("ann")
    assert await find(opened.token) is None
    await EnableUser(users=users, access=access)("ann")
    assert await find(opened.token) is None


async def test_other_users_keep_their_sessions(
    *,
    find: FindSession,
    open_session: OpenSession,
    add_user: AddUser,
    users: InMemoryUserRepository,
    access: AccessChanges,
    sessions: WatchedSessionStore,
    opened: OpenedSession,
) -> None:
    await add_user("bob", "correct horse")
    bobs = await open_session("bob", "correct horse")
    await DisableUser(users=users, access=access, sessions=sessions)("ann")
    assert await find(bobs.token) is not None


async def test_sessions_are_ended_by_guid_by_user_and_all(
    find: FindSession,
    open_session: OpenSession,
    end_sessions: EndSessions,
    add_user: AddUser,
    opened: OpenedSession,
) -> None:
    await add_user("bob", "correct horse")
    again, bobs = await open_session("ann", "correct horse"), await open_session("bob", "correct horse")
    for token in (opened.token, again.token, bobs.token):
        assert await find(token) is not None
    assert await end_sessions([opened.session.guid]) == 1
    assert await find(opened.token) is None
    assert await end_sessions(user="ann") == 1
    assert await find(again.token) is None
    assert await find(bobs.token) is not None
    assert await end_sessions(of_all=True) == 1
    assert await find(bobs.token) is None


async def test_without_any_choice_no_session_ends(
    end_sessions: EndSessions, find: FindSession, opened: OpenedSession
) -> None:
    assert await end_sessions() == 0
    assert await find(opened.token) is not None


async def test_unknown_sessions_and_users_are_not_found(end_sessions: EndSessions, opened: OpenedSession) -> None:
    with pytest.raises(RecordNotFoundError):
        await end_sessions([UUID(int=1)])
    with pytest.raises(RecordNotFoundError):
        await end_sessions(user="stranger")


async def test_only_sessions_that_are_valid_are_listed(
    sessions: WatchedSessionStore,
    users: InMemoryUserRepository,
    hands: Hands,
    opened: OpenedSession,
    open_session: OpenSession,
) -> None:
    listed = ListSessions(sessions=sessions, users=users, clock=hands, idle=IDLE)
    for change in ({"expires_at": NOON}, {"seen_at": NOON - timedelta(seconds=IDLE)}, {"password_digest": "0" * 64}):
        fields = {"user": ANN, "password_digest": opened.session.password_digest, "created_at": NOON, "seen_at": NOON}
        await sessions.add(SessionFactory.build(**{**fields, **change}))
    await sessions.add(SessionFactory.build(user="gone"))
    assert await listed() == await listed("ann") == [opened.session]
    with pytest.raises(RecordNotFoundError):
        await listed("stranger")


async def test_sessions_that_are_over_are_swept(
    sessions: WatchedSessionStore, hands: Hands, opened: OpenedSession
) -> None:
    sweep = SweepSessions(sessions=sessions, clock=hands, idle=IDLE)
    hands.passed = IDLE - 1
    assert await sweep() == 0
    hands.passed = IDLE
    assert await sweep() == 1
    assert await sessions.list() == []


def test_the_latest_sessions_are_known_and_no_more_than_there_is_room_for() -> None:
    known, mark, every = KnownSessions(), AccessMark(0, 0.0), timedelta(hours=1)
    late = NOON + timedelta(days=3_000)
    made = [FoundSession(SessionFactory.build(), Principal(name=ANN)) for _ in range(CAPACITY + 1)]
    for found in made:
        known.put(found, mark)
        assert known.is_due(found.session, late, every)
    assert known.find(made[0].session.digest) is None
    assert known.find(made[1].session.digest) == (made[1], mark)
    assert known.find(made[-1].session.digest) == (made[-1], mark)
    assert known.is_due(made[0].session, late, every)
    assert not known.is_due(made[-1].session, late, every)
