"""The contract of `VerifiedLogins`."""

import msgspec
import pytest

from pixyproxy.adapters.memory.verified_logins import CAPACITY, FAMILIAR_SECONDS, InMemoryVerifiedLogins
from pixyproxy.domain.ports import AccessMark, VerifiedLogin, VerifiedLogins
from pixyproxy.domain.user import PasswordHash, UserName
from tests.doubles.seconds import Seconds
from tests.factories import UserFactory

ANN = UserName("ann")
PASSWORD = "correct horse"
LIFETIME = 60.0
MARK, LATER = AccessMark(1, 10.0), AccessMark(2, 20.0)


def put(verified: VerifiedLogins, name: UserName = ANN, address: str | None = None) -> None:
    """Remember a login."""
    verified.put(UserFactory.build(name=name), PASSWORD, address, mark=MARK)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds(1_000.0)


@pytest.fixture(params=[InMemoryVerifiedLogins])
def verified(request: pytest.FixtureRequest, seconds: Seconds) -> VerifiedLogins:
    verified: VerifiedLogins = request.param(lifetime=LIFETIME, monotonic=seconds)
    return verified


def test_at_first_no_login_is_remembered(verified: VerifiedLogins) -> None:
    assert verified.find(ANN, PASSWORD) is None


def test_a_login_is_remembered(verified: VerifiedLogins) -> None:
    put(verified)
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=False, mark=MARK)
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=False, mark=MARK)


def test_an_administrator_is_remembered_as_one_until_the_login_is_verified_again(verified: VerifiedLogins) -> None:
    verified.put(UserFactory.build(name="ann", is_admin=True), PASSWORD, "192.0.2.1", mark=MARK)
    put(verified, UserName("bob"))
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=True, mark=MARK)
    assert verified.find(UserName("bob"), PASSWORD) == VerifiedLogin(is_admin=False, mark=MARK)
    assert verified.find(ANN, "wrong horse") is None
    put(verified)
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=False, mark=MARK)


def test_a_login_is_renewed_for_a_user_with_the_same_password_hash(verified: VerifiedLogins) -> None:
    user = UserFactory.build(name="ann")
    verified.put(user, PASSWORD, mark=MARK)
    assert verified.renew(msgspec.structs.replace(user, is_admin=True), PASSWORD, mark=LATER)
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=True, mark=LATER)


def test_a_login_is_not_renewed_for_a_user_with_another_password_hash(verified: VerifiedLogins) -> None:
    user = UserFactory.build(name="ann")
    verified.put(user, PASSWORD, mark=MARK)
    changed = msgspec.structs.replace(user, password_hash=PasswordHash("$another"))
    assert not verified.renew(changed, PASSWORD, mark=LATER)
    assert verified.find(ANN, PASSWORD) == VerifiedLogin(is_admin=False, mark=MARK)


def test_a_login_that_is_not_remembered_is_not_renewed(verified: VerifiedLogins) -> None:
    user = UserFactory.build(name="ann")
    verified.put(user, PASSWORD, mark=MARK)
    assert not verified.renew(user, "wrong horse", mark=LATER)
    assert not verified.renew(msgspec.structs.replace(user, name=UserName("bob")), PASSWORD, mark=LATER)
    assert verified.find(ANN, "wrong horse") is None


def test_renewing_does_not_lengthen_the_time(verified: VerifiedLogins, seconds: Seconds) -> None:
    user = UserFactory.build(name="ann")
    verified.put(user, PASSWORD, mark=MARK)
    seconds.passed += LIFETIME / 2
    assert verified.renew(user, PASSWORD, mark=LATER)
    seconds.passed += LIFETIME / 2
    assert verified.find(ANN, PASSWORD) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "Correct horse"), ("bob", PASSWORD), ("ann", ""), ("", PASSWORD), ("anncorrect", " horse"), ("an", "n")],
)
def test_no_other_login_is_remembered_with_it(verified: VerifiedLogins, name: str, password: str) -> None:
    put(verified)
    assert verified.find(UserName(name), password) is None


def test_a_login_is_forgotten_when_its_time_is_over(verified: VerifiedLogins, seconds: Seconds) -> None:
    put(verified)
    seconds.passed += LIFETIME - 0.001
    assert verified.find(ANN, PASSWORD)
    seconds.passed += 0.001
    assert verified.find(ANN, PASSWORD) is None
    assert verified.find(ANN, PASSWORD) is None


def test_recalling_does_not_lengthen_the_time(verified: VerifiedLogins, seconds: Seconds) -> None:
    put(verified)
    seconds.passed += LIFETIME / 2
    assert verified.find(ANN, PASSWORD)
    seconds.passed += LIFETIME / 2
    assert verified.find(ANN, PASSWORD) is None


def test_remembering_again_begins_the_time_anew(verified: VerifiedLogins, seconds: Seconds) -> None:
    put(verified)
    seconds.passed += LIFETIME / 2
    put(verified)
    seconds.passed += LIFETIME * 3 / 4
    assert verified.find(ANN, PASSWORD)


def test_a_lifetime_of_zero_remembers_nothing(seconds: Seconds) -> None:
    verified = InMemoryVerifiedLogins(lifetime=0, monotonic=seconds)
    put(verified)
    assert verified.find(ANN, PASSWORD) is None


def test_nothing_is_kept_in_the_clear(verified: VerifiedLogins) -> None:
    user = UserFactory.build(name="ann")
    verified.put(user, PASSWORD, mark=MARK)
    kept = repr(vars(verified))
    assert user.password_hash not in kept
    assert PASSWORD not in kept
    assert "ann:" not in kept


def test_what_is_kept_tells_nothing_outside_its_process(seconds: Seconds) -> None:
    """An unkeyed digest of a password would be the same everywhere, and could be looked up."""
    kept = []
    for _ in range(2):
        verified = InMemoryVerifiedLogins(lifetime=LIFETIME, monotonic=seconds)
        put(verified)
        kept.append(set(verified._logins))
    assert kept[0].isdisjoint(kept[1])


def test_the_latest_logins_are_kept_and_no_more_than_there_is_room_for(verified: VerifiedLogins) -> None:
    put(verified)
    for number in range(CAPACITY - 1):
        put(verified, UserName(f"user{number}"))
    assert verified.find(ANN, PASSWORD)
    put(verified, UserName("one too many"))
    assert verified.find(ANN, PASSWORD) is None
    assert verified.find(UserName("user0"), PASSWORD)
    assert verified.find(UserName("one too many"), PASSWORD)


def test_a_login_that_was_remembered_again_is_among_the_latest(verified: VerifiedLogins) -> None:
    put(verified)
    for number in range(CAPACITY - 1):
        put(verified, UserName(f"user{number}"))
    put(verified)
    put(verified, UserName("one too many"))
    assert verified.find(ANN, PASSWORD)
    assert verified.find(UserName("user0"), PASSWORD) is None


def test_a_login_was_right_for_a_day_although_it_is_no_longer_recalled(
    verified: VerifiedLogins, seconds: Seconds
) -> None:
    put(verified)
    seconds.passed += FAMILIAR_SECONDS - 0.001
    assert verified.find(ANN, PASSWORD) is None
    assert verified.was_right(ANN, PASSWORD)
    assert not verified.was_right(ANN, "wrong horse")
    seconds.passed += 0.001
    assert not verified.was_right(ANN, PASSWORD)


def test_a_name_is_familiar_where_it_came_from_for_a_day(verified: VerifiedLogins, seconds: Seconds) -> None:
    put(verified, address="192.0.2.1")
    seconds.passed += FAMILIAR_SECONDS - 0.001
    assert verified.is_familiar(ANN, "192.0.2.1")
    assert not verified.is_familiar(ANN, "192.0.2.2")
    assert not verified.is_familiar(UserName("bob"), "192.0.2.1")
    seconds.passed += 0.001
    assert not verified.is_familiar(ANN, "192.0.2.1")


def test_an_address_is_no_password(verified: VerifiedLogins) -> None:
    put(verified, address="192.0.2.1")
    assert verified.find(ANN, "192.0.2.1") is None
    assert not verified.is_familiar(ANN, PASSWORD)


def test_a_login_without_an_address_is_familiar_nowhere(verified: VerifiedLogins) -> None:
    put(verified)
    assert verified.find(ANN, PASSWORD)
    assert not verified.is_familiar(ANN, "192.0.2.1")


def test_a_forgotten_login_is_not_recalled(verified: VerifiedLogins) -> None:
    put(verified, address="192.0.2.1")
    verified.forget(ANN, PASSWORD)
    verified.forget(ANN, PASSWORD)
    assert verified.find(ANN, PASSWORD) is None
    assert not verified.was_right(ANN, PASSWORD)
