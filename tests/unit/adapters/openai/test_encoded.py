"""The readers of members and of encoded pictures, with any input."""

import base64
import contextlib
import json
import re
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.openai import encoded, members
from pixyproxy.adapters.openai.encoded import decode_loosely, decode_picture
from pixyproxy.adapters.openai.members import find_members, without

NAMES = (b"b64_json", b"url")
# Texts with the special characters of JSON, UTF-8 and the reader.
TEXTS = st.text(st.sampled_from('aé🦊"\\/\n\u2028\x00%:{}[],b64_json'), max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b64_json", "url", "x", 'x"b64_json', "\\"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def texts(value: object) -> list[tuple[str, str]]:
    """Return the members that the reader is to find, in their order."""
    if isinstance(value, list):
        return [found for part in value for found in texts(part)]
    if not isinstance(value, dict):
        return []
    found: list[tuple[str, str]] = []
    for name, part in value.items():
        found += [(name, part)] if isinstance(part, str) and name.encode() in NAMES else texts(part)
    return found


@pytest.fixture(params=[16, 17, 23, 1 << 20], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the input at arbitrary places."""
    monkeypatch.setattr(members, "PIECE", request.param)
    monkeypatch.setattr(encoded, "PIECE", request.param)
    monkeypatch.setattr(encoded, "ESCAPED_PIECE", request.param)


class TestMembers:
    @pytest.mark.parametrize("is_ascii", [True, False])
    @pytest.mark.parametrize("indent", [None, 4])
    def test_each_text_with_a_name_is_found_where_it_stands(self, is_ascii: bool, indent: int | None) -> None:
        @given(VALUES)
        def check(value: object) -> None:
            document = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
            found = [(member.name.decode(), (member.text or b"").decode()) for member in find_members(document, NAMES)]
            assert found == texts(value)

        check()

    def test_what_is_left_without_the_texts_is_json_with_empty_texts(self) -> None:
        @given(VALUES)
        def check(value: object) -> None:
            document = json.dumps(value).encode()
            rest = json.loads(without(document, list(find_members(document, NAMES))))
            assert [text for _, text in texts(rest)] == [""] * len(texts(value))

        check()

    def test_any_bytes_are_searched_to_an_end(self) -> None:
        @given(st.lists(st.sampled_from([b'"b64_json"', b":", b'"', b"\\", b"\\u", b"d83d", b" ", b"\xff", b"\xc3"])))
        def check(parts: list[bytes]) -> None:
            document = b"".join(parts)
            found = list(find_members(document, NAMES))
            assert all(0 <= member.start <= member.end <= len(document) for member in found)
            assert len(without(document, found)) == len(document) - sum(m.end - m.start for m in found)

        check()

    @pytest.mark.parametrize("cut", ["", "\\", "\\u", "\\u00", "\\ud83d", "\\ud83d\\u"])
    def test_a_text_that_the_document_cuts_off_is_found_as_far_as_it_goes(self, cut: str) -> None:
        document = b'{"b64_json": "' + b"A" * 20 + cut.encode()
        (member,) = find_members(document, NAMES)

        assert not member.is_whole
        assert bytes(member.text or b"") == b"A" * 20

    @pytest.mark.parametrize("bad", ["\\x", "\\u12", "\\uzzzz", "\\ud83d", "\\udead"])
    def test_an_escape_that_is_none_spoils_its_own_text_and_no_other(self, bad: str) -> None:
        document = b'{"data": [{"b64_json": "AAAA%b"}, {"b64_json": "BBBB"}]}' % bad.encode()
        found = [bytes(member.text or b"") for member in find_members(document, NAMES)]

        assert found[0] != b"AAAA"
        assert found[-1] == b"BBBB"


class TestPictures:
    def test_every_way_to_write_bytes_brings_them_back(self) -> None:
        space = st.text(st.sampled_from(" \t\r\n\v\f\u00a0\u2028\u3000\u200b\ufeff"), max_size=3)

        @given(st.binary(min_size=1, max_size=90), st.lists(space, max_size=8), st.booleans(), st.integers(0, 4))
        def check(data: bytes, spaces: list[str], is_url_alphabet: bool, padding: int) -> None:
            encode = base64.urlsafe_b64encode if is_url_alphabet else base64.b64encode
            text = encode(data).decode().rstrip("=") + "=" * padding
            for number, gap in enumerate(spaces):
                position = number * 7 % (len(text) + 1)
                text = text[:position] + gap + text[position:]
            assert decode_picture(text.encode()) == data
            assert decode_picture(f"data:image/png;base64,{text}".encode()) == data
            assert decode_picture(f" Data: image/png ; BASE64 ,{quote(text, safe='')}".encode()) == data
            assert decode_picture(b"data:," + quote(data, safe="").encode()) == data

        check()

    def test_any_other_bytes_are_a_value_error_or_bytes(self) -> None:
        @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
        def check(text: bytes) -> None:
            with contextlib.suppress(ValueError):
                assert decode_picture(text)

        check()

    @pytest.mark.parametrize(
        "text", [b"", b" ", b"=", b"====", b"A", b"****", b"QUJD*", b"data:image/png;base64,", b"data:,", "é".encode()]
    )
    def test_text_that_encodes_no_bytes_is_a_value_error(self, text: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode_picture(text)

    def test_percent_signs_that_begin_no_escape_stand_for_themselves(self) -> None:
        @given(st.text(st.sampled_from("%%%4z=a1,"), min_size=1, max_size=80))
        def check(text: str) -> None:
            assert decode_picture(b"data:," + text.encode()) == unquote_to_bytes(text)

        check()

    def test_other_text_than_base64_is_skipped_on_request(self) -> None:
        @given(
            st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.sampled_from("*.:\u00ad\u200d🦊")
        )
        def check(parts: list[bytes], gap: str) -> None:
            padded = gap.join(base64.b64encode(part + b"." * (-len(part) % 3 + 1)).decode() for part in parts)
            assert decode_loosely(padded.encode()) == b"".join(part + b"." * (-len(part) % 3 + 1) for part in parts)

        check()

    @pytest.mark.parametrize("text", [b"", b"***", b"====", b"A=" * 200_000])
    def test_nothing_and_padding_all_over_are_a_value_error(self, text: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode_loosely(text)

    def test_markup_stands_for_itself(self) -> None:
        assert re.match(rb"\s*<svg", decode_picture(b' <svg xmlns="http://www.w3.org/2000/svg"/>'))
