"""Signed links: which are opened, and which are not."""

import string
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.secret_store import InMemorySecretStore
from pixyproxy.application import RotateLinkKey
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.domain.errors import OperationNotAllowedError
from pixyproxy.domain.ports import SecretStore
from pixyproxy.entrypoints.link_signer import LinkSigner
from tests.doubles.seconds import Seconds

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
VARIANT = "width=256&format=webp"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXPIRES = int(NOON.timestamp())
BEFORE = NOON - timedelta(microseconds=1)
ARABIC_DIGITS = "".join(chr(0x660 + int(digit)) for digit in str(EXPIRES))
OLD, NEW = b"o" * 32, b"n" * 32


class CountingSecretStore(InMemorySecretStore):
    """Counts the reads."""

    def __init__(self, access_version: InMemoryAccessVersion) -> None:
        super().__init__(access_version)
        self.reads = 0

    async def accepted(self, name: str) -> Sequence[bytes]:
        self.reads += 1
        return await super().accepted(name)


def signer_of(secrets: SecretStore, *keys: bytes) -> LinkSigner:
    return LinkSigner(secrets, AccessChanges(InMemoryAccessVersion()), keys)


def signer_with(*keys: bytes) -> LinkSigner:
    return signer_of(InMemorySecretStore(), *keys)


async def opens(
    signer: LinkSigner,
    signature: str,
    *,
    guid: UUID = GUID,
    variant: str = VARIANT,
    expires: str = str(EXPIRES),
) -> bool:
    try:
        await signer.ensure_valid(guid, variant, expires, signature, BEFORE)
    except OperationNotAllowedError as exc:
        if exc.detail != "The link is not valid.":
            raise
        return False
    return True


@pytest.mark.parametrize("keys", [(), (NEW,), (NEW, OLD)])
async def test_a_link_is_opened_until_it_expires(keys: tuple[bytes, ...]) -> None:
    signer = signer_with(*keys)
    signature = await signer.sign(GUID, VARIANT, EXPIRES)

    await signer.ensure_valid(GUID, VARIANT, str(EXPIRES), signature, BEFORE)
    for late in (NOON, NOON + timedelta(days=1)):
        with pytest.raises(OperationNotAllowedError, match=r"^The link has expired\.$"):
            await signer.ensure_valid(GUID, VARIANT, str(EXPIRES), signature, late)


async def test_a_link_that_was_never_signed_is_not_told_that_it_has_expired() -> None:
    signer = signer_with(NEW)

    with pytest.raises(OperationNotAllowedError, match=r"^The link is not valid\.$"):
        await signer.ensure_valid(GUID, VARIANT, str(EXPIRES), "A" * 32, NOON)


async def test_a_link_holds_for_its_guid_its_variant_and_its_end_alone() -> None:
    signer = signer_with(NEW)
    signature = await signer.sign(GUID, VARIANT, EXPIRES)

    assert await opens(signer, signature)
    assert not await opens(signer, signature, guid=uuid4())
    for variant in ("", "width=256", "width=512&format=webp", "width=256&format=webp&quality=1"):
        assert not await opens(signer, signature, variant=variant)
    for seconds in (EXPIRES - 1, EXPIRES + 1, EXPIRES + (1 << 32)):
        assert not await opens(signer, signature, expires=str(seconds))


@pytest.mark.parametrize(
    "expires",
    [
        *(f"0{EXPIRES}", f"{EXPIRES}.0", f"+{EXPIRES}", f" {EXPIRES}", f"{EXPIRES}\n", ARABIC_DIGITS),
        *("", "0", "-1", "soon", "9" * 13, "9" * 5000),
    ],
)
async def test_an_end_that_is_written_in_another_way_opens_nothing(expires: str) -> None:
    signer = signer_with(NEW)

    assert not await opens(signer, await signer.sign(GUID, VARIANT, EXPIRES), expires=expires)
    assert not await opens(signer, await signer.sign(GUID, VARIANT, 0), expires=expires)


async def test_a_signature_has_one_spelling_and_can_stand_in_an_address() -> None:
    signer = signer_with(NEW)
    signature = await signer.sign(GUID, VARIANT, EXPIRES)

    assert len(signature) == 32
    assert set(signature) <= set(string.ascii_letters + string.digits + "-_")
    for other in (
        signature[:-1],
        signature + "A",
        signature + "=",
        signature.swapcase(),
        f" {signature}",
        "",
        "ü\ud800",
    ):
        assert not await opens(signer, other)


@given(st.data())
async def test_a_signature_with_another_character_opens_nothing(data: st.DataObject) -> None:
    signer = signer_with(NEW, OLD)
    signature = await signer.sign(GUID, VARIANT, EXPIRES)
    place = data.draw(st.integers(0, len(signature) - 1))
    other = data.draw(st.characters().filter(lambda character: character != signature[place]))

    assert not await opens(signer, signature[:place] + other + signature[place + 1 :])


async def test_the_first_key_signs_and_all_are_accepted() -> None:
    with_old, rotated, with_new = signer_with(OLD), signer_with(NEW, OLD), signer_with(NEW)
    from_old = await with_old.sign(GUID, VARIANT, EXPIRES)
    from_rotated = await rotated.sign(GUID, VARIANT, EXPIRES)

    assert await opens(rotated, from_old)
    assert await opens(rotated, from_rotated)
    assert await opens(with_new, from_rotated)
    assert not await opens(with_old, from_rotated)


async def test_a_key_that_is_taken_away_ends_its_links() -> None:
    signature = await signer_with(OLD).sign(GUID, VARIANT, EXPIRES)

    assert not await opens(signer_with(NEW), signature)


async def test_without_keys_all_processes_share_the_databases_own() -> None:
    secrets = InMemorySecretStore()
    signature = await signer_of(secrets).sign(GUID, VARIANT, EXPIRES)

    assert await opens(signer_of(secrets), signature)
    assert not await opens(signer_with(), signature)
    assert not await opens(signer_of(secrets, NEW), signature)


async def test_the_key_is_no_other_of_the_databases_keys() -> None:
    secrets = InMemorySecretStore()
    signature = await signer_of(secrets).sign(GUID, VARIANT, EXPIRES)

    assert not await opens(signer_with(await secrets.get("cursor")), signature)
    assert await opens(signer_with(await secrets.get("link")), signature)


class Process:
    """What one process makes of a database that others share."""

    def __init__(self, secrets: InMemorySecretStore, version: InMemoryAccessVersion, seconds: Seconds) -> None:
        access = AccessChanges(version, monotonic=seconds)
        self.signer = LinkSigner(secrets, access)
        self.rotate = RotateLinkKey(secrets=secrets, access=access)

    async def sign(self) -> str:
        return await self.signer.sign(GUID, VARIANT, EXPIRES)

    async def opens(self, signature: str) -> bool:
        return await opens(self.signer, signature)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def processes(seconds: Seconds) -> list[Process]:
    version = InMemoryAccessVersion()
    secrets = InMemorySecretStore(version)
    return [Process(secrets, version, seconds) for _ in range(2)]


async def test_a_rotated_key_signs_at_once_here_and_elsewhere_at_the_next_look(
    processes: list[Process], seconds: Seconds
) -> None:
    here, elsewhere = processes
    before = await elsewhere.sign()
    assert await here.sign() == before
    await here.rotate()
    after = await here.sign()
    assert after != before
    assert await elsewhere.sign() == before
    seconds.passed += LOOK_SECONDS
    assert await elsewhere.sign() == after
    for process in processes:
        assert await process.opens(before)
        assert await process.opens(after)


async def test_the_second_rotation_ends_the_links_of_the_first_key(processes: list[Process]) -> None:
    here, _ = processes
    signatures = []
    for _ in range(3):
        signatures.append(await here.sign())
        await here.rotate()
    assert [await here.opens(signature) for signature in signatures] == [False, False, True]


async def test_a_revoking_rotation_ends_all_earlier_links(processes: list[Process], seconds: Seconds) -> None:
    here, elsewhere = processes
    signatures = [await elsewhere.sign()]
    await here.rotate()
    signatures.append(await here.sign())
    await here.rotate(revoke=True)
    assert [await here.opens(signature) for signature in signatures] == [False, False]
    seconds.passed += LOOK_SECONDS
    assert [await elsewhere.opens(signature) for signature in signatures] == [False, False]
    assert await elsewhere.opens(await here.sign())


async def test_the_databases_keys_are_read_once_in_five_seconds(seconds: Seconds) -> None:
    version = InMemoryAccessVersion()
    secrets = CountingSecretStore(version)
    signer = LinkSigner(secrets, AccessChanges(version, monotonic=seconds))
    for passed in (0.0, LOOK_SECONDS, TRUST_SECONDS - 0.001):
        seconds.passed = passed
        assert await opens(signer, await signer.sign(GUID, VARIANT, EXPIRES))
    assert secrets.reads == 1
    seconds.passed = TRUST_SECONDS
    await signer.sign(GUID, VARIANT, EXPIRES)
    assert secrets.reads == 2


@given(
    st.lists(
        st.tuples(st.uuids(), st.text(max_size=8), st.integers(1, 999_999_999_999)), min_size=2, max_size=4, unique=True
    )
)
async def test_no_two_links_have_the_same_signature(links: list[tuple[UUID, str, int]]) -> None:
    signer = signer_with(NEW)
    assert len({await signer.sign(*link) for link in links}) == len(links)
