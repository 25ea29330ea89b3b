"""Idempotency keys and their claims."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey, parse_idempotency_key
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import PendingImageFactory

KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def quoted(key: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", key)
    return f'"{escaped}"'


class TestKey:
    """Valid keys."""

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            (f'"{KEY}"', KEY),
            (KEY, KEY),
            ("a", "a"),
            ('"a"', "a"),
            ('"a\\"b"', 'a"b'),
            ('"a\\\\b"', "a\\b"),
            ('"\\\\\\""', '\\"'),
            ('"\\\\n"', "\\n"),
            ("a\\b", "a\\b"),
            ("'a'", "'a'"),
            ("a,b;c=d", "a,b;c=d"),
            (VISIBLE.replace('"', ""), VISIBLE.replace('"', "")),
            (quoted(VISIBLE), VISIBLE),
        ],
    )
    def test_a_key_is_read_with_its_quotes_or_without(self, text: str, key: str) -> None:
        assert parse_idempotency_key(text) == key

    def test_keys_keep_their_case(self) -> None:
        assert parse_idempotency_key('"aBc"') == "aBc"

    @pytest.mark.parametrize("text", ["x" * 255, '"' + "x" * 255 + '"', '"' + '\\"' * 255 + '"'])
    def test_255_characters_are_accepted(self, text: str) -> None:
        assert len(parse_idempotency_key(text)) == 255

    @pytest.mark.parametrize(
        "text",
        [
            "",
            '""',
            "x" * 256,
            '"' + "x" * 256 + '"',
            '"' + "\\\\" * 256 + '"',
            '"',
            '"a',
            'a"',
            'a"b',
            '"a"b"',
            '"a\\"',
            '"a\\nb"',
            '"a";b',
            '"a", "b"',
            ' "a"',
            '"a" ',
            "a b",
            '"a b"',
            " ",
            '" "',
            "a\n",
            '"a"\n',
            '"a\n"',
            "\0",
            "a\x1f",
            "a\x7f",
            '"\x7f"',
            "a\tb",
            "ä",
            '"é"',
            "\u0660",
            "😀",
            "\ud800",
            "a\u2028",
        ],
        ids=ascii,
    )
    def test_everything_else_is_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError, match="1 to 255 visible ASCII characters") as caught:
            parse_idempotency_key(text)
        assert caught.value.field == "Idempotency-Key"

    @given(st.text() | st.text('"\\a ', max_size=12) | st.text(VISIBLE, max_size=300).map(quoted))
    @example('"' * 600)
    @example("\\" * 600)
    @example('"' + "\\" * 601 + '"')
    def test_any_text_is_a_key_or_breaks_the_rule(self, text: str) -> None:
        try:
            key = parse_idempotency_key(text)
        except DataValidationError:
            return
        assert re.fullmatch("[!-~]{1,255}", key, re.ASCII)

    @given(st.text(VISIBLE, min_size=1, max_size=255))
    def test_every_key_can_be_sent_in_quotes(self, key: str) -> None:
        assert parse_idempotency_key(quoted(key)) == key


class TestClaim:
    """The claim of a request on its key."""

    def test_it_is_the_authors(self) -> None:
        claim = Claim.on(PendingImageFactory.build(author=UserName("ann")), KEY)
        assert (claim.author, claim.key) == ("ann", KEY)
        assert re.fullmatch("[0-9a-f]{64}", claim.fingerprint)

    def test_without_an_author_another_body_is_another_key(self) -> None:
        image = msgspec.structs.replace(an_image(), author=None)
        other = msgspec.structs.replace(image, tags=())
        claims = [Claim.on(image, KEY), Claim.on(other, KEY), Claim.on(image, IdempotencyKey("another"))]
        assert {claim.author for claim in claims} == {None}
        assert len({claim.key for claim in claims}) == 3
        assert all(parse_idempotency_key(claim.key) == claim.key for claim in claims)
        assert Claim.on(msgspec.structs.replace(image, guid=UUID(int=2)), KEY) == claims[0]

    @pytest.mark.parametrize(
        "changes",
        [
            {"request": GenerationRequest(prompt="A lighthouse at dawn")},
            {"request": GenerationRequest(prompt="a lighthouse at dusk")},
            {"tags": ("night", "sea")},
            {"tags": ("sea",)},
            {"tags": ()},
            {"tags": ("sea,night",)},
            {"tags": ("Sea", "night")},
            {"visibility": Visibility.PRIVATE},
        ],
    )
    def test_another_body_has_another_fingerprint(self, changes: dict[str, Any]) -> None:
        image = an_image()
        assert Claim.on(image, KEY).fingerprint != Claim.on(msgspec.structs.replace(image, **changes), KEY).fingerprint

    @pytest.mark.parametrize(
        "changes",
        [
            {"guid": uuid4(), "filename": "another"},
            {"model": "another"},
            {"author": UserName("bob")},
            {"created_at": datetime(2027, 1, 1, tzinfo=UTC)},
            {"updated_at": datetime(2027, 1, 1, tzinfo=UTC)},
            {"status": ImageStatus.GENERATING},
            {"generator_request_id": "req_1"},
            {"id": 7},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_the_same_body_has_the_same_fingerprint_whatever_else_differs(self, changes: dict[str, Any]) -> None:
        image = an_image()
        assert Claim.on(image, KEY).fingerprint == Claim.on(msgspec.structs.replace(image, **changes), KEY).fingerprint

    def test_another_key_has_the_same_fingerprint(self) -> None:
        assert Claim.on(an_image(), KEY).fingerprint == Claim.on(an_image(), IdempotencyKey("another")).fingerprint

    def test_an_option_counts_only_if_it_is_given(self) -> None:
        def fingerprint(**options: Any) -> str:
            request = GenerationRequest(prompt=an_image().prompt, **options)
            return Claim.on(msgspec.structs.replace(an_image(), request=request), KEY).fingerprint

        assert fingerprint() == Claim.on(an_image(), KEY).fingerprint
        assert len({fingerprint(), fingerprint(size="1024x1024"), fingerprint(size="1024x1536")}) == 3

    # The first and the plain key of the second are as the release 482b97f made them.
    def test_each_size_of_a_batch_is_another_request_and_so_is_an_image_alone(self) -> None:
        def fingerprint(guid: UUID, position: int, images: int, **options: Any) -> str:
            place = BatchPlace(guid=guid, position=position, size=images)
            request = GenerationRequest(prompt=an_image().prompt, **options)
            return Claim.on(msgspec.structs.replace(an_image(), request=request, batch=place), KEY).fingerprint

        guid = uuid4()
        alone = Claim.on(an_image(), KEY).fingerprint
        sized = {fingerprint(guid, 0, 1), fingerprint(guid, 0, 2), fingerprint(guid, 0, 2, size="1024x1024")}
        assert len({alone, *sized}) == 4
        assert fingerprint(guid, 0, 2) == fingerprint(uuid4(), 1, 2)

    @pytest.mark.parametrize(
        ("author", "key", "fingerprint"),
        [
            ("ann", KEY, "4a78f9714ac9f8b582e6fae1de20537dc929e8b5870a93c70f8215a5b879f74d"),
            (
                None,
                "46209f26e051b18618390ec2dfc8bc19ffe31b6426fee2ccb44f6ab44cad68d3",
                "4a78f9714ac9f8b582e6fae1de20537dc929e8b5870a93c70f8215a5b879f74d",
            ),
        ],
    )
    def test_a_claim_of_an_earlier_version_is_that_of_the_same_request(
        self, author: UserName | None, key: IdempotencyKey, fingerprint: str
    ) -> None:
        claim = Claim.on(msgspec.structs.replace(an_image(), author=author), KEY)
        plain_key = KEY if author is None else None
        assert claim == Claim(author=author, key=key, fingerprint=fingerprint, plain_key=plain_key)


def an_image() -> Image:
    return PendingImageFactory.build(
        guid=UUID(int=1),
        prompt="A lighthouse at dusk",
        tags=(Tag("sea"), Tag("night")),
        author=UserName("ann"),
        visibility=Visibility.PUBLIC,
        batch=None,
        sender=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=1),
    )
