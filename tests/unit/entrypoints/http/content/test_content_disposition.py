"""The header `Content-Disposition`, read back by the standard library's parser and by RFC 6266's grammar."""

import re
from email.message import EmailMessage
from urllib.parse import unquote

import pytest
from hypothesis import given

from pixyproxy.entrypoints.http.content.content_disposition import content_disposition
from tests.unit.domain.test_content import NAMES

GRAMMAR = re.compile(
    r"""(?:inline|attachment);\ filename="(?P<plain>[0-9A-Za-z_.-]+)"
        (?:;\ filename\*=UTF-8''(?P<full>(?:[0-9A-Za-z!\#$&+.^_`|~-]|%[0-9A-F]{2})+))?""",
    re.ASCII | re.VERBOSE,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fox.png", 'inline; filename="fox.png"'),
        ("red fox.png", "inline; filename=\"red-fox.png\"; filename*=UTF-8''red%20fox.png"),
        ("Füchse.png", "inline; filename=\"Fuchse.png\"; filename*=UTF-8''F%C3%BCchse.png"),
        ("🦊.png", "inline; filename=\"image.png\"; filename*=UTF-8''%F0%9F%A6%8A.png"),
        ("50%2e.png", "inline; filename=\"50-2e.png\"; filename*=UTF-8''50%252e.png"),
    ],
)
def test_a_name_stands_there_as_it_is_and_in_ascii(name: str, expected: str) -> None:
    assert content_disposition(name, is_download=False) == expected


@given(NAMES)
def test_no_name_adds_anything_else_to_the_header(name: str) -> None:
    header = content_disposition(name, is_download=True)

    found = GRAMMAR.fullmatch(header)
    assert found
    assert (name if found["full"] is None else unquote(found["full"])) == name
    message = EmailMessage()
    message["Content-Disposition"] = header
    assert message.get_content_disposition() == "attachment"
    assert not found["plain"].startswith((".", "-"))
