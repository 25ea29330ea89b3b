"""The format of an archive: names, and records as JSON."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.adapters.archive import records
from pixyproxy.adapters.archive.records import (
    ArchiveName,
    image_from_json,
    image_from_record,
    image_to_json,
    is_folder_name,
    parse_name,
)
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import USAGE_MAX_DEPTH, Image, ImageStatus
from pixyproxy.domain.sender import Sender
from pixyproxy.entrypoints.http.images.schemas import ImageDetail
from tests.factories import ContentInfoFactory, FailedImageFactory, FailureFactory, ImageFactory, UnknownImageFactory

GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
NAME = f"3f/{GUID}.json"


def written(image: Image) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(image_to_json(image))
    return values


def read(values: Mapping[str, Any]) -> Image:
    return image_from_json(json.dumps(values).encode())


def test_a_record_has_the_names_of_the_api_and_what_the_api_does_not_tell() -> None:
    in_the_request = {"size", "quality", "background", "output_format"}
    image = ImageFactory.build(sender=Sender(user="carol"))
    assert set(written(image)) == (set(ImageDetail.__struct_fields__) - {"problem"} - in_the_request) | {
        "format",
        "usage",
        "failure",
        "generator_request_id",
        "version",
        "request",
        "batch_position",
        "batch_size",
        "result",
        "sender",
    }


def test_every_field_of_an_image_but_the_databases_id_is_in_the_record() -> None:
    image = ImageFactory.build(sender=Sender(user="carol"))
    fields = set(Image.__struct_fields__) - {"id", "content"}
    fields |= {*image.ready_content.__struct_fields__, "prompt", "batch_position", "batch_size"}
    assert fields | {"format"} == set(written(image))


def test_a_record_is_written_as_the_document_says() -> None:
    image = ImageFactory.build(
        guid=GUID,
        tags=("one", "zw\u00f6lf"),
        content=ContentInfoFactory.build(media_type=MediaType.PNG),
        usage={"a": [1]},
    )
    values = written(image)
    assert values["format"] == 2
    assert values["guid"] == str(GUID)
    assert values["tags"] == ["one", "zw\u00f6lf"]
    assert values["created_at"] == image.created_at.isoformat().replace("+00:00", "Z")
    assert (values["media_type"], values["sha256"]) == ("image/png", image.ready_content.sha256)
    assert values["failure"] is None
    assert values["usage"] == {"a": [1]}
    assert "zw\u00f6lf".encode() in image_to_json(image)


def test_a_failure_is_written_whole() -> None:
    image = FailedImageFactory.build(failure=FailureFactory.build(field="size"))
    assert written(image)["failure"] == msgspec.to_builtins(image.failure)
    assert written(image)["media_type"] is None


def test_a_failure_that_blames_no_field_is_written_without_one() -> None:
    image = FailedImageFactory.build(failure=FailureFactory.build(field=None))
    assert written(image)["failure"].keys() == {"kind", "detail", "maybe_billed"}
    assert image_from_json(image_to_json(image)) == image


@pytest.mark.parametrize(
    "usage", [{"\ud800": "\udfff"}, {"n": 10**40, "x": 1e-300, "d": 0.1}, {}, {"": [[], {}, None]}]
)
def test_whatever_a_generator_has_sent_comes_back(usage: dict[str, Any]) -> None:
    image = ImageFactory.build(usage=usage)
    assert image_from_json(image_to_json(image)) == image


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"format": true}',
        b'{"format": [1]}',
        b'{"format": 1}',
        b'{"format": ' + b"1" * 5_000 + b"}",
        json.dumps({"format": 1}).encode("utf-16"),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_malformed_records_are_refused(data: bytes) -> None:
    with pytest.raises(DataValidationError):
        image_from_json(data)


def test_a_record_of_another_format_is_refused_for_that() -> None:
    values = {**written(ImageFactory.build()), "format": 3}
    with pytest.raises(DataValidationError) as refusal:
        read(values)
    assert (refusal.value.field, refusal.value.detail) == (
        "format",
        "must be 1 or 2; another version of PixyProxy may know it",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"field": ""},
        {"field": "two words"},
        {"field": "size\n"},
        {"field": "x" * 65},
        {"another": 1},
        {"guid": "3f2a"},
        {"filename": "../../etc/passwd"},
        {"filename": ""},
        {"status": "lost"},
        {"prompt": " "},
        {"prompt": "\ud800"},
        {"tags": ["one", "one"]},
        {"tags": ["one\ntwo"]},
        {"tags": "one"},
        {"author": "a:b"},
        {"visibility": "secret"},
        {"created_at": "2026-01-01T00:00:00"},
        {"created_at": "2026-01-01T00:00:00+01:00"},
        {"updated_at": 0},
        {"media_type": None},
        {"media_type": "image/bmp"},
        {"byte_size": 0},
        {"byte_size": "5"},
        {"sha256": "0" * 63},
        {"width": True},
        {"height": -1},
        {"model": "m" * 256},
        {"model": "\udc80"},
        {"failure": {"kind": "GenerationFailedError", "detail": "", "maybe_billed": True}},
        {"generator_request_id": ""},
        {"generator_request_id": "two\nlines"},
        {"version": 0},
        {"version": 2**31},
        {"usage": []},
        {"request": None},
        {"request": {"size": "1x1"}},
        {"request": {"size": None}},
        {"request": {"partial_images": 0}},
        {"request": {"partial_images": 4}},
        {"request": {"prompt": "another"}},
        {"request": {"another": 1}},
        {"request": {"references": [{}]}},
        {"request": {"references": [{"guid": str(GUID), "another": 1}]}},
        {"request": {"references": [{"guid": str(GUID)}] * 17}},
        {"request": {"mask": {"upload": {"filename": "a.png"}}}},
        {"request": {"extra": {}, "size": None}},
        {"request": {"extra": {"a": float("nan")}}},
        {"request": {"extra": {"a": float("inf")}}},
        {"request": {"extra": {"a": "\ud800"}}},
        {"request": {"extra": {"a": "x" * 16_384}}},
        {"result": {}},
        {"result": {"another": "a"}},
        {"result": {"model": None}},
        {"result": {"model": ""}},
        {"result": {"model": "\ud800"}},
        {"result": {"revised_prompt": "x" * 32_001}},
        {"batch": str(GUID), "batch_position": None, "batch_size": None},
        {"batch": None, "batch_position": 0, "batch_size": 1},
        {"batch": str(GUID), "batch_position": 1, "batch_size": 1},
        {"batch": str(GUID), "batch_position": -1, "batch_size": 1},
        {"batch": str(GUID), "batch_position": 0, "batch_size": 11},
    ],
    ids=repr,
)
def test_a_field_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    values = {**written(ImageFactory.build(visibility="public")), **changes}
    with pytest.raises(DataValidationError):
        read(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "GenerationForgottenError"},
        {"kind": "PixyProxyException"},
        {"kind": ""},
        {"detail": "x" * 1_001},
        {"detail": "\ud800"},
        {"maybe_billed": None},
        {"field": ""},
        {"field": "two\nlines"},
        {"field": "x" * 65},
        {"another": 1},
    ],
    ids=repr,
)
def test_a_failure_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    values = written(UnknownImageFactory.build())
    values["failure"] |= changes
    with pytest.raises(DataValidationError):
        read(values)


def test_a_record_of_the_first_format_has_no_options_batch_or_result() -> None:
    values = {**written(ImageFactory.build()), "format": 1}
    with pytest.raises(DataValidationError, match="fields of format 2"):
        read(values)
    for field in ("request", "batch", "batch_position", "batch_size", "result"):
        del values[field]
    image = read(values)
    assert (image.request.options, image.batch, image.result) == ({}, None, None)
    assert image_from_json(image_to_json(image)) == image


@pytest.mark.parametrize("sender", [{}, {"user": ""}, {"user": 7}, {"who": "ann"}, {"user": "x" * 256}, None, "ann"])
def test_a_record_with_a_sender_that_no_version_wrote_is_refused(sender: object) -> None:
    with pytest.raises(DataValidationError):
        read({**written(ImageFactory.build()), "sender": sender})


@pytest.mark.parametrize("field", list(written(ImageFactory.build(sender=None))))
def test_a_record_without_one_of_its_fields_is_refused(field: str) -> None:
    values = written(ImageFactory.build())
    del values[field]
    with pytest.raises(DataValidationError):
        read(values)


@pytest.mark.parametrize(("depth", "is_fine"), [(USAGE_MAX_DEPTH, True), (USAGE_MAX_DEPTH + 1, False)])
def test_a_usage_that_is_nested_too_deep_is_refused(depth: int, is_fine: bool) -> None:
    nested: dict[str, Any] = {}
    for _ in range(depth - 1):
        nested = {"deeper": nested}
    values = {**written(ImageFactory.build()), "usage": nested}
    if is_fine:
        assert read(values).usage == nested
    else:
        with pytest.raises(DataValidationError, match="nested"):
            read(values)


def test_the_record_of_another_image_is_refused() -> None:
    data = image_to_json(ImageFactory.build())
    with pytest.raises(DataValidationError) as refusal:
        image_from_record(ArchiveName.of_record(GUID), data)
    assert refusal.value.field == "guid"


def test_a_record_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageFactory.build()
    data = image_to_json(image)
    name = ArchiveName.of_record(image.guid)
    monkeypatch.setattr(records, "RECORD_MAX_SIZE", len(data))
    assert image_from_record(name, data) == image
    with pytest.raises(DataValidationError, match="at most"):
        image_from_record(name, data + b" ")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    with pytest.raises(DataValidationError):
        image_from_json(data)


@given(place=st.integers(0, 2_000), byte=st.integers(0, 255))
def test_a_record_with_a_damaged_byte_is_a_record_or_refused(place: int, byte: int) -> None:
    data = bytearray(image_to_json(ImageFactory.build(status=ImageStatus.READY)))
    data[place % len(data)] = byte
    try:
        image = image_from_json(bytes(data))
    except DataValidationError:
        return
    assert image_from_json(image_to_json(image)) == image


def test_names_are_those_of_the_document() -> None:
    content = ContentInfoFactory.build(media_type=MediaType.JPEG)
    assert str(ArchiveName.of_record(GUID)) == NAME
    assert str(ArchiveName.of_content(GUID, content)) == f"3f/{GUID}.jpg"


@pytest.mark.parametrize("suffix", [".json", ".png", ".jpg", ".webp", ".gif", ".svg"])
def test_a_name_is_read_as_it_was_written(suffix: str) -> None:
    assert parse_name(f"3f/{GUID}{suffix}") == ArchiveName(GUID, suffix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{GUID}.json",
        f"./{NAME}",
        f"/{NAME}",
        f"../{NAME}",
        f"3f/../{NAME}",
        f"40/{GUID}.json",
        f"3f/{GUID}",
        f"3f/{GUID}.",
        f"3f/{GUID}.bmp",
        f"3f/{GUID}.svgz",
        f"3f/{GUID}.jpeg",
        f"3f/{GUID}.JSON",
        f"3f/{str(GUID).upper()}.json",
        f"3f/{GUID.hex}.json",
        f"3f/{{{GUID}}}.json",
        f"{NAME}\n",
        f"{NAME}/",
        f"{NAME}\0",
        f"3f/{GUID}.json.0123456789abcdef.part",
        "3f/------------------------------------.json",
        "3f/3f2a1c1e5d0e4a399f435c8d3f6f2b11----.json",
    ],
)
def test_a_name_of_another_form_is_none(text: str) -> None:
    assert parse_name(text) is None


@given(text=st.text() | st.from_regex(r"[0-9a-f]{2}/[0-9a-f-]{36}\.(json|png)", fullmatch=True))
@example(text=NAME)
def test_a_name_is_exactly_what_was_read_or_none(text: str) -> None:
    name = parse_name(text)
    assert name is None or str(name) == text


@pytest.mark.parametrize(
    ("text", "may_be"), [("3f", True), ("00", True), ("3F", False), ("3", False), ("..", False), ("3f\n", False)]
)
def test_folders_have_two_hexadecimal_digits(text: str, may_be: bool) -> None:
    assert is_folder_name(text) is may_be


def test_records_of_earlier_versions_are_normalised_and_never_refused() -> None:
    values = {
        **written(ImageFactory.build(visibility="public")),
        "author": "Zoe\u0308",
        "prompt": "\u200b",
        "tags": ["Zoe\u0308", "sea", "Zo\u00eb", "a\u202eb", "\u2060", "a\u200db", "e" + "\u0301" * 31],
    }
    image = image_from_json(json.dumps(values).encode())
    assert image.author == "Zo\u00eb"
    assert image.prompt == "\u200b"
    assert image.tags == ("Zo\u00eb", "sea", "a\u202eb", "\u2060", "ab", "e" + "\u0301" * 31)
    assert image_from_json(image_to_json(image)) == image
