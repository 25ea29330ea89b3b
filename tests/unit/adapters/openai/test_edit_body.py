"""The form of an edit."""

import re
from typing import Any

import pytest

from pixyproxy.adapters.openai.edit_body import EditBody
from pixyproxy.domain.ports import InputPictures
from tests.doubles.forms import Form
from tests.input_pictures import input_picture
from tests.odd_pictures import encoded, gradient

PICTURE = input_picture(encoded(gradient(8, 8), "png"))
PICTURES = InputPictures(references=[PICTURE, PICTURE], mask=PICTURE)


async def form_of(parameters: dict[str, Any]) -> Form:
    body = EditBody(parameters, PICTURES)
    form = Form(body.content_type)
    async for piece in body:
        form.feed(piece)
    assert form.is_complete
    return form


async def test_its_size_is_known_beforehand() -> None:
    body = EditBody({"prompt": "Füchse"}, PICTURES)

    assert body.content_length == sum([len(piece) async for piece in body])


async def test_it_counts_as_sent_from_its_last_piece_on() -> None:
    body = EditBody({"prompt": "a fox"}, PICTURES)
    pieces = [(piece, body.is_sent) async for piece in body]

    assert [is_sent for _, is_sent in pieces[:-1]] == [False] * (len(pieces) - 1)
    assert re.fullmatch(rb"--[0-9a-f]{32}--\r\n", pieces[-1][0])
    assert pieces[-1][1]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n", 1, {"n": "1"}),
        ("stream", True, {"stream": "true"}),
        ("list", [1, None, "b"], {"list[]": "b"}),
        ("svg", {"reasoning": {"effort": "low"}}, {"svg[reasoning][effort]": "low"}),
        ("none", None, {}),
        ("empty", "", {"empty": ""}),
        ('a"b\r\nc', "d", {"a%22b%0D%0Ac": "d"}),
        ("ключ", "значение", {"ключ": "значение"}),
    ],
)
async def test_parameters_are_fields(name: str, value: object, expected: dict[str, str]) -> None:
    assert (await form_of({name: value})).fields == expected


async def test_two_forms_have_different_boundaries() -> None:
    assert EditBody({}, PICTURES).content_type != EditBody({}, PICTURES).content_type
