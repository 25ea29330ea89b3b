"""Pictures that browsers show, in an answer of OpenAI's."""

import base64
import gzip
import json
import weakref
import zlib
from typing import Any

import pytest

from pixyproxy.adapters.openai.answer import Answer, NoPicture, read_answer
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.domain.errors import (
    GenerationError,
    GenerationFailedError,
    GenerationRefusedError,
    GeneratorQuotaError,
)
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


PNG = odd_pictures.FILES.joinpath("png-trailing-byte.png").read_bytes()
TEXT = base64.b64encode(PNG).decode()


def failed(body: bytes | dict[str, Any], *, prompt: str = "", content_encoding: str = "") -> GenerationError:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Answer(body=body, content_encoding=content_encoding)
    read = read_answer(answer, max_size=1 << 20, redact=Redaction(prompt=prompt))
    assert isinstance(read, NoPicture)
    return read.error


@pytest.mark.parametrize(
    "body",
    [
        {"data": [], "prompt": TEXT},
        {"data": [{"revised_prompt": f"Draw data:image/png;base64,{TEXT} please"}]},
        {"error": {"message": TEXT, "code": "moderation_blocked"}},
        {"data": [{"url": "http://127.0.0.1/a.png", "thumbnail": TEXT}]},
        f'<html><img src="data:image/png;base64,{TEXT}"></html>'.encode(),
    ],
)
def test_a_picture_of_something_else_is_not_taken_for_the_one_that_was_bought(body: bytes | dict[str, Any]) -> None:
    failed(body, prompt=f"Draw data:image/png;base64,{TEXT} please")


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"data": [{"b64_json": "QUJD"}], "more": "', mtime=0) + b"damaged",
        gzip.compress(b'{"data": [{"b64_json": "' + b"QUJD" * 500_000 + b'"}]}', mtime=0),
        gzip.compress(b'{"data": [{"b64_json": "QUJDQUJD"}]}', mtime=0)[:-8] + bytes(8),
    ],
)
def test_an_answer_that_can_not_be_inflated_to_its_end_is_to_be_kept_as_it_came(body: bytes) -> None:
    assert failed(body, content_encoding="gzip").quarantine == body


def test_an_error_does_not_hold_what_came_back_in_a_circle() -> None:
    error = failed({"data": [{"b64_json": base64.b64encode(zlib.compress(bytes(99))).decode()}]})
    cause = error.__cause__
    assert cause is not None
    gone = weakref.ref(cause)
    del error, cause
    assert gone() is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "insufficient_quota"}, GeneratorQuotaError),
        ({"error": True, "message": "content_policy_violation"}, GenerationRefusedError),
        ({"error": [{"code": "moderation_blocked"}]}, GenerationRefusedError),
        ({"errors": [{"message": "no", "code": "content_policy_violation"}]}, GenerationRefusedError),
        ({"data": [{"error": {"code": "content_filter"}}]}, GenerationRefusedError),
        ({"code": "DataInspectionFailed", "message": "no"}, GenerationRefusedError),
        ({"code": 1301, "msg": "no"}, GenerationFailedError),
    ],
)
def test_an_error_of_any_shape_in_a_good_answer_means_what_its_code_says(answer: Any, kind: type[Exception]) -> None:
    error = failed(answer)

    assert type(error) is kind
    assert not error.maybe_billed


@pytest.mark.parametrize("code", [0, 200, "0", "ok", "Success", None])
def test_a_code_of_success_is_no_error(code: object) -> None:
    error = failed({"code": code, "message": "done", "result": {"image_id": 7}})

    assert error.maybe_billed
    assert error.quarantine
