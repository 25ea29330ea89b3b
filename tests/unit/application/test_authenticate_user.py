"""Authenticating a user."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.memory.verified_logins import InMemoryVerifiedLogins
from pixyproxy.application import AddUser, AuthenticateUser, ChangePassword, DisableUser, EnableUser
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.application.login_allowance import LoginAllowance
from pixyproxy.application.login_queue import LoginQueue
from pixyproxy.domain.errors import AuthenticationError, DBConnectionError, OverloadedError, TooManyLoginsError
from pixyproxy.domain.ports import PasswordHasher
from pixyproxy.domain.user import Password, PasswordHash, Principal, User, UserName
from tests.doubles.seconds import Seconds

PASSWORD = "correct horse"
HERE = "192.0.2.1"
ELSEWHERE = "198.51.100.1"
ALLOWED = 3
DECOMPOSED = "Zoe\u0308"
COMPOSED = "Zo\u00eb"


class CountingPasswordHasher(PasswordHasher):
    """Records each verification."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.verified: list[PasswordHash] = []
        self._hasher = hasher

    async def hash(self, password: Password) -> PasswordHash:
        return await self._hasher.hash(password)

    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        self.verified.append(password_hash)
        return await self._hasher.verify(password_hash, password)

    @property
    def dummy_hash(self) -> PasswordHash:
        return self._hasher.dummy_hash


class HeldPasswordHasher(CountingPasswordHasher):
    """Verifies nothing until it is released."""

    def __init__(self, hasher: PasswordHasher) -> None:
        super().__init__(hasher)
        self.is_reached = asyncio.Event()
        self.released = asyncio.Event()

    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        self.is_reached.set()
        await self.released.wait()
        return await super().verify(password_hash, password)


class BrokenUserRepository(InMemoryUserRepository):
    """Knows nothing any more."""

    async def get(self, name: UserName) -> User:
        raise DBConnectionError("The database does not answer.")


class CountingUserRepository(InMemoryUserRepository):
    """Counts the look-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up = 0

    async def get(self, name: UserName) -> User:
        self.looked_up += 1
        return await super().get(name)


class CountingAccessVersion(InMemoryAccessVersion):
    """Counts the looks."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def current(self) -> int:
        self.looks += 1
        return await super().current()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def access(access_version: InMemoryAccessVersion, seconds: Seconds) -> AccessChanges:
    return AccessChanges(access_version, monotonic=seconds)


@pytest.fixture
def disable_user(users: InMemoryUserRepository, access: AccessChanges) -> DisableUser:
    return DisableUser(users=users, access=access)


@pytest.fixture
def change_password(
    users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, access: AccessChanges
) -> ChangePassword:
    return ChangePassword(users=users, hasher=hasher, access=access)


@pytest.fixture
def counting_hasher(hasher: InMemoryPasswordHasher) -> CountingPasswordHasher:
    return CountingPasswordHasher(hasher)


@pytest.fixture
def authenticate_user(
    users: InMemoryUserRepository, counting_hasher: CountingPasswordHasher, seconds: Seconds, access: AccessChanges
) -> AuthenticateUser:
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    allowance = LoginAllowance(wrong_logins=ALLOWED, seconds=60, monotonic=seconds)
    return AuthenticateUser(users=users, hasher=counting_hasher, verified=verified, access=access, allowance=allowance)


async def test_the_right_login_is_the_users_principal(authenticate_user: AuthenticateUser, add_user: AddUser) -> None:
    await add_user("ann", PASSWORD)
    assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"))


@pytest.mark.parametrize("password", ["wrong horse", "Correct horse", PASSWORD + " ", " " + PASSWORD, "", "x" * 5_000])
async def test_a_wrong_password_is_refused(
    authenticate_user: AuthenticateUser, add_user: AddUser, password: str
) -> None:
    await add_user("ann", PASSWORD)
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", password)


async def test_another_users_password_is_refused(authenticate_user: AuthenticateUser, add_user: AddUser) -> None:
    await add_user("ann", PASSWORD)
    await add_user("bob", "battery staple")
    await authenticate_user("bob", "battery staple")
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", "battery staple")


@pytest.mark.parametrize(
    "login",
    [
        ("ann", "wrong horse"),
        ("stranger", PASSWORD),
        ("disabled", PASSWORD),
        ("disabled", "wrong horse"),
    ],
)
async def test_every_refusal_reads_alike_and_costs_one_verification(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    counting_hasher: CountingPasswordHasher,
    login: tuple[str, str],
    disable_user: DisableUser,
) -> None:
    await add_user("ann", PASSWORD)
    await add_user("disabled", PASSWORD)
    await disable_user("disabled")
    with pytest.raises(AuthenticationError) as caught:
        await authenticate_user(*login)
    assert caught.value.detail == "The user name or the password is wrong."
    assert caught.value.__cause__ is None
    assert len(counting_hasher.verified) == 1


@pytest.mark.parametrize(
    "login",
    [
        ("", PASSWORD),
        ("a\0b", PASSWORD),
        ("x" * 65, PASSWORD),
        ("\ud800", PASSWORD),
        ("ann", ""),
        ("ann", "short"),
        ("ann", "x" * 1025),
        ("ann", "pass\ud800word"),
    ],
)
async def test_a_malformed_login_is_refused_alike_and_costs_no_verification(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    counting_hasher: CountingPasswordHasher,
    login: tuple[str, str],
) -> None:
    await add_user("ann", PASSWORD)
    with pytest.raises(AuthenticationError) as caught:
        await authenticate_user(*login)
    assert caught.value.detail == "The user name or the password is wrong."
    assert caught.value.__cause__ is None
    assert counting_hasher.verified == []


async def test_an_unknown_user_is_verified_against_the_dummy_hash(
    authenticate_user: AuthenticateUser, counting_hasher: CountingPasswordHasher
) -> None:
    with pytest.raises(AuthenticationError):
        await authenticate_user("stranger", PASSWORD)
    assert counting_hasher.verified == [counting_hasher.dummy_hash]


async def test_a_verified_login_costs_no_further_hash_for_a_while(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    for passed in (0, 30, 59):
        seconds.passed = passed
        assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"))
    assert len(counting_hasher.verified) == 1


async def test_an_administrators_login_is_an_administrators_also_when_it_is_remembered(
    counting_hasher: CountingPasswordHasher, hasher: InMemoryPasswordHasher, seconds: Seconds, access: AccessChanges
) -> None:
    users = CountingUserRepository()
    add_user = AddUser(users=users, hasher=hasher, clock=InMemoryClock())
    await add_user("ann", PASSWORD, is_admin=True)
    await add_user("bob", PASSWORD)
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    authenticate_user = AuthenticateUser(users=users, hasher=counting_hasher, verified=verified, access=access)
    for _ in range(3):
        assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"), is_admin=True)
        assert await authenticate_user("bob", PASSWORD) == Principal(name=UserName("bob"))
    assert (len(counting_hasher.verified), users.looked_up) == (2, 2)


async def test_without_a_memory_of_logins_an_administrator_is_one_too(
    users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, add_user: AddUser, access: AccessChanges
) -> None:
    await add_user("ann", PASSWORD, is_admin=True)
    authenticate_user = AuthenticateUser(
        users=users, hasher=hasher, verified=InMemoryVerifiedLogins(lifetime=0), access=access
    )
    assert (await authenticate_user("ann", PASSWORD)).is_admin


async def test_an_administrator_by_sql_is_one_after_five_seconds_and_no_longer_one_as_well(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    users: InMemoryUserRepository,
    counting_hasher: CountingPasswordHasher,
    seconds: Seconds,
) -> None:
    user = await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    for is_admin in (True, False):
        users._users[user.name] = msgspec.structs.replace(user, is_admin=is_admin)
        seconds.passed += TRUST_SECONDS
        for _ in range(2):
            assert (await authenticate_user("ann", PASSWORD)).is_admin == is_admin
    assert len(counting_hasher.verified) == 1


async def test_a_verified_login_is_verified_again_when_its_time_is_over(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    for passed in (0, 60):
        seconds.passed = passed
        await authenticate_user("ann", PASSWORD)
    assert len(counting_hasher.verified) == 2


async def test_a_wrong_login_is_never_remembered(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    for count in (2, 3):
        with pytest.raises(AuthenticationError):
            await authenticate_user("ann", "wrong horse")
        assert len(counting_hasher.verified) == count


async def test_a_user_whom_this_process_disables_is_locked_out_at_once_until_enabled(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    disable_user: DisableUser,
    users: InMemoryUserRepository,
    access: AccessChanges,
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await disable_user("ann")
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await authenticate_user("ann", PASSWORD)
    await EnableUser(users=users, access=access)("ann")
    assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"))


async def test_a_user_whom_another_process_disables_is_locked_out_at_the_next_look(
    authenticate_user: AuthenticateUser, add_user: AddUser, users: InMemoryUserRepository, seconds: Seconds
) -> None:
    user = await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await users.disable(user.name)
    seconds.passed = LOOK_SECONDS
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await authenticate_user("ann", PASSWORD)


async def test_a_user_who_is_disabled_by_sql_is_locked_out_after_five_seconds(
    authenticate_user: AuthenticateUser, add_user: AddUser, users: InMemoryUserRepository, seconds: Seconds
) -> None:
    user = await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    users._users[user.name] = msgspec.structs.replace(user, is_disabled=True)
    seconds.passed = TRUST_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)


async def test_a_changed_password_counts_at_once_in_this_process(
    authenticate_user: AuthenticateUser, add_user: AddUser, change_password: ChangePassword
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await change_password("ann", "battery staple")
    assert await authenticate_user("ann", "battery staple") == Principal(name=UserName("ann"))
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)


async def test_a_password_that_another_process_changes_is_refused_at_the_next_look(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    seconds: Seconds,
) -> None:
    user = await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await users.set_password_hash(user.name, await hasher.hash(Password("battery staple")))
    seconds.passed = LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)
    assert await authenticate_user("ann", "battery staple") == Principal(name=UserName("ann"))


@pytest.mark.parametrize("is_same_process", [True, False])
async def test_a_user_who_is_disabled_while_the_login_is_verified_is_not_remembered(
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    add_user: AddUser,
    seconds: Seconds,
    access: AccessChanges,
    *,
    is_same_process: bool,
) -> None:
    """In the same process not even the requests that wait for this verification get in."""
    user = await add_user("ann", PASSWORD)
    held = HeldPasswordHasher(hasher)
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    authenticate_user = AuthenticateUser(users=users, hasher=held, verified=verified, access=access)
    logins = [asyncio.create_task(authenticate_user("ann", PASSWORD))]
    await asyncio.wait_for(held.is_reached.wait(), 60)
    await users.disable(user.name)
    if is_same_process:
        access.note_change()
    logins.append(asyncio.create_task(authenticate_user("ann", PASSWORD)))
    await asyncio.sleep(0)
    held.released.set()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert [isinstance(result, AuthenticationError) for result in results] == [is_same_process] * 2
    seconds.passed = LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)


async def test_a_password_that_is_changed_while_the_old_one_is_verified_refuses_it(
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    add_user: AddUser,
    change_password: ChangePassword,
    access: AccessChanges,
) -> None:
    await add_user("ann", PASSWORD)
    held = HeldPasswordHasher(hasher)
    authenticate_user = AuthenticateUser(
        users=users, hasher=held, verified=InMemoryVerifiedLogins(lifetime=60), access=access
    )
    login = asyncio.create_task(authenticate_user("ann", PASSWORD))
    await asyncio.wait_for(held.is_reached.wait(), 60)
    await change_password("ann", "battery staple")
    held.released.set()
    with pytest.raises(AuthenticationError):
        await login


async def test_a_change_of_one_user_costs_no_other_a_password_hash(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    disable_user: DisableUser,
    counting_hasher: CountingPasswordHasher,
    seconds: Seconds,
) -> None:
    names = [f"user{number}" for number in range(5)]
    for name in ("ann", *names):
        await add_user(name, PASSWORD)
        await authenticate_user(name, PASSWORD)
    await disable_user("ann")
    for passed in (0.0, TRUST_SECONDS, 59.9):
        seconds.passed = passed
        for name in names:
            assert await authenticate_user(name, PASSWORD) == Principal(name=UserName(name))
    assert len(counting_hasher.verified) == 1 + len(names)


async def test_the_look_at_the_user_does_not_lengthen_the_memory_of_the_login(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    for passed in range(0, 61, 3):
        seconds.passed = passed
        await authenticate_user("ann", PASSWORD)
    assert len(counting_hasher.verified) == 2


async def test_a_remembered_login_is_accepted_for_five_seconds_without_the_database_and_then_none_is(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    access_version: InMemoryAccessVersion,
    seconds: Seconds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> User:
        raise DBConnectionError("The database does not answer.")

    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    monkeypatch.setattr(access_version, "current", fail)
    monkeypatch.setattr(authenticate_user.users, "get", fail)
    for passed in (LOOK_SECONDS, TRUST_SECONDS - 0.001):
        seconds.passed = passed
        assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"))
    seconds.passed = TRUST_SECONDS
    with pytest.raises(DBConnectionError):
        await authenticate_user("ann", PASSWORD)


async def test_many_requests_of_many_users_ask_for_the_version_once_and_for_no_user(
    hasher: InMemoryPasswordHasher, seconds: Seconds
) -> None:
    version, users = CountingAccessVersion(), CountingUserRepository()
    authenticate_user = AuthenticateUser(
        users=users,
        hasher=hasher,
        verified=InMemoryVerifiedLogins(lifetime=60, monotonic=seconds),
        access=AccessChanges(version, monotonic=seconds),
    )
    names = [f"user{number}" for number in range(10)]
    for name in names:
        await AddUser(users=users, hasher=hasher, clock=InMemoryClock())(name, PASSWORD)
        await authenticate_user(name, PASSWORD)
    version.looks = users.looked_up = 0
    seconds.passed = LOOK_SECONDS
    await asyncio.gather(*(authenticate_user(name, PASSWORD) for name in names * 20))
    seconds.passed += LOOK_SECONDS - 0.001
    await asyncio.gather(*(authenticate_user(name, PASSWORD) for name in names * 20))
    assert (version.looks, users.looked_up) == (1, 0)


async def test_names_and_passwords_are_compared_in_nfc(authenticate_user: AuthenticateUser, add_user: AddUser) -> None:
    await add_user(DECOMPOSED, COMPOSED + " secret")
    for name, password in ((COMPOSED, DECOMPOSED + " secret"), (DECOMPOSED, COMPOSED + " secret")):
        assert await authenticate_user(name, password) == Principal(name=UserName(COMPOSED))


async def test_names_are_compared_exactly(authenticate_user: AuthenticateUser, add_user: AddUser) -> None:
    await add_user("ann", PASSWORD)
    for name in ("Ann", "ann ", "änn"):
        with pytest.raises(AuthenticationError):
            await authenticate_user(name, PASSWORD)


async def test_a_database_that_does_not_answer_is_no_wrong_login(
    counting_hasher: CountingPasswordHasher, seconds: Seconds, access: AccessChanges
) -> None:
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    authenticate_user = AuthenticateUser(
        users=BrokenUserRepository(), hasher=counting_hasher, verified=verified, access=access
    )
    with pytest.raises(DBConnectionError):
        await authenticate_user("ann", PASSWORD)


async def exhaust(authenticate_user: AuthenticateUser, name: str = "ann", address: str = HERE) -> None:
    for number in range(ALLOWED):
        with pytest.raises(AuthenticationError):
            await authenticate_user(name, f"wrong horse {number}", address=address)


async def test_a_wrong_login_beyond_the_allowance_is_refused_unverified(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    await exhaust(authenticate_user)
    with pytest.raises(TooManyLoginsError) as caught:
        await authenticate_user("ann", "wrong horse", address=HERE)
    assert caught.value.retry_after == 20
    assert len(counting_hasher.verified) == ALLOWED
    seconds.passed = 20
    assert await authenticate_user("ann", PASSWORD, address=HERE) == Principal(name=UserName("ann"))


async def test_an_unknown_name_has_the_same_allowance(authenticate_user: AuthenticateUser) -> None:
    await exhaust(authenticate_user, "stranger")
    with pytest.raises(TooManyLoginsError):
        await authenticate_user("stranger", PASSWORD, address=HERE)


async def test_wrong_logins_lock_out_neither_the_name_elsewhere_nor_others_at_the_address(
    authenticate_user: AuthenticateUser, add_user: AddUser
) -> None:
    await add_user("ann", PASSWORD)
    await add_user("bob", "battery staple")
    await exhaust(authenticate_user)
    assert await authenticate_user("ann", PASSWORD, address=ELSEWHERE) == Principal(name=UserName("ann"))
    assert await authenticate_user("bob", "battery staple", address=HERE) == Principal(name=UserName("bob"))


async def test_a_login_that_was_right_lately_is_verified_whatever_was_wrong_since(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD, address=HERE)
    seconds.passed = 60
    await exhaust(authenticate_user)
    assert await authenticate_user("ann", PASSWORD, address=HERE) == Principal(name=UserName("ann"))
    assert len(counting_hasher.verified) == ALLOWED + 2


async def test_a_login_that_is_right_no_more_is_counted_from_then_on(
    authenticate_user: AuthenticateUser, add_user: AddUser, seconds: Seconds, change_password: ChangePassword
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD, address=HERE)
    await change_password("ann", "battery staple")
    seconds.passed = 60
    for _ in range(ALLOWED + 1):
        with pytest.raises(AuthenticationError):
            await authenticate_user("ann", PASSWORD, address=HERE)
    with pytest.raises(TooManyLoginsError):
        await authenticate_user("ann", PASSWORD, address=HERE)


async def test_right_logins_are_not_counted(authenticate_user: AuthenticateUser, add_user: AddUser) -> None:
    for number in range(ALLOWED + 1):
        await add_user(f"user{number}", PASSWORD)
    for number in range(ALLOWED + 1):
        await authenticate_user(f"user{number}", PASSWORD, address=HERE)
        await exhaust(authenticate_user, f"user{number}")


async def test_a_login_that_could_not_be_verified_is_not_counted(
    counting_hasher: CountingPasswordHasher, seconds: Seconds, access: AccessChanges
) -> None:
    authenticate_user = AuthenticateUser(
        users=BrokenUserRepository(),
        hasher=counting_hasher,
        verified=InMemoryVerifiedLogins(lifetime=60, monotonic=seconds),
        access=access,
        allowance=LoginAllowance(wrong_logins=1, monotonic=seconds),
    )
    for _ in range(3):
        with pytest.raises(DBConnectionError):
            await authenticate_user("ann", PASSWORD, address=HERE)


async def test_without_an_address_no_wrong_login_is_counted(authenticate_user: AuthenticateUser) -> None:
    for _ in range(ALLOWED + 2):
        with pytest.raises(AuthenticationError):
            await authenticate_user("ann", PASSWORD)


async def test_equal_logins_at_once_are_verified_once(
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    add_user: AddUser,
    seconds: Seconds,
    access: AccessChanges,
) -> None:
    await add_user("ann", PASSWORD)
    held = HeldPasswordHasher(hasher)
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    authenticate_user = AuthenticateUser(users=users, hasher=held, verified=verified, access=access)
    logins = [asyncio.create_task(authenticate_user("ann", PASSWORD, address=HERE)) for _ in range(50)]
    await asyncio.sleep(0)
    logins[0].cancel()
    held.released.set()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert results[1:] == [Principal(name=UserName("ann"))] * 49
    assert len(held.verified) == 1


async def test_the_allowance_holds_for_wrong_logins_at_once(
    users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, seconds: Seconds, access: AccessChanges
) -> None:
    held = HeldPasswordHasher(hasher)
    authenticate_user = AuthenticateUser(
        users=users,
        hasher=held,
        verified=InMemoryVerifiedLogins(lifetime=60, monotonic=seconds),
        access=access,
        allowance=LoginAllowance(wrong_logins=ALLOWED, monotonic=seconds),
    )
    logins = [
        asyncio.create_task(authenticate_user("ann", f"wrong horse {number}", address=HERE)) for number in range(50)
    ]
    async with asyncio.timeout(60):
        await asyncio.wait(logins[ALLOWED:])
    assert not any(login.done() for login in logins[:ALLOWED])
    held.released.set()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert sum(isinstance(result, TooManyLoginsError) for result in results) == 50 - ALLOWED
    assert len(held.verified) == ALLOWED


async def test_a_familiar_login_passes_a_full_queue_of_strangers(
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    add_user: AddUser,
    seconds: Seconds,
    access: AccessChanges,
) -> None:
    await add_user("ann", PASSWORD)
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    await AuthenticateUser(users=users, hasher=hasher, verified=verified, access=access)("ann", PASSWORD, address=HERE)
    seconds.passed = 60
    held = HeldPasswordHasher(hasher)
    queue = LoginQueue(places=4)
    flooded = AuthenticateUser(users=users, hasher=held, verified=verified, access=access, queue=queue)
    strangers = [asyncio.create_task(flooded(f"stranger{number}", PASSWORD, address=HERE)) for number in range(4)]
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError):
        await flooded("one too many", PASSWORD, address=ELSEWHERE)
    open_ = AuthenticateUser(users=users, hasher=hasher, verified=verified, access=access, queue=queue)
    assert await open_("ann", PASSWORD, address=HERE) == Principal(name=UserName("ann"))
    held.released.set()
    await asyncio.gather(*strangers, return_exceptions=True)


@pytest.mark.parametrize("name", [DECOMPOSED, "a\u200dnn", "a\u202eb", "\u200b"])
async def test_a_user_with_a_name_of_earlier_versions_may_log_in(
    authenticate_user: AuthenticateUser,
    counting_hasher: CountingPasswordHasher,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    name: str,
) -> None:
    password_hash = await hasher.hash(Password(PASSWORD))
    await users.add(User(name=UserName(name), password_hash=password_hash, created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    for _ in range(2):
        assert await authenticate_user(name, PASSWORD) == Principal(name=UserName(name))
    assert len(counting_hasher.verified) == 1


async def test_users_whose_names_are_the_same_in_nfc_stay_apart(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    access: AccessChanges,
) -> None:
    await add_user(COMPOSED, "battery staple")
    password_hash = await hasher.hash(Password(PASSWORD))
    await users.add(
        User(name=UserName(DECOMPOSED), password_hash=password_hash, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    )
    assert await authenticate_user(DECOMPOSED, PASSWORD) == Principal(name=UserName(DECOMPOSED))
    assert await authenticate_user(COMPOSED, "battery staple") == Principal(name=UserName(COMPOSED))
    with pytest.raises(AuthenticationError):
        await authenticate_user(COMPOSED, PASSWORD)
    await ChangePassword(users=users, hasher=hasher, access=access)(DECOMPOSED, "another password")
    assert await authenticate_user(COMPOSED, "battery staple") == Principal(name=UserName(COMPOSED))
    await DisableUser(users=users, access=access)(DECOMPOSED)
    assert not (await users.get(UserName(COMPOSED))).is_disabled


@pytest.mark.parametrize("length", [31, 60_000])
async def test_a_login_with_too_many_marks_costs_no_normalisation(
    authenticate_user: AuthenticateUser, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for login in (("a" + "\u0301\u0323" * length, PASSWORD), ("ann", PASSWORD + "\u0301\u0323" * length)):
        with monkeypatch.context() as patch:
            patch.setattr("unicodedata.normalize", lambda *_: pytest.fail("normalised"))
            with pytest.raises(AuthenticationError):
                await authenticate_user(*login)
