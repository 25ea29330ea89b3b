"""The number of wrong logins that a client may send."""

from contextlib import ExitStack, suppress

import pytest

from pixyproxy.application.login_allowance import CAPACITY, LoginAllowance
from pixyproxy.domain.errors import AuthenticationError, OverloadedError, TooManyLoginsError
from pixyproxy.domain.user import UserName
from tests.doubles.seconds import Seconds

ANN = UserName("ann")


@pytest.fixture
def seconds() -> Seconds:
    return Seconds(1_000.0)


@pytest.fixture
def allowance(seconds: Seconds) -> LoginAllowance:
    return LoginAllowance(wrong_logins=3, seconds=60, monotonic=seconds)


def fail(allowance: LoginAllowance, address: str = "a") -> None:
    with pytest.raises(AuthenticationError), allowance.attempt(ANN, address):
        raise AuthenticationError("The login is wrong.")


def test_the_allowance_comes_back_bit_by_bit(allowance: LoginAllowance, seconds: Seconds) -> None:
    for _ in range(3):
        fail(allowance)
    for passed, retry_after in ((0, 20), (5, 15), (19, 1)):
        seconds.passed = 1_000 + passed
        with pytest.raises(TooManyLoginsError) as caught, allowance.attempt(ANN, "a"):
            raise AssertionError
        assert caught.value.retry_after == pytest.approx(retry_after)
    seconds.passed = 1_020
    fail(allowance)
    with pytest.raises(TooManyLoginsError), allowance.attempt(ANN, "a"):
        raise AssertionError
    seconds.passed = 9_000
    for _ in range(3):
        fail(allowance)


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), KeyboardInterrupt()])
def test_only_wrong_logins_are_counted(allowance: LoginAllowance, error: BaseException | None) -> None:
    for _ in range(5):
        try:
            with allowance.attempt(ANN, "a"):
                if error is not None:
                    raise error
        except (ZeroDivisionError, KeyboardInterrupt):
            pass
    for _ in range(3):
        fail(allowance)


def test_a_login_counts_while_it_is_verified(allowance: LoginAllowance) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(allowance.attempt(ANN, "a"))
        with pytest.raises(TooManyLoginsError):
            stack.enter_context(allowance.attempt(ANN, "a"))


def test_the_latest_pairs_are_counted(allowance: LoginAllowance) -> None:
    for _ in range(3):
        fail(allowance)
    for number in range(CAPACITY - 1):
        fail(allowance, str(number))
    with pytest.raises(TooManyLoginsError), allowance.attempt(ANN, "a"):
        raise AssertionError
    fail(allowance, "one too many")
    fail(allowance)


def test_an_uncounted_login_evicts_no_other(allowance: LoginAllowance) -> None:
    for _ in range(3):
        fail(allowance)
    for number in range(CAPACITY):
        with suppress(OverloadedError), allowance.attempt(ANN, str(number)):
            raise OverloadedError("Too many.", retry_after=1)
    with pytest.raises(TooManyLoginsError), allowance.attempt(ANN, "a"):
        raise AssertionError
