"""What clients say about themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.sender import SENDER_MAX_LENGTH, Sender

ANYTHING: Any = st.none() | st.text() | st.integers() | st.lists(st.text(max_size=3), max_size=2)


def test_a_request_that_says_nothing_has_no_sender() -> None:
    assert Sender.of() is None
    assert Sender.of(user=None, client="  ", model="") is None


@pytest.mark.parametrize("text", [7, True, ["ann"], "\0", "an\0n", "\ud800", "e" + "\u0301" * 31])
def test_what_can_not_be_kept_is_left_out(text: object) -> None:
    assert Sender.of(user=text, client="curl/8") == Sender(client="curl/8")


def test_a_long_text_is_cut() -> None:
    assert Sender.of(user=f" {'x' * 300} ") == Sender(user="x" * SENDER_MAX_LENGTH)
    assert Sender.of(user="x" * (SENDER_MAX_LENGTH - 1) + "  y") == Sender(user="x" * (SENDER_MAX_LENGTH - 1))


@given(client=ANYTHING, user=ANYTHING, model=ANYTHING)
def test_any_request_has_a_valid_sender_or_none(**told: Any) -> None:
    sender = Sender.of(**told)
    if sender is not None:
        sender.ensure_valid()
        assert sender.text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\0b", "\ud800", "e" + "\u0301" * 31])
def test_a_stored_sender_is_checked(text: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        Sender(safety_identifier=text).ensure_valid()
    assert caught.value.field == "sender.safety_identifier"


def test_its_text_has_all_that_it_says() -> None:
    sender = Sender(client="curl/8", key="chat", user="ann", safety_identifier="a5", request_id="7", model="dall-e-3")
    assert sender.text.split("\n") == ["curl/8", "chat", "ann", "a5", "7", "dall-e-3"]
