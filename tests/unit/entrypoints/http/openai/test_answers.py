"""Plain answers to creations below `/v1`."""

import asyncio
from base64 import b64decode
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator
from pixyproxy.domain.errors import (
    GenerationError,
    GenerationFailedError,
    GenerationRateLimitedError,
    GenerationRefusedError,
)
from pixyproxy.domain.image import ImageStatus
from pixyproxy.entrypoints.http.openai.answers import PlainAnswer
from pixyproxy.entrypoints.http.recipient import Recipient
from tests.unit.entrypoints.http.conftest import ANN, BOB
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
from tests.unit.entrypoints.http.serving import SOON, HeldGenerator, serving


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each answer that is not there at once."""
    monkeypatch.setattr(PlainAnswer, "patience", 0.0)
    monkeypatch.setattr(PlainAnswer, "pause", 0.01)


async def test_an_answer_is_one_document_with_its_length() -> None:
    async with serving() as served:
        response = await generate(served)

        (image,) = await served.all_stored()
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Content-Length"] == str(len(response.content))
        assert "Transfer-Encoding" not in response.headers
        assert response.text == (
            f'{{"created":{int(image.created_at.timestamp())},"model":"in-memory","output_format":"png","size":"8x8",'
            f'"usage":null,"data":[{{"guid":"{image.guid}","b64_json":"{B64}"}}]}}'
        )


async def test_several_images_are_answered_in_their_order() -> None:
    async with serving() as served:
        response = await generate(served, {**FOX, "n": 4})

        batch = sorted(await served.all_stored(), key=lambda image: image.batch.position if image.batch else 0)
        assert guids(response) == [str(image.guid) for image in batch]
        assert [b64decode(item["b64_json"]) for item in response.json()["data"]] == [PICTURE] * 4
        assert all("url" not in item for item in response.json()["data"])


async def test_a_url_opens_the_picture_without_a_login() -> None:
    async with serving() as served:
        response = await generate(served, {**FOX, "n": 2, "response_format": "url"})

        assert len(set(guids(response))) == 2
        for item in response.json()["data"]:
            assert item.keys() == {"guid", "url"}
            assert item["url"].startswith("http://testserver/")
            assert urlsplit(item["url"]).path.endswith(".png")
            content = await served.get(item["url"])
            assert (content.status_code, content.headers["Content-Type"], content.content) == (
                200,
                "image/png",
                PICTURE,
            )


async def test_an_answer_says_what_was_drawn() -> None:
    told = {"size": "1024x1536", "quality": "high", "background": "opaque", "output_format": "webp"}
    generator = TellingGenerator(USAGE, revised_prompt='a "red" fox', **told)
    async with serving(generator=generator) as served:
        answer = (await generate(served, {**FOX, "quality": "low"})).json()

        # The bytes are what they are, whatever the generator says.
        expected = {**told, "output_format": "png", "usage": USAGE, "model": "in-memory"}
        assert {name: answer[name] for name in expected} == expected
        assert answer["data"][0]["revised_prompt"] == 'a "red" fox'


async def test_a_size_that_is_none_is_that_of_the_picture() -> None:
    async with serving(generator=TellingGenerator(size="auto")) as served:
        assert (await generate(served)).json()["size"] == "8x8"


async def test_what_the_generator_does_not_say_is_what_was_asked_for() -> None:
    async with serving() as served:
        assert (await generate(served, {**FOX, "quality": "low"})).json()["quality"] == "low"


async def test_usage_is_the_sum_over_all_images() -> None:
    details = {"text_tokens": 1, "image_tokens": 271}
    generator = TellingGenerator(*[{**USAGE, "output_tokens_details": details}] * 3)
    async with serving(generator=generator) as served:
        assert (await generate(served, {**FOX, "n": 3})).json()["usage"] == {
            "total_tokens": 843,
            "input_tokens": 27,
            "output_tokens": 816,
            "input_tokens_details": {"text_tokens": 27, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 3, "image_tokens": 813},
        }


@pytest.mark.parametrize("details", [None, 1, {"text_tokens": 1}, {"text_tokens": 1, "image_tokens": True}])
async def test_details_of_the_output_that_are_not_whole_are_left_out(details: Any) -> None:
    async with serving(generator=TellingGenerator({**USAGE, "output_tokens_details": details})) as served:
        assert (await generate(served)).json()["usage"] == USAGE


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 9, "completion_tokens": 272, "total_tokens": 281},
        {name: USAGE[name] for name in USAGE if name != "input_tokens_details"},
        {**USAGE, "input_tokens_details": {"text_tokens": 9}},
        {**USAGE, "input_tokens_details": None},
        {**USAGE, "total_tokens": True},
        {**USAGE, "total_tokens": "281"},
        {**USAGE, "output_tokens": 1.5},
        {**USAGE, "output_tokens": -1},
    ],
)
async def test_half_a_usage_is_none(usage: Any) -> None:
    async with serving(generator=TellingGenerator(USAGE, usage)) as served:
        assert (await generate(served, {**FOX, "n": 2})).json()["usage"] is None


async def test_images_that_failed_are_told_beside_those_that_are_there() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(
        GenerationFailedError("No picture.", maybe_billed=True), GenerationRefusedError("No.", maybe_billed=False)
    )
    async with serving(generator=generator) as served:
        response = await generate(served, {**FOX, "n": 4})

        stored = {str(image.guid): image for image in await served.all_stored()}
        errors = response.json()["errors"]
        failed = {error["guid"]: (error["code"], error["maybe_billed"]) for error in errors}
        assert response.status_code == 200
        assert len(guids(response)) == 2
        assert sorted(failed.values()) == [("generation_failed", True), ("moderation_blocked", False)]
        assert {guid for guid, image in stored.items() if image.status is ImageStatus.FAILED} == set(failed)
        for error in errors:
            place = stored[error["guid"]].batch
            assert place
            assert error["index"] == place.position


@pytest.mark.parametrize(
    ("errors", "status", "code", "maybe_billed"),
    [
        ([GenerationRefusedError("No.", maybe_billed=False)], 400, "moderation_blocked", False),
        (
            [GenerationRateLimitedError("Slowly.", maybe_billed=False)],
            429,
            "generation_rate_limited",
            False,
        ),
        ([GenerationFailedError("No picture.", maybe_billed=True)], 424, "generation_failed", True),
        (
            [
                GenerationRateLimitedError("Slowly.", maybe_billed=False),
                GenerationFailedError("No picture.", maybe_billed=True),
            ],
            424,
            "generation_rate_limited",
            True,
        ),
    ],
)
async def test_if_all_images_failed_the_answer_is_the_error_of_the_first(
    errors: list[GenerationError], status: int, code: str, maybe_billed: bool
) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(*errors)
    async with serving(generator=generator) as served:
        response = await generate(served, {**FOX, "n": len(errors)})

        error = response.json()["error"]
        assert response.headers["Content-Type"] == "application/json"
        assert (response.status_code, error["code"], error["maybe_billed"]) == (status, code, maybe_billed)
        assert error["request_id"] == response.headers["X-Request-ID"]
        assert response.headers.get("x-should-retry") == (None if status == 429 else "false")


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_takes_long_begins_with_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent(monkeypatch)
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served))
        await generator.is_drawing.wait()
        await sent.reach(2, b" ")
        generator.go_on()
        response = await asyncio.wait_for(asking, SOON)

        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        assert "Content-Length" not in response.headers
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.content.startswith(b"  ")
        assert response.content.lstrip(b" ").startswith(b"{")
        assert b64decode(response.json()["data"][0]["b64_json"]) == PICTURE


@pytest.mark.usefixtures("impatient")
async def test_an_error_after_white_space_is_in_the_body_of_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent(monkeypatch)
    generator = HeldGenerator()
    generator.fail_next(GenerationFailedError("No picture.", maybe_billed=True))
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served))
        await generator.is_drawing.wait()
        await sent.reach(2, b" ")
        generator.go_on()
        response = await asyncio.wait_for(asking, SOON)

        assert response.status_code == 200
        assert response.content.startswith(b" ")
        error = response.json()["error"]
        assert (error["code"], error["maybe_billed"]) == ("generation_failed", True)


@pytest.mark.parametrize("is_begun", [False, True])
async def test_the_end_of_the_service_is_an_error_that_no_client_sends_again(
    is_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent(monkeypatch)
    monkeypatch.setattr(PlainAnswer, "patience", 0.0 if is_begun else SOON)
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        asking = asyncio.create_task(generate(served))
        await generator.is_drawing.wait()
        await sent.reach(int(is_begun), b" ")
        served.container.generations().stop_waiting()
        response = await asyncio.wait_for(asking, SOON)

        (image,) = await served.all_stored()
        error = response.json()["error"]
        assert response.status_code == (200 if is_begun else 424)
        assert (error["guid"], error["maybe_billed"]) == (str(image.guid), True)


async def test_a_picture_that_is_gone_is_an_error_that_no_client_sends_again() -> None:
    generator = HeldGenerator()
    contents = BreakingContentStore(0)
    async with serving(generator=generator, contents=contents) as served:
        contents.is_breaking = False
        asking = asyncio.create_task(generate(served))
        await generator.is_drawing.wait()
        (image,) = await served.all_stored()
        generator.go_on()
        await served.ready(image.guid)
        contents.is_breaking = True
        response = await asyncio.wait_for(asking, SOON)

        assert response.status_code == 424
        assert response.json()["error"]["maybe_billed"] is True
        # The picture is bought, so a further attempt gets it.
        contents.is_breaking = False
        assert guids(await generate(served, x_stainless_retry_count="1")) == [str(image.guid)]
        assert len(served.requests) == 1


async def test_the_same_key_gets_the_same_images_and_says_so() -> None:
    async with serving() as served:
        first = await generate(served, {**FOX, "n": 2}, Idempotency_Key="abc")
        second = await generate(served, {**FOX, "n": 2}, Idempotency_Key='"abc"')

        assert second.json() == first.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert len(served.requests) == 2


async def test_a_key_with_another_request_is_refused() -> None:
    async with serving() as served:
        await generate(served, Idempotency_Key="abc")
        response = await generate(served, {"prompt": "a blue fox"}, Idempotency_Key="abc")

        assert response.status_code == 422
        assert len(served.requests) == 1


async def test_the_order_of_an_answer_that_was_sent_is_not_joined() -> None:
    async with serving() as served:
        first = await generate(served)
        second = await generate(served, x_stainless_retry_count="1")

        assert guids(first) != guids(second)


async def test_a_further_attempt_joins_the_order_that_is_under_way() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        first = asyncio.create_task(generate(served))
        await generator.is_drawing.wait()
        second = asyncio.create_task(generate(served, x_stainless_retry_count="1"))
        await asyncio.sleep(0.05)
        generator.go_on()
        answers = await asyncio.gather(first, second)

        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["Idempotency-Replayed"] == "true"
        assert len(await served.all_stored()) == 1


@pytest.mark.parametrize("count", ["", "0", "-1", "1.5", "one", "٣", "99999999999999999999"])
async def test_a_count_of_attempts_that_is_none_marks_a_first_attempt(count: str) -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        asking = [asyncio.create_task(generate(served))]
        await generator.is_drawing.wait()
        headers = {"x-stainless-retry-count": count.encode()}
        asking.append(
            asyncio.create_task(
                served.client.post("/v1/images/generations", json=FOX, auth=ANN, headers=headers)  # type: ignore[arg-type]
            )
        )
        generator.go_on()
        first, second = await asyncio.gather(*asking)

        assert second.status_code == 200
        assert guids(first) != guids(second)


async def test_equal_requests_at_once_are_different_orders() -> None:
    async with serving() as served:
        answers = await asyncio.gather(generate(served), generate(served))

        assert guids(answers[0]) != guids(answers[1])


async def test_an_image_is_its_users_own() -> None:
    async with serving() as served:
        (guid,) = guids(await generate(served))

        assert (await served.get(f"/private/image/{guid}", ANN)).json()["visibility"] == "private"
        assert (await served.get(f"/private/image/{guid}", BOB)).status_code == 404
        assert (await served.stored(UUID(guid))).author == ANN[0]


async def test_the_status_is_a_plain_number_as_the_log_writes_it() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async with Recipient(receive, send, send_timeout=SOON) as recipient:
        await recipient.start(HTTPStatus.OK, [])
    assert [type(message["status"]) for message in sent] == [int]
