"""Authenticating an API key."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.application import AddUser, AuthenticateKey, CreateKey, RevokeKey, authenticate_key
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.application.create_key import CreatedKey
from pixyproxy.application.known_keys import CAPACITY, KnownKeys
from pixyproxy.domain.api_key import APIKey, digest_of, make_key_secret
from pixyproxy.domain.errors import AuthenticationError, DBConnectionError
from pixyproxy.domain.ports import AccessMark, Clock
from pixyproxy.domain.user import OPERATOR, UserName
from tests.factories import UserFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Hands(Clock):
    """A clock that is put forward by hand, both the time of day and the seconds since the start."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def __call__(self) -> float:
        return self.passed


class WatchedAPIKeyRepository(InMemoryAPIKeyRepository):
    """Records the look-ups and the notes; `before_note` and `after_find` come in between."""

    def __init__(self, access_version: InMemoryAccessVersion) -> None:
        super().__init__(access_version)
        self.found: list[str] = []
        self.noted: list[datetime] = []
        self.before_note: Callable[[], Awaitable[None]] | None = None
        self.after_find: Callable[[], Awaitable[None]] | None = None

    async def find(self, digest: str) -> APIKey | None:
        self.found.append(digest)
        key = await super().find(digest)
        if self.after_find is not None:
            await self.after_find()
        return key

    async def note_use(self, guid: UUID, at: datetime) -> None:
        self.noted.append(at)
        if self.before_note is not None:
            await self.before_note()
        await super().note_use(guid, at)


class WrongAPIKeyRepository(InMemoryAPIKeyRepository):
    """Finds a key for every digest, as a database does that compares with a collation."""

    async def find(self, digest: str) -> APIKey | None:
        return next(iter(await self.list()), None)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def keys(access_version: InMemoryAccessVersion) -> WatchedAPIKeyRepository:
    return WatchedAPIKeyRepository(access_version)


@pytest.fixture
def access(access_version: InMemoryAccessVersion, hands: Hands) -> AccessChanges:
    return AccessChanges(access_version, monotonic=hands)


@pytest.fixture
def authenticate(
    keys: WatchedAPIKeyRepository, users: InMemoryUserRepository, hands: Hands, access: AccessChanges
) -> AuthenticateKey:
    return AuthenticateKey(keys=keys, users=users, clock=hands, access=access)


@pytest.fixture
async def created(create_key: CreateKey, add_user: AddUser, keys: WatchedAPIKeyRepository) -> CreatedKey:
    """Make a key of Ann's."""
    await add_user("ann", "correct horse")
    made = await create_key(OPERATOR, name="studio", user="ann")
    keys.found.clear()
    return made


async def expire(create_key: CreateKey, after: float) -> CreatedKey:
    """Make a key that expires `after` seconds after noon."""
    return await create_key(OPERATOR, name="short", user="ann", expires_at=NOON + timedelta(seconds=after))


async def test_the_right_secret_is_its_key(authenticate: AuthenticateKey, created: CreatedKey) -> None:
    assert await authenticate(created.secret) == created.key


@pytest.mark.parametrize("place", [0, 4, 5, 20, 40, 41, 46])
async def test_a_secret_with_a_changed_character_is_refused_without_a_look_up(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, created: CreatedKey, place: int
) -> None:
    character = "a" if created.secret[place] != "a" else "b"
    with pytest.raises(AuthenticationError):
        await authenticate(created.secret[:place] + character + created.secret[place + 1 :])
    assert keys.found == []


async def test_every_refusal_reads_alike(
    authenticate: AuthenticateKey,
    create_key: CreateKey,
    keys: WatchedAPIKeyRepository,
    users: InMemoryUserRepository,
    hands: Hands,
) -> None:
    for name in ("ann", "bob"):
        await users.add(UserFactory.build(name=name))
    revoked, expired = await create_key(OPERATOR, name="revoked", user="ann"), await expire(create_key, 1)
    await keys.revoke(revoked.key.guid, NOON)
    disabled = await create_key(OPERATOR, name="bobs", user="bob")
    await users.disable(UserName("bob"))
    gone = APIKey.made(
        secret := make_key_secret(b"gone" * 8), guid=UUID(int=1), name="gone", user=UserName("gone"), at=NOON
    )
    await keys.add(gone)
    hands.passed = 1.0
    unknown = make_key_secret(b"unknown!" * 4)
    details = set()
    for text in ("", "pixy_", "nonsense", unknown, revoked.secret, expired.secret, disabled.secret, secret):
        with pytest.raises(AuthenticationError) as caught:
            await authenticate(text)
        assert caught.value.__cause__ is None
        details.add(caught.value.detail)
    assert details == {"The API key is wrong, expired or revoked."}
    assert keys.noted == []


async def test_a_key_that_the_database_only_takes_for_the_right_one_is_refused(
    users: InMemoryUserRepository, created: CreatedKey, hands: Hands, access: AccessChanges
) -> None:
    keys = WrongAPIKeyRepository()
    await keys.add(created.key)
    authenticate = AuthenticateKey(keys=keys, users=users, clock=hands, access=access)
    with pytest.raises(AuthenticationError):
        await authenticate(make_key_secret(b"another!" * 4))
    assert await authenticate(created.secret) == created.key


async def test_a_known_key_is_not_looked_up_for_five_seconds(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    for passed in (0, 1, TRUST_SECONDS - 0.001):
        hands.passed = passed
        await authenticate(created.secret)
    assert keys.found == [created.key.digest]
    hands.passed = TRUST_SECONDS
    await authenticate(created.secret)
    assert keys.found == [created.key.digest] * 2


async def test_a_use_does_not_lengthen_the_seconds(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    for tenths in range(101):
        hands.passed = tenths / 10
        await authenticate(created.secret)
    assert len(keys.found) == 3


async def test_a_key_that_another_process_revokes_is_refused_at_the_next_look(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    await authenticate(created.secret)
    await keys.revoke(created.key.guid, NOON)
    hands.passed = LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate(created.secret)


async def test_the_keys_of_a_disabled_user_are_refused_at_the_next_look_and_taken_again_if_enabled(
    authenticate: AuthenticateKey, users: InMemoryUserRepository, hands: Hands, created: CreatedKey
) -> None:
    await authenticate(created.secret)
    await users.disable(UserName("ann"))
    hands.passed = LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate(created.secret)
    await users.enable(UserName("ann"))
    assert (await authenticate(created.secret)).guid == created.key.guid


async def test_a_key_that_is_revoked_while_it_is_being_looked_up_is_not_remembered(
    authenticate: AuthenticateKey,
    keys: WatchedAPIKeyRepository,
    access: AccessChanges,
    hands: Hands,
    created: CreatedKey,
) -> None:
    async def revoke() -> None:
        keys.after_find = None
        await RevokeKey(keys=keys, clock=hands, access=access)(created.key.guid, OPERATOR)

    keys.after_find = revoke
    await authenticate(created.secret)
    with pytest.raises(AuthenticationError):
        await authenticate(created.secret)


async def test_the_expiry_is_judged_for_each_request_also_of_a_known_key(
    authenticate: AuthenticateKey,
    create_key: CreateKey,
    keys: WatchedAPIKeyRepository,
    hands: Hands,
    created: CreatedKey,
) -> None:
    short = await expire(create_key, 1)
    keys.found.clear()
    await authenticate(short.secret)
    hands.passed = 0.999
    await authenticate(short.secret)
    hands.passed = 1.0
    with pytest.raises(AuthenticationError):
        await authenticate(short.secret)
    assert keys.found == [short.key.digest]


async def test_the_last_use_is_noted_once_a_minute_to_the_minute(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    for second in range(0, 130, 5):
        hands.passed = second + 0.5
        await authenticate(created.secret)
    assert keys.noted == [NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)]
    assert (await keys.get(created.key.guid)).last_used_at == NOON + timedelta(minutes=2)


async def test_of_many_requests_at_once_one_notes_the_use(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, created: CreatedKey
) -> None:
    async def give_way() -> None:
        await asyncio.sleep(0)

    keys.after_find = keys.before_note = give_way
    await asyncio.gather(*(authenticate(created.secret) for _ in range(20)))
    assert keys.noted == [NOON]


async def test_a_use_that_another_process_has_noted_is_not_noted_again(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, created: CreatedKey
) -> None:
    await keys.note_use(created.key.guid, NOON + timedelta(minutes=1))
    keys.noted.clear()
    await authenticate(created.secret)
    assert keys.noted == []


async def test_a_clock_that_is_put_back_does_not_put_the_last_use_back(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    hands.passed = 300.0
    await authenticate(created.secret)
    hands.passed = 0.0
    await authenticate(created.secret)
    assert keys.noted == [NOON + timedelta(minutes=5)]


async def test_a_database_that_can_not_note_the_use_fails_no_request_and_is_not_asked_again_in_that_minute(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    async def fail() -> None:
        raise DBConnectionError("The database can't be written to.")

    keys.before_note = fail
    for passed in (0.0, 1.0, 10.0, 59.0):
        hands.passed = passed
        assert await authenticate(created.secret) == created.key
    assert keys.noted == [NOON]
    keys.before_note = None
    hands.passed = 60.0
    await authenticate(created.secret)
    assert (await keys.get(created.key.guid)).last_used_at == NOON + timedelta(minutes=1)


async def test_a_database_that_hangs_while_noting_the_use_does_not_hold_the_request_for_ever(
    authenticate: AuthenticateKey,
    keys: WatchedAPIKeyRepository,
    created: CreatedKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authenticate_key, "NOTE_SECONDS", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    keys.before_note = hang
    assert await authenticate(created.secret) == created.key


async def test_a_database_that_does_not_answer_is_no_refusal(
    users: InMemoryUserRepository, authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, created: CreatedKey
) -> None:
    async def fail() -> None:
        raise DBConnectionError("The database does not answer.")

    keys.after_find = fail
    with pytest.raises(DBConnectionError):
        await authenticate(created.secret)


def test_the_latest_keys_are_known_and_no_more_than_there_is_room_for() -> None:
    known = KnownKeys()
    mark = AccessMark(0, 0.0)
    made = [
        APIKey(
            guid=UUID(int=number),
            name="key",
            user=UserName("ann"),
            prefix="pixy_",
            digest=digest_of(make_key_secret(number.to_bytes(32))),
            scopes=(),
            created_at=NOON,
        )
        for number in range(CAPACITY + 1)
    ]
    for key in made:
        known.put(key, mark)
        known.is_first_use(key, NOON)
    assert known.find(made[0].digest) is None
    assert known.find(made[1].digest) == (made[1], mark)
    assert known.find(made[-1].digest) == (made[-1], mark)
    assert known.is_first_use(made[0], NOON)
    assert not known.is_first_use(made[-1], NOON)


async def test_a_change_by_sql_which_no_version_tells_of_counts_after_five_seconds(
    authenticate: AuthenticateKey, keys: WatchedAPIKeyRepository, hands: Hands, created: CreatedKey
) -> None:
    await authenticate(created.secret)
    keys._keys.clear()
    hands.passed = TRUST_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate(created.secret)
