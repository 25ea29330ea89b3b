"""API keys."""

import hashlib
import string
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.api_key import (
    DEFAULT_SCOPES,
    KEY_PREFIX_LENGTH,
    TOKEN_SIZE,
    APIKey,
    KeyScope,
    digest_of,
    make_key_secret,
    parse_key_secret,
)
from pixyproxy.domain.errors import AuthenticationError, DataValidationError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.user import UserName

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
TOKENS = st.binary(min_size=TOKEN_SIZE, max_size=TOKEN_SIZE)
SECRET = make_key_secret(bytes(range(TOKEN_SIZE)))


def made(**fields: Any) -> APIKey:
    """Make a key of Ann's."""
    return APIKey.made(SECRET, **{"guid": GUID, "name": "studio", "user": UserName("ann"), "at": NOON, **fields})


def checksum(digits: str) -> str:
    """Compute a checksum as a secret scanner does: bit by bit, and the digits from the left."""
    rest = 0xFFFFFFFF
    for byte in digits.encode("ascii"):
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0xEDB88320 if rest & 1 else 0)
    number = rest ^ 0xFFFFFFFF
    return "".join(BASE62[number // 62**place % 62] for place in range(5, -1, -1))


@given(TOKENS)
def test_a_secret_has_a_fixed_start_36_digits_and_a_checksum_of_6(token: bytes) -> None:
    secret = make_key_secret(token)
    assert secret.startswith("pixy_")
    assert len(secret) == len("pixy_") + 36 + 6
    assert set(secret[5:]) <= set(BASE62)
    assert secret[-6:] == checksum(secret[5:-6])


def test_the_checksum_is_that_of_a_known_token_of_githubs_form() -> None:
    # The CRC-32 of "123456789" is 0xCBF43926 by every table of checksums.
    assert (
        zlib.crc32(b"123456789")
        == 0xCBF43926
        == sum(BASE62.index(digit) * 62**place for place, digit in enumerate(reversed(checksum("123456789"))))
    )


def test_a_secret_is_the_number_of_its_token_in_base_62() -> None:
    digits = make_key_secret(bytes(TOKEN_SIZE - 1) + b"\x3f")[5:-6]
    assert digits == "0" * 34 + "11"


def test_each_digit_of_a_secret_may_be_any() -> None:
    hashes = (hashlib.sha256(str(number).encode()).digest() for number in range(3_000))
    seen = [set(column) for column in zip(*(make_key_secret(token)[5:-6] for token in hashes), strict=True)]
    assert seen == [set(BASE62)] * 36


@given(TOKENS)
def test_a_secret_is_parsed_as_it_is(token: bytes) -> None:
    secret = make_key_secret(token)
    assert parse_key_secret(str(secret)) == secret


@given(TOKENS, st.integers(0, 46), st.characters())
def test_a_secret_with_a_changed_character_is_refused(token: bytes, place: int, character: str) -> None:
    secret = make_key_secret(token)
    changed = secret[:place] + character + secret[place + 1 :]
    if changed != secret:
        with pytest.raises(AuthenticationError):
            parse_key_secret(changed)


@given(st.text(max_size=60) | st.from_regex(r"pixy_[0-9A-Za-z]{42}", fullmatch=True))
def test_every_text_is_a_secret_with_the_right_checksum_or_is_refused(text: str) -> None:
    try:
        secret = parse_key_secret(text)
    except AuthenticationError:
        return
    assert (secret, secret[-6:]) == (text, checksum(text[5:-6]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pixy_",
        SECRET[:-1],
        f"{SECRET}0",
        f"{SECRET}\n",
        f" {SECRET}",
        SECRET.upper(),
        SECRET.replace("pixy_", "pixy-"),
        SECRET.replace("pixy_", ""),
        "sk-proj-0123456789",
        f"pixy_{'٠' * 36}{checksum('0' * 36)}",
        "x" * 100_000,
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(AuthenticationError, match="wrong, expired or revoked"):
        parse_key_secret(text)


def test_a_key_knows_the_digest_and_the_first_characters_of_its_secret_and_no_more() -> None:
    key = made()
    assert key.digest == hashlib.sha256(SECRET.encode()).hexdigest() == digest_of(SECRET)
    assert key.prefix == SECRET[:10]
    assert len(key.prefix) == KEY_PREFIX_LENGTH
    assert SECRET[11:20] not in repr(key)


def test_a_key_reads_and_creates_unless_it_is_told_otherwise_and_never_expires() -> None:
    key = made()
    assert key.scopes == DEFAULT_SCOPES == (KeyScope.READ, KeyScope.CREATE)
    assert (key.visibility, key.tags) == (None, ())
    assert (key.created_at, key.expires_at, key.last_used_at, key.revoked_at) == (NOON, None, None, None)


def test_a_key_is_made_with_all_that_it_is_told() -> None:
    key = made(
        scopes=[KeyScope.MANAGE],
        visibility=Visibility.PUBLIC,
        tags=["Zoe\u0308", "fox"],
        expires_at=NOON + timedelta(days=90),
    )
    assert key.scopes == (KeyScope.MANAGE,)
    assert key.visibility is Visibility.PUBLIC
    assert key.tags == ("Zo\u00eb", "fox")
    assert key.expires_at == NOON + timedelta(days=90)


def test_scopes_are_put_in_order_and_counted_once() -> None:
    scopes = [KeyScope.MANAGE, KeyScope.READ, KeyScope.MANAGE, KeyScope.CREATE]
    assert made(scopes=scopes).scopes == (KeyScope.READ, KeyScope.CREATE, KeyScope.MANAGE)


@pytest.mark.parametrize("name", ["a", "My laptop", "日本", "x" * 64, "😀" * 64, "a:b", "'; DROP TABLE api_keys; --"])
def test_a_name_of_1_to_64_characters_is_kept_as_it_is(name: str) -> None:
    assert made(name=name).name == name


def test_a_name_is_brought_into_nfc() -> None:
    assert made(name="Zoe\u0308").name == "Zo\u00eb"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " a",
        "a ",
        "x" * 65,
        "a\nb",
        "a\0b",
        "a\tb",
        "\x1b[31m",
        "\ud800",
        "a\u202eb",
        "\u200b",
        "\u3164",
        "a\u2028b",
    ],
)
def test_a_name_that_breaks_a_rule_is_refused(name: str) -> None:
    assert refused(name=name) == "name"


def test_a_key_without_a_scope_is_refused() -> None:
    assert refused(scopes=[]) == "scopes"


@pytest.mark.parametrize(
    ("tags", "field"),
    [(["a", "a"], "tags"), (["x"] * 33, "tags"), (["fox", ""], "tags[1]"), (["a\u202eb"], "tags[0]")],
)
def test_tags_that_no_image_may_have_are_refused(tags: Sequence[str], field: str) -> None:
    assert refused(tags=tags) == field


@pytest.mark.parametrize(
    "expires_at",
    [
        NOON,
        NOON - timedelta(microseconds=1),
        datetime(2027, 1, 1),  # noqa: DTZ001 -- that is the fault
        datetime(2026, 6, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_an_expiry_that_is_past_or_out_of_range_or_has_no_time_zone_is_refused(expires_at: datetime) -> None:
    assert refused(expires_at=expires_at) == "expires_at"


def test_an_expiry_is_kept_in_utc() -> None:
    expires_at = made(expires_at=datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))).expires_at
    assert expires_at is not None
    assert (expires_at, expires_at.tzinfo) == (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), UTC)


def test_a_key_is_valid_until_the_moment_it_expires() -> None:
    key = made(expires_at=NOON + timedelta(seconds=1))
    assert key.is_valid_at(NOON)
    assert key.is_valid_at(NOON + timedelta(microseconds=999_999))
    assert not key.is_valid_at(NOON + timedelta(seconds=1))


def test_a_key_that_never_expires_is_valid_for_ever() -> None:
    assert made().is_valid_at(datetime.max.replace(tzinfo=UTC))


def test_a_revoked_key_is_valid_at_no_time() -> None:
    revoked = msgspec.structs.replace(made(), revoked_at=NOON)
    assert not any(revoked.is_valid_at(NOON + timedelta(days=days)) for days in (-1, 0, 1))


@pytest.mark.parametrize("field", ["created_at", "expires_at", "last_used_at", "revoked_at"])
def test_a_time_that_is_not_in_utc_is_not_valid(field: str) -> None:
    time = NOON.astimezone(timezone(timedelta(hours=1)))
    with pytest.raises(DataValidationError) as caught:
        msgspec.structs.replace(made(), **{field: time}).ensure_valid()
    assert caught.value.field == field


def refused(**fields: Any) -> str:
    """Return the field that is blamed for a key that breaks a rule."""
    with pytest.raises(DataValidationError) as caught:
        made(**fields)
    return caught.value.field
