"""Streams of pictures below `/v1`."""

import asyncio
from base64 import b64decode
from typing import Any, Final

import msgspec
import pytest
from httpx import BasicAuth

from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator
from pixyproxy.domain.errors import GenerationFailedError, GenerationRefusedError
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.openai.streams import StreamAnswer
from tests.pausing_generator import PausingGenerator
from tests.unit.entrypoints.http.conftest import ANN
from tests.unit.entrypoints.http.openai.v1 import (
    B64,
    FOX,
    USAGE,
    BreakingContentStore,
    Sent,
    TellingGenerator,
    generate,
    guids,
)
from tests.unit.entrypoints.http.serving import SOON, HeldGenerator, events, serving

STREAM: Final = {**FOX, "stream": True}
PARTIAL: Final = "image_generation.partial_image"
COMPLETED: Final = "image_generation.completed"


def second_of(image: Image) -> int:
    return int(image.created_at.timestamp())


async def test_a_stream_is_the_one_that_clients_of_openai_read() -> None:
    told = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
    async with serving(generator=TellingGenerator(USAGE, **told)) as served:
        response = await generate(served, {**STREAM, "partial_images": 1, "quality": "low"})

        (image,) = await served.all_stored()
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in response.headers
        assert "Content-Length" not in response.headers
        assert response.text == (
            "event: image_generation.partial_image\n"
            f'data: {{"type":"image_generation.partial_image","b64_json":"{B64}","partial_image_index":0,'
            f'"created_at":{second_of(image)},"size":"auto","quality":"low","background":"auto","output_format":"png"}}\n'
            "\n"
            "event: image_generation.completed\n"
            f'data: {{"type":"image_generation.completed","b64_json":"{B64}",'
            f'"created_at":{second_of(image)},"size":"1024x1024","quality":"low","background":"opaque",'
            '"output_format":"png","usage":{"total_tokens":281,"input_tokens":9,"output_tokens":272,'
            '"input_tokens_details":{"text_tokens":9,"image_tokens":0}}}\n'
            "\n"
        )


async def test_what_is_unknown_is_a_word_all_the_same() -> None:
    async with serving() as served:
        ((_, data),) = events((await generate(served, STREAM)).text)

        words = {"size": "8x8", "quality": "auto", "background": "auto", "output_format": "png"}
        assert {name: data[name] for name in words} == words
        assert data["usage"] is None


async def test_images_come_one_after_the_other_with_their_partial_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = Sent(monkeypatch)
    generator = PausingGenerator()
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served, {**STREAM, "n": 2, "partial_images": 2}))
        await generator.is_pausing.wait()
        await sent.reach(2, b"event: image_generation.partial_image")
        generator.may_go_on.set()
        found = events((await asyncio.wait_for(asking, SOON)).text)

        names = [name for name, _ in found]
        first = names.index(COMPLETED) + 1
        assert names[:first] == [PARTIAL, PARTIAL, COMPLETED]
        assert names[-1] == COMPLETED
        assert names.count(COMPLETED) == 2
        assert [data["partial_image_index"] for name, data in found[:first] if name == PARTIAL] == [0, 1]
        assert all(b64decode(data["b64_json"]) == PICTURE and data["type"] == name for name, data in found)


async def test_a_stream_has_pictures_also_if_urls_are_asked_for() -> None:
    async with serving() as served:
        ((_, data),) = events((await generate(served, {**STREAM, "response_format": "url"})).text)

        assert b64decode(data["b64_json"]) == PICTURE
        assert "url" not in data


async def test_comments_fill_the_silence_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamAnswer, "pause", 0.01)
    sent = Sent(monkeypatch)
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served, STREAM))
        await generator.is_drawing.wait()
        await sent.reach(2, b": keep-alive")
        generator.go_on()
        text = (await asyncio.wait_for(asking, SOON)).text

        assert text.startswith(": keep-alive\n\n: keep-alive\n\n")
        assert [name for name, _ in events(text)] == [COMPLETED]
        assert text.endswith("}\n\n")


async def test_an_image_that_failed_is_left_out() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationFailedError("No picture.", maybe_billed=True))
    async with serving(generator=generator) as served:
        found = events((await generate(served, {**STREAM, "n": 3})).text)

        assert [name for name, _ in found] == [COMPLETED, COMPLETED]


async def test_if_all_images_failed_the_stream_ends_with_the_error_of_the_first() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(
        GenerationRefusedError("Not this.", maybe_billed=False), GenerationFailedError("No.", maybe_billed=True)
    )
    async with serving(generator=generator) as served:
        response = await generate(served, {**STREAM, "n": 2})

        ((name, data),) = events(response.text)
        assert response.status_code == 200
        assert response.text.endswith("}}\n\n")
        assert name == data["type"] == "error"
        error: dict[str, Any] = data["error"]
        assert {member: error[member] for member in ("type", "param", "code", "maybe_billed")} == {
            "type": "image_generation_user_error",
            "param": None,
            "code": "moderation_blocked",
            "maybe_billed": True,
        }
        assert error["message"] == "Not this."
        assert error["request_id"] == response.headers["X-Request-ID"]


async def test_what_is_refused_before_the_order_is_no_stream() -> None:
    async with serving() as served:
        await generate(served, STREAM, Idempotency_Key="abc")
        response = await generate(served, {**STREAM, "prompt": "a blue fox"}, Idempotency_Key="abc")

        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/json"


async def test_the_end_of_the_service_is_an_error_that_tells_of_the_purchase() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served, STREAM))
        await generator.is_drawing.wait()
        await asyncio.sleep(0.05)
        served.container.generations().stop_waiting()
        ((name, data),) = events((await asyncio.wait_for(asking, SOON)).text)

        assert name == "error"
        assert data["error"]["maybe_billed"] is True


async def test_a_partial_image_that_is_gone_is_left_out() -> None:
    generator = PausingGenerator()
    async with serving(generator=generator, partial_contents=BreakingContentStore(0)) as served:
        asking = asyncio.create_task(generate(served, {**STREAM, "partial_images": 2}))
        await generator.is_pausing.wait()
        await asyncio.sleep(0.05)
        generator.may_go_on.set()
        text = (await asyncio.wait_for(asking, SOON)).text

        assert [name for name, _ in events(text)] == [COMPLETED]


async def test_a_picture_that_can_not_be_read_is_an_error() -> None:
    generator = HeldGenerator()
    contents = BreakingContentStore(0)
    async with serving(generator=generator, contents=contents) as served:
        contents.is_breaking = False
        asking = asyncio.create_task(generate(served, STREAM))
        await generator.is_drawing.wait()
        generator.go_on()
        contents.is_breaking = True
        ((name, data),) = events((await asyncio.wait_for(asking, SOON)).text)

        assert name == "error"
        assert data["error"]["maybe_billed"] is True


async def test_a_stream_and_a_plain_answer_with_one_key_are_about_one_image() -> None:
    async with serving() as served:
        stream = await generate(served, {**STREAM, "partial_images": 2}, Idempotency_Key="abc")
        plain = await generate(served, Idempotency_Key="abc")
        again = await generate(served, STREAM, Idempotency_Key="abc")

        assert len(await served.all_stored()) == 1
        assert plain.headers["Idempotency-Replayed"] == again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in stream.headers
        assert [name for name, _ in events(again.text)] == [COMPLETED]
        assert len(guids(plain)) == 1


async def test_a_further_attempt_joins_a_stream_with_a_plain_answer() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        first = asyncio.create_task(generate(served, STREAM))
        await generator.is_drawing.wait()
        second = asyncio.create_task(generate(served, x_stainless_retry_count="1"))
        await asyncio.sleep(0.05)
        generator.go_on()
        stream, plain = await asyncio.gather(first, second)

        (image,) = await served.all_stored()
        assert guids(plain) == [str(image.guid)]
        assert msgspec.json.decode(stream.text.splitlines()[1].removeprefix("data: "))["b64_json"] == B64


async def test_the_events_of_an_edit_have_names_of_their_own() -> None:
    async with serving() as served:
        response = await served.client.post(
            "/v1/images/edits",
            data={"prompt": "a red fox", "stream": "true", "partial_images": "1"},
            files={"image": ("fox.png", PICTURE, "image/png")},
            auth=BasicAuth(*ANN),
        )

        assert [(name, data["type"]) for name, data in events(response.text)] == [
            ("image_edit.partial_image", "image_edit.partial_image"),
            ("image_edit.completed", "image_edit.completed"),
        ]
