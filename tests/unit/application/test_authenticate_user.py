"""Finding out who is asking."""

import pytest

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.memory.verified_logins import InMemoryVerifiedLogins
from pixyproxy.application import AddUser, AuthenticateUser, ChangePassword, DisableUser
from pixyproxy.domain.errors import AuthenticationError, DBConnectionError
from pixyproxy.domain.ports import PasswordHasher
from pixyproxy.domain.user import Password, PasswordHash, Principal, User, UserName

PASSWORD = "correct horse"
DECOMPOSED = "Zoe\u0308"
COMPOSED = "Zo\u00eb"


class CountingPasswordHasher(PasswordHasher):
    """Writes down what it verifies."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.verified: list[PasswordHash] = []
        self._hasher = hasher

    async def hash(self, password: Password) -> PasswordHash:
        return await self._hasher.hash(password)

    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        self.verified.append(password_hash)
        return await self._hasher.verify(password_hash, password)

    @property
    def decoy(self) -> PasswordHash:
        return self._hasher.decoy


class BrokenUserRepository(InMemoryUserRepository):
    """Knows nothing any more."""

    async def get(self, name: UserName) -> User:
        raise DBConnectionError("The database does not answer.")


class Seconds:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def counting_hasher(hasher: InMemoryPasswordHasher) -> CountingPasswordHasher:
    return CountingPasswordHasher(hasher)


@pytest.fixture
def authenticate_user(
    users: InMemoryUserRepository, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> AuthenticateUser:
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    return AuthenticateUser(users=users, hasher=counting_hasher, verified=verified)


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
        ("nobody", PASSWORD),
        ("disabled", PASSWORD),
        ("disabled", "wrong horse"),
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
async def test_every_refusal_reads_alike_and_costs_one_verification(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    counting_hasher: CountingPasswordHasher,
    users: InMemoryUserRepository,
    login: tuple[str, str],
) -> None:
    await add_user("ann", PASSWORD)
    await add_user("disabled", PASSWORD)
    await DisableUser(users=users)("disabled")
    with pytest.raises(AuthenticationError) as caught:
        await authenticate_user(*login)
    assert caught.value.detail == "The user name or the password is wrong."
    assert caught.value.__cause__ is None
    assert len(counting_hasher.verified) == 1


async def test_an_unknown_user_is_verified_against_the_decoy(
    authenticate_user: AuthenticateUser, counting_hasher: CountingPasswordHasher
) -> None:
    with pytest.raises(AuthenticationError):
        await authenticate_user("nobody", PASSWORD)
    assert counting_hasher.verified == [counting_hasher.decoy]


async def test_a_verified_login_costs_no_further_hash_for_a_while(
    authenticate_user: AuthenticateUser, add_user: AddUser, counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    for passed in (0, 30, 59):
        seconds.passed = passed
        assert await authenticate_user("ann", PASSWORD) == Principal(name=UserName("ann"))
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


async def test_a_disabled_user_is_locked_out_at_the_latest_when_the_memory_ends(
    authenticate_user: AuthenticateUser, add_user: AddUser, users: InMemoryUserRepository, seconds: Seconds
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await DisableUser(users=users)("ann")
    seconds.passed = 60
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)


async def test_a_new_password_is_accepted_at_once_and_the_old_one_not_after_the_memory_ends(
    authenticate_user: AuthenticateUser,
    add_user: AddUser,
    users: InMemoryUserRepository,
    hasher: InMemoryPasswordHasher,
    seconds: Seconds,
) -> None:
    await add_user("ann", PASSWORD)
    await authenticate_user("ann", PASSWORD)
    await ChangePassword(users=users, hasher=hasher)("ann", "battery staple")
    assert await authenticate_user("ann", "battery staple") == Principal(name=UserName("ann"))
    seconds.passed = 60
    with pytest.raises(AuthenticationError):
        await authenticate_user("ann", PASSWORD)


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
    counting_hasher: CountingPasswordHasher, seconds: Seconds
) -> None:
    verified = InMemoryVerifiedLogins(lifetime=60, monotonic=seconds)
    authenticate_user = AuthenticateUser(users=BrokenUserRepository(), hasher=counting_hasher, verified=verified)
    with pytest.raises(DBConnectionError):
        await authenticate_user("ann", PASSWORD)
