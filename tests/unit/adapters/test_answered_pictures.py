"""Pictures that browsers show, in an answer of OpenAI's."""

import base64
import json

import pytest

from pixyproxy.adapters.openai.answer import Answer, read_answer
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.domain.ports import GeneratedImage
from tests import odd_pictures

NAMES = [
    name
    for name in odd_pictures.shown()
    if name.endswith(("+junk", "-cut")) or name in {file.name for file in odd_pictures.FILES.iterdir()}
]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_that_browsers_show_is_kept_byte_for_byte(name: str) -> None:
    data = odd_pictures.shown()[name]
    body = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]}).encode()

    read = read_answer(Answer(body=body), max_size=64 << 20, redact=Redaction())

    assert isinstance(read, GeneratedImage)
    assert read.data == data
