"""Users and principals."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.user import (
    ANONYMOUS,
    PasswordHash,
    Principal,
    User,
    UserName,
    parse_login_names,
    parse_new_user_name,
    parse_password,
    parse_user_name,
    twins_among,
)

DECOMPOSED = "Zoe\u0308"
COMPOSED = "Zo\u00eb"


def a_user(name: str = "ann") -> User:
    return User(name=UserName(name), password_hash=PasswordHash("$x$"), created_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["a", "Ann Lee", "ann@example.org", "日本", "x" * 64, "😀" * 64])
def test_a_user_name_of_1_to_64_characters_is_kept_as_it_is(text: str) -> None:
    assert parse_user_name(text) == text


@pytest.mark.parametrize("text", ["", "x" * 65, " ann", "ann ", "a\nb", "a\0b", "\ud800", "a:b", ":", "a\u2028b"])
def test_a_user_name_that_breaks_a_rule_is_refused(text: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        parse_user_name(text)
    assert caught.value.field == "name"


def test_a_user_name_is_brought_into_nfc() -> None:
    assert parse_user_name(DECOMPOSED) == COMPOSED


def test_a_user_name_is_measured_in_nfc() -> None:
    assert len(parse_user_name("e\u0301" * 64)) == 64


@given(st.text(max_size=70))
def test_a_parsed_user_name_parses_to_itself(text: str) -> None:
    try:
        name = parse_user_name(text)
    except DataValidationError:
        return
    assert parse_user_name(name) == name
    assert ":" not in name
    assert unicodedata.is_normalized("NFC", name)


@pytest.mark.parametrize("text", ["12345678", "x" * 1024, " spaces  ", "with:colon", "pass\nword", "🔑" * 8])
def test_a_password_of_8_to_1024_characters_is_kept_as_it_is(text: str) -> None:
    assert parse_password(text) == text


@pytest.mark.parametrize("text", ["", "1234567", "x" * 1025, "12345678\0", "12345678\ud800"])
def test_a_password_that_breaks_a_rule_is_refused(text: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        parse_password(text)
    assert caught.value.field == "password"


def test_a_refused_password_is_not_repeated() -> None:
    with pytest.raises(DataValidationError) as caught:
        parse_password("hunter2")
    assert "hunter2" not in caught.value.detail


def test_a_password_is_brought_into_nfc() -> None:
    assert parse_password(DECOMPOSED + " secret") == COMPOSED + " secret"


@pytest.mark.parametrize("parse", [parse_user_name, parse_password])
def test_names_and_passwords_have_at_most_30_marks_in_a_row(parse: Callable[[str], str]) -> None:
    assert parse("password" + "\u0323" * 30)
    with pytest.raises(DataValidationError, match="30 combining marks"):
        parse("password" + "\u0323" * 31)


@pytest.mark.parametrize("text", ["a\u202eb", "a\u200bb", "\ufeffann", "a\u2060b", "\u3164", "\u00ad"])
def test_a_new_user_name_is_what_it_looks_like(text: str) -> None:
    assert parse_user_name(text) == text
    with pytest.raises(DataValidationError) as caught:
        parse_new_user_name(text)
    assert caught.value.field == "name"


def test_a_user_name_has_joiners_only_where_unicode_uses_them() -> None:
    assert parse_user_name("a\u200dnn") == "ann"
    assert parse_new_user_name("می\u200cخواهم") == "می\u200cخواهم"


def test_a_login_means_the_name_as_it_is_written_and_as_it_is_normalised() -> None:
    assert parse_login_names(COMPOSED) == (COMPOSED,)
    assert parse_login_names(DECOMPOSED) == (DECOMPOSED, COMPOSED)
    assert parse_login_names("e\u0301" * 64) == ("é" * 64,)


def test_names_that_are_the_same_in_nfc_are_twins() -> None:
    names = [UserName(name) for name in ("ann", COMPOSED, "Zoe", DECOMPOSED, "a\u200dnn", "bob", "a\u202eb")]
    assert twins_among(names) == [["ann", "a\u200dnn"], [COMPOSED, DECOMPOSED]]
    assert twins_among([]) == []


def test_a_user_that_is_stored_may_have_a_name_of_earlier_versions() -> None:
    for name in (DECOMPOSED, "a\u202eb", "a\u200db", "\u200b"):
        assert a_user(name).name == name


def test_a_principal_without_a_name_is_anonymous() -> None:
    assert Principal() == ANONYMOUS
    assert ANONYMOUS.is_anonymous
    assert not Principal(name=UserName("ann")).is_anonymous
    assert Principal(linked=uuid4()).is_anonymous


@pytest.mark.parametrize("name", ["", "x" * 65, "a:b", "a\nb"])
def test_a_user_can_not_be_built_with_a_name_that_breaks_a_rule(name: str) -> None:
    with pytest.raises(DataValidationError):
        a_user(name)


def test_a_new_user_is_not_disabled_and_has_no_id() -> None:
    user = a_user()
    assert not user.is_disabled
    assert user.id is None
