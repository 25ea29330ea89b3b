"""JSON bodies of POST /v1/images/generations: fields, old values, unknown fields and malformed bodies."""

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from litestar.exceptions import HTTPException

from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.errors import BadRequestError, DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest
from pixyproxy.entrypoints.settings import GeneratorKind, Settings
from tests.requests import GUID
from tests.unit.entrypoints.http.openai.reading import OPENAI, OpenAILike, about, reading


def with_settings(**changes: Any) -> Settings:
    return msgspec.structs.replace(OPENAI, **changes)


PROMPT = {"prompt": "a red fox"}
KEY = APIKey(
    guid=GUID,
    name="web app",
    user=UserName("ann"),
    prefix="pixy_01234",
    digest="0" * 64,
    scopes=(),
    created_at=datetime(2026, 11, 27, tzinfo=UTC),
)


async def read(body: object, **options: Any) -> ImagesRequest:
    async with reading(generator=OpenAILike()) as requests:
        return await requests.generation(body, **options)


async def refused(body: object, **options: Any) -> str:
    with pytest.raises(DataValidationError) as caught:
        await read(body, **options)
    return about(caught.value)


async def malformed(body: bytes) -> str:
    with pytest.raises(BadRequestError) as caught:
        await read(body)
    return caught.value.detail


async def test_a_prompt_is_enough() -> None:
    assert await read(PROMPT) == ImagesRequest(
        request=GenerationRequest(prompt="a red fox", model="gpt-image-2"),
        count=1,
        tags=[],
        visibility=Visibility.PRIVATE,
        sender=None,
        model="gpt-image-2",
        answers_url=False,
        is_stream=False,
    )


async def test_all_fields_reach_the_request() -> None:
    options = {
        "model": "gpt-image-1.5",
        "size": "1536x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 80,
        "moderation": "low",
    }
    asked = await read(
        {
            "prompt": " a red fox ",
            "n": 3,
            "stream": True,
            "partial_images": 2,
            "style": "vivid",
            "user": "u-1",
            "safety_identifier": "s-1",
            "response_format": "b64_json",
            **options,
        }
    )

    assert asked.request == GenerationRequest(prompt="a red fox", partial_images=2, **options)  # type: ignore[arg-type]
    assert (asked.count, asked.is_stream, asked.model) == (3, True, "gpt-image-1.5")
    assert asked.sender == Sender(user="u-1", safety_identifier="s-1")


async def test_null_is_not_given() -> None:
    names = ["model", "n", "size", "quality", "style", "background", "response_format", "stream", "user", "metadata"]

    assert await read({**PROMPT, **dict.fromkeys([*names, "image", "mask", "seed"])}) == await read(PROMPT)


async def test_partial_images_count_only_in_a_stream() -> None:
    assert (await read({**PROMPT, "partial_images": 2})).request.partial_images == 0
    assert "partial_images" in await refused({**PROMPT, "partial_images": 4, "stream": True})


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("prompt", None, "is needed"),
        ("prompt", 7, "must be text"),
        ("prompt", "", "must have 1 to 32,000 characters"),
        ("prompt", "a\0b", "must not contain a NUL"),
        ("n", 0, "must be 1 to 10"),
        ("n", 11, "must be 1 to 10"),
        ("n", "2", "must be a whole number"),
        ("n", 2.0, "must be a whole number"),
        ("n", True, "must be a whole number"),
        ("n", 10**40, "must be a whole number"),
        ("stream", "maybe", "must be true or false"),
        ("stream", "true", "must be true or false"),
        ("stream", 1, "must be true or false"),
        ("response_format", "file", "must be b64_json or url"),
        ("size", 1024, "must be text"),
        ("size", "banana", "must be auto, 1024x1024"),
        ("size", "9:16", "must be auto, 1024x1024"),
        ("size", "1666x2514", "must be auto, 1024x1024"),
        ("quality", "banana", "must be auto, low"),
        ("background", "banana", "must be auto, opaque"),
        ("output_format", "bmp", "must be png"),
        ("output_compression", 50, "is only for the output formats"),
        ("output_compression", "50", "must be a whole number"),
        ("moderation", "none", "must be auto"),
        ("model", "", "must have 1 to 255 characters"),
        ("model", ["gpt-image-2"], "must be text"),
        ("image", "data:image/png;base64,AA==", "POST /v1/images/edits"),
        ("mask", {"image_url": "data:"}, "POST /v1/images/edits"),
        ("user", 5, "must be text"),
        ("metadata", "text", "must be an object"),
    ],
)
async def test_a_bad_value_is_refused_by_its_name(field: str, value: object, rule: str) -> None:
    said = await refused({**PROMPT, field: value})

    assert said.startswith(f"{field} ")
    assert rule in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"prompt": ', "not valid JSON"),
        (b'{"prompt": "a" "b"}', "not valid JSON"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        (b'{"prompt": "\\ud800"}', "not valid JSON"),
        (b'{"prompt": "a", "seed": 1e400}', "not valid JSON"),
        (b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"prompt": "a", "x": NaN}', "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"prompt": "a", "x": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "nested too deeply"),
    ],
)
async def test_a_malformed_body_is_refused(body: bytes, said: str) -> None:
    assert said in await malformed(body)


async def test_a_field_that_is_there_twice_is_refused() -> None:
    assert await refused(b'{"prompt": "a", "n": 1, "n": 2}') == "n must not be there twice"


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/jsonl"],
)
async def test_another_media_type_is_told_which_to_send(content_type: str | None) -> None:
    with pytest.raises(HTTPException) as caught:
        await read(PROMPT, content_type=content_type)

    assert caught.value.status_code == 415
    assert "application/json" in caught.value.detail


async def test_a_charset_is_no_other_media_type() -> None:
    assert (await read(PROMPT, content_type="application/json; charset=utf-8")).count == 1


async def test_case_14_response_format_is_taken_for_all_ids() -> None:
    asked = await read({**PROMPT, "model": "gpt-image-2", "response_format": "b64_json"})

    assert not asked.answers_url
    assert (await read({**PROMPT, "model": "gpt-image-2", "response_format": "url"})).answers_url


async def test_the_query_has_the_response_format_that_the_body_leaves_out() -> None:
    assert (await read(PROMPT, query="response_format=url")).answers_url
    assert not (await read({**PROMPT, "response_format": "b64_json"}, query="response_format=url")).answers_url
    assert "response_format" in await refused(PROMPT, query="response_format=file")


async def test_a_stream_never_answers_with_links() -> None:
    assert not (await read({**PROMPT, "response_format": "url", "stream": True})).answers_url


@pytest.mark.parametrize(
    ("model", "field", "asked", "taken"),
    [
        # Case 15.
        ("gpt-image-1.5", "size", "512x512", "1024x1024"),
        ("gpt-image-1.5", "size", "256x256", "1024x1024"),
        ("gpt-image-1.5", "size", "1792x1024", "1536x1024"),
        ("gpt-image-1.5", "size", "1024x1792", "1024x1536"),
        # This model takes sizes in steps of 16 pixels.
        ("gpt-image-2", "size", "1792x1024", "1792x1024"),
        ("gpt-image-2", "quality", "standard", "medium"),
        ("gpt-image-2", "quality", "hd", "high"),
        ("gpt-image-2.5-flare", "quality", "max", "max"),
    ],
)
async def test_old_values_become_new_ones_where_the_model_does_not_take_them(
    model: str, field: str, asked: str, taken: str
) -> None:
    request = (await read({**PROMPT, "model": model, field: asked})).request

    assert getattr(request, field) == taken


async def test_case_16_a_size_that_no_model_takes_is_refused_with_those_that_one_takes() -> None:
    for size in ("9:16", "1666x2514"):
        said = await refused({**PROMPT, "size": size})
        assert said.startswith("size must be auto, 1024x1024")
        assert "gpt-image-2" in said


async def test_an_input_fidelity_that_the_model_does_not_take_is_left_out() -> None:
    for model in ("gpt-image-2", "gpt-image-1.5"):
        # There is nothing to keep to without a picture.
        asked = await read({**PROMPT, "model": model, "input_fidelity": "high"})
        assert asked.request.input_fidelity is None


async def test_sketches_take_the_values_of_all_models() -> None:
    sketch = Settings(generator=GeneratorKind.SKETCH)
    async with reading(sketch, generator=SketchImageGenerator()) as requests:
        asked = await requests.generation({**PROMPT, "quality": "max", "moderation": "low", "size": "512x512"})

    assert (asked.request.quality, asked.request.moderation, asked.request.size) == ("high", None, "512x512")


async def test_unknown_fields_are_kept_aside() -> None:
    asked = await read({**PROMPT, "seed": 7, "negative_prompt": "rain", "svg": {"reasoning": {"effort": "high"}}})

    assert asked.request.extra == {"seed": 7, "negative_prompt": "rain", "svg": {"reasoning": {"effort": "high"}}}


async def test_secrets_are_dropped_at_any_depth(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = await read(
        {
            **PROMPT,
            "extra_headers": {"X-A": "secret-1"},
            "extra_body": {"a": "secret-2"},
            "Authorization": "secret-3",
            "a": [{"api_key": "secret-4", "b": {"Password": "secret-5", "c": 1}}],
            "metadata": {"access_token": "secret-6", "ticket": "T-1"},
        }
    )

    assert asked.request.extra == {"a": [{"b": {"c": 1}}], "metadata": {"ticket": "T-1"}}
    record = next(record for record in caplog.records if record.message == "unknown fields")
    facts = vars(record)
    assert facts["kept"] == "a, metadata"
    assert (
        facts["dropped"] == "extra_headers, extra_body, Authorization, a.api_key, a.b.Password, metadata.access_token"
    )
    assert "secret-" not in str(facts)


@pytest.mark.parametrize(
    "fields",
    [
        {"x" * 65: 1},
        {"a\nb": 1},
        {"": 1},
        {"tags": ["a"]},
        {"references": ["a"]},
        {"large": "x" * 17_000},
        {"deep": msgspec.json.decode("[" * 30 + "]" * 30)},
        {"deeper": msgspec.json.decode("[" * 900 + "]" * 900)},
    ],
)
async def test_what_no_request_keeps_is_dropped_and_nothing_else(fields: dict[str, Any]) -> None:
    assert (await read({**PROMPT, **fields, "seed": 7})).request.extra == {"seed": 7}


async def test_no_more_than_128_unknown_fields_are_looked_at() -> None:
    extra = (await read({**PROMPT, **{f"f{number}": number for number in range(200)}})).request.extra

    assert extra == {f"f{number}": number for number in range(128)}


async def test_names_in_the_log_are_few_short_and_printable(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await read({**PROMPT, **{f"{number}\n\x1b[31m{'x' * 1000}": 1 for number in range(1000)}})

    dropped = next(record for record in caplog.records if record.message == "unknown fields").__dict__["dropped"]
    assert dropped.isprintable()
    assert len(dropped) < 2_000
    assert dropped.endswith("and 980 more")


async def test_tags_come_from_the_key_the_operator_and_the_metadata() -> None:
    async with reading(with_settings(openai_tag="openai-api"), generator=OpenAILike()) as requests:
        requests.key = msgspec.structs.replace(KEY, tags=(Tag("app"),))
        asked = await requests.generation({**PROMPT, "metadata": {"tags": ["fox", "app", "fox"]}})

        assert asked.tags == ["openai-api", "fox", "app"]
        assert asked.request.extra is None


async def test_the_metadata_may_have_all_tags_that_an_image_may_have() -> None:
    async with reading(with_settings(openai_tag="openai-api"), generator=OpenAILike()) as requests:
        tags = [f"tag {number}" for number in range(32)]

        assert (await requests.generation({**PROMPT, "metadata": {"tags": tags}})).tags == tags


@pytest.mark.parametrize(
    "metadata",
    [
        {"tags": "fox"},
        {"tags": [1]},
        {"tags": [""]},
        {"tags": ["a\nb"]},
        {"tags": ["x" * 65]},
        {"tags": [str(n) for n in range(33)]},
        {"visibility": "hidden"},
        {"visibility": 1},
        {"visibility": ["public"]},
        ["tags"],
    ],
)
async def test_malformed_metadata_is_refused(metadata: object) -> None:
    assert (await refused({**PROMPT, "metadata": metadata})).startswith("metadata ")


async def test_visibility_is_that_of_the_metadata_else_of_the_key_else_private() -> None:
    async with reading(generator=OpenAILike()) as requests:
        assert (await requests.generation(PROMPT)).visibility is Visibility.PRIVATE
        requests.key = msgspec.structs.replace(KEY, visibility=Visibility.PUBLIC)
        assert (await requests.generation(PROMPT)).visibility is Visibility.PUBLIC
        asked = await requests.generation({**PROMPT, "metadata": {"visibility": "private"}})
        assert asked.visibility is Visibility.PRIVATE


async def test_the_sender_is_what_the_client_says() -> None:
    async with reading(generator=OpenAILike()) as requests:
        requests.key = KEY
        headers = {
            "User-Agent": "OpenAI/Python 3.57.0" + "x" * 300,
            "X-Client-Request-Id": "r-1",
            "X-OpenWebUI-User-Email": "bob@example.org",
            "X-OpenWebUI-User-Id": "u-2",
        }
        asked = await requests.generation({**PROMPT, "safety_identifier": "s\0"}, headers=headers)

        assert asked.sender is not None
        assert asked.sender.client == ("OpenAI/Python 3.57.0" + "x" * 300)[:255]
        assert asked.sender.key == "web app"
        assert asked.sender.request_id == "r-1"
        assert asked.sender.user == "bob@example.org"
        assert asked.sender.safety_identifier is None
        named = await requests.generation({**PROMPT, "user": "u-1"}, headers=headers)
        assert named.sender is not None
        assert named.sender.user == "u-1"
