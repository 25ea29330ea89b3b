"""The contract of `PasswordHasher`."""

import re

import pytest

from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.domain.ports import PasswordHasher
from pixyproxy.domain.user import Password, PasswordHash

PASSWORD = Password("correct horse")


@pytest.fixture(params=[InMemoryPasswordHasher, Argon2PasswordHasher])
def hasher(request: pytest.FixtureRequest) -> PasswordHasher:
    hasher: PasswordHasher = request.param()
    return hasher


async def test_a_hash_fits_its_password(hasher: PasswordHasher) -> None:
    assert await hasher.verify(await hasher.hash(PASSWORD), PASSWORD)


@pytest.mark.parametrize(
    "other", ["", "correct hors", "correct horse ", "Correct horse", "correct horse\0", "x" * 1024]
)
async def test_a_hash_fits_no_other_password(hasher: PasswordHasher, other: str) -> None:
    assert not await hasher.verify(await hasher.hash(PASSWORD), other)


@pytest.mark.parametrize("text", ["pässwörd 🔑", "x" * 1024, "with:colon$and$dollars"])
async def test_any_password_can_be_hashed(hasher: PasswordHasher, text: str) -> None:
    password_hash = await hasher.hash(Password(text))
    assert await hasher.verify(password_hash, text)
    assert not await hasher.verify(password_hash, text[:-1])


async def test_the_same_password_never_has_the_same_hash_twice(hasher: PasswordHasher) -> None:
    first, second = await hasher.hash(PASSWORD), await hasher.hash(PASSWORD)
    assert first != second
    assert await hasher.verify(first, PASSWORD)
    assert await hasher.verify(second, PASSWORD)


async def test_a_hash_is_in_the_phc_string_format_and_fits_the_database(hasher: PasswordHasher) -> None:
    password_hash = await hasher.hash(PASSWORD)
    assert re.fullmatch(
        r"\$[a-z0-9-]{1,32}(\$v=\d+)?(\$[a-z]+=\d+(,[a-z]+=\d+)*)?(\$[A-Za-z0-9/+.-]+){2}", password_hash
    )
    assert len(password_hash) <= 255
    assert PASSWORD not in password_hash


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        "$",
        "$argon2id$",
        "$argon2id$v=19$m=1,t=1,p=1$a$b",
        "$argon2id$v=19$m=19456,t=2,p=1$!!!!$????",
        "$argon2id$é",
        "$sha256$",
        "$sha256$é$é",
        "$2b$12$abcdefghijklmnopqrstuu",
        "correct horse",
    ],
)
async def test_a_malformed_hash_fits_no_password(hasher: PasswordHasher, malformed: str) -> None:
    assert not await hasher.verify(PasswordHash(malformed), PASSWORD)


async def test_a_hash_that_was_cut_short_fits_no_password(hasher: PasswordHasher) -> None:
    password_hash = await hasher.hash(PASSWORD)
    assert not await hasher.verify(PasswordHash(password_hash[:-1]), PASSWORD)


@pytest.mark.parametrize("password", ["", "dummy_hash", PASSWORD, "\0" * 32])
async def test_no_password_fits_the_dummy_hash(hasher: PasswordHasher, password: str) -> None:
    assert not await hasher.verify(hasher.dummy_hash, password)
    assert hasher.dummy_hash == hasher.dummy_hash


async def test_the_dummy_hash_costs_as_much_as_any_other(hasher: PasswordHasher) -> None:
    """All that stands before the salt decides what a verification costs, and a little the lengths of salt and hash."""
    *dummy_hash, dummy_salt, dummy_digest = hasher.dummy_hash.split("$")
    *real, real_salt, real_hash = (await hasher.hash(PASSWORD)).split("$")
    assert dummy_hash == real
    assert (len(dummy_salt), len(dummy_digest)) == (len(real_salt), len(real_hash))
