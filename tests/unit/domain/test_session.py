"""Sessions."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from pixyproxy.domain.session import Session, digest_of_token, make_session_token
from pixyproxy.domain.user import PasswordHash
from tests.factories import UserFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOKEN = make_session_token(bytes(range(224, 256)))
ANN = UserFactory.build(name="ann", is_disabled=False)


def opened(lifetime: float = 100.0) -> Session:
    return Session.opened(TOKEN, ANN, guid=UUID(int=1), at=NOON, lifetime=lifetime)


def test_a_token_is_32_bytes_in_base64url() -> None:
    assert TOKEN == "4OHi4-Tl5ufo6err7O3u7_Dx8vP09fb3-Pn6-_z9_v8"


def test_a_session_holds_neither_its_token_nor_the_password_hash() -> None:
    text = repr(opened())
    assert TOKEN not in text
    assert ANN.password_hash not in text
    assert opened().digest == digest_of_token(TOKEN)


@pytest.mark.parametrize(
    "text", ["", TOKEN[:-1], TOKEN + "A", TOKEN + "=", "+" + TOKEN[1:], TOKEN[:-1] + "\n", "é" + TOKEN[1:], "٣" * 43]
)
def test_a_text_that_is_no_token_has_no_digest(text: str) -> None:
    assert digest_of_token(text) is None


@pytest.mark.parametrize(("seconds", "is_valid"), [(0, True), (99.999, True), (100, False), (1_000, False)])
def test_a_session_is_valid_until_its_lifetime_is_over(seconds: float, is_valid: bool) -> None:
    assert opened().is_valid_at(NOON + timedelta(seconds=seconds), 10_000) is is_valid


@pytest.mark.parametrize(("seconds", "is_valid"), [(0, True), (9.999, True), (10, False)])
def test_a_session_is_valid_until_it_was_idle_for_too_long(seconds: float, is_valid: bool) -> None:
    assert opened().is_valid_at(NOON + timedelta(seconds=seconds), 10) is is_valid


def test_a_clock_that_is_put_back_ends_no_session() -> None:
    assert opened().is_valid_at(NOON - timedelta(days=1), 10)


@pytest.mark.parametrize(
    "change", [{"name": "bob"}, {"is_disabled": True}, {"password_hash": PasswordHash("$another")}], ids=str
)
def test_a_session_is_only_of_an_active_user_with_the_same_password(change: dict[str, object]) -> None:
    assert opened().is_of(ANN)
    assert opened().is_of(msgspec.structs.replace(ANN, is_admin=not ANN.is_admin))
    assert not opened().is_of(msgspec.structs.replace(ANN, **change))
