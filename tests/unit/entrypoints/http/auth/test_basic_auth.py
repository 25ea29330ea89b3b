"""The Authorization header."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import AuthenticationError, BadRequestError
from pixyproxy.entrypoints.http.auth.basic_auth import parse_basic_credentials

names = st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]))
passwords = st.text(st.characters(exclude_categories=["Cs"]))


@given(names, passwords)
def test_what_a_client_encodes_is_what_is_read(name: str, password: str) -> None:
    token = base64.b64encode(f"{name}:{password}".encode()).decode()

    assert parse_basic_credentials(token) == (name, password)


@given(st.text())
def test_any_token_is_read_or_refused_and_nothing_worse(token: str) -> None:
    with suppress(AuthenticationError, BadRequestError):
        parse_basic_credentials(token)


@given(st.binary())
def test_any_bytes_are_read_or_refused(credentials: bytes) -> None:
    try:
        name, password = parse_basic_credentials(base64.b64encode(credentials).decode())
    except (AuthenticationError, BadRequestError):
        return
    assert f"{name}:{password}".encode() == credentials


def test_a_password_may_hold_colons() -> None:
    assert parse_basic_credentials(base64.b64encode(b"ann:a:b:c").decode()) == ("ann", "a:b:c")


def test_the_detail_never_repeats_the_credentials() -> None:
    with pytest.raises(AuthenticationError) as caught:
        parse_basic_credentials("c2VjcmV0")
    assert "secret" not in caught.value.detail
    assert "c2VjcmV0" not in caught.value.detail
