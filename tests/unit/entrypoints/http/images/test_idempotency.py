"""Asking for the same image again, over HTTP."""

import asyncio

import pytest

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.errors import (
    GenerationFailedError,
    GenerationOptionError,
    GenerationRefusedError,
    GenerationTimedOutError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import ImageStatus
from tests.factories import GeneratingImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import SOON, FailingImageRepository, HeldGenerator, serving, with_settings

BOTH = pytest.mark.parametrize("path", ["/image", "/private/image"])
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


@BOTH
async def test_the_same_request_again_gets_the_same_answer_and_buys_nothing(path: str) -> None:
    async with serving() as served:
        first = await served.post(path=path, key=KEY)
        second = await served.post(path=path, key=KEY)

        assert second.status_code == first.status_code == 200
        assert second.json() == first.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert len(served.requests) == 1


async def test_without_a_key_the_same_request_buys_again() -> None:
    async with serving() as served:
        assert (await served.post()).json()["guid"] != (await served.post()).json()["guid"]


async def test_a_key_may_stand_in_quotes_or_not() -> None:
    async with serving() as served:
        first = await served.post(key='"abc"')
        second = await served.post(key="abc")

        assert second.json()["guid"] == first.json()["guid"]


async def test_white_space_around_the_prompt_makes_no_other_request() -> None:
    async with serving() as served:
        await served.post({"prompt": "a red fox"}, key=KEY)

        assert (await served.post({"prompt": " a red fox\n", "tags": []}, key=KEY)).status_code == 200


async def test_a_key_belongs_to_its_author() -> None:
    async with serving() as served:
        anns = await served.post(key=KEY, auth=ANN)
        bobs = await served.post(key=KEY, auth=BOB)

        assert anns.json()["guid"] != bobs.json()["guid"]
        assert "Idempotency-Replayed" not in bobs.headers
        assert len(served.requests) == 2


async def test_without_a_login_key_and_body_together_say_what_is_asked_for_again() -> None:
    async with serving(with_settings(anonymous_create=True)) as served:
        first = await served.post(key=KEY, auth=None)
        second = await served.post(key=KEY, auth=None)
        anns = await served.post(key=KEY, auth=ANN)

        assert second.json() == first.json()
        assert anns.json()["guid"] != first.json()["guid"]


@pytest.mark.parametrize("body", [{"prompt": "a blue fox"}, {"prompt": "a red fox", "tags": ["fox"]}])
async def test_strangers_with_the_same_key_do_not_meet(body: object) -> None:
    generator = HeldGenerator()
    async with serving(
        with_settings(anonymous_create=True, max_generations=2, max_wait=0.05), generator=generator
    ) as served:
        mine = problem(await served.post(key=KEY, auth=None), 503)["guid"]

        theirs = problem(await served.post(body, key=KEY, auth=None), 503)["guid"]

        assert theirs != mine
        generator.go_on()
        for guid in (mine, theirs):
            await served.ready(guid)
        answers = [await served.post(each, key=KEY, auth=None) for each in (None, body)]
        assert [answer.json()["guid"] for answer in answers] == [mine, theirs]
        assert all(answer.headers["Idempotency-Replayed"] == "true" for answer in answers)


async def test_no_user_finds_what_a_stranger_has_asked_for() -> None:
    async with serving(with_settings(anonymous_create=True)) as served:
        theirs = await served.post(key=KEY, auth=None)
        # A client that knows a stranger's key and body may learn of the record.
        stored = Claim.on(await served.stored(theirs.json()["guid"]), IdempotencyKey(KEY.strip('"'))).key

        for key in (KEY, stored):
            for auth in (ANN, BOB, None):
                answer = await served.post({"prompt": "another"}, key=key, auth=auth)
                assert answer.status_code == 200
                assert answer.json()["guid"] != theirs.json()["guid"]


@pytest.mark.parametrize("body", [{"prompt": "a blue fox"}, {"prompt": "a red fox", "tags": ["fox"]}])
async def test_a_key_with_another_body_is_refused(body: object) -> None:
    async with serving() as served:
        await served.post(key=KEY)

        found = problem(await served.post(body, key=KEY), 422)

        assert found["type"] == "urn:pixyproxy:problem:idempotency-key-reused"
        assert (found["retryable"], found["maybe_billed"]) == (False, False)
        assert len(served.requests) == 1


async def test_a_key_with_another_visibility_is_refused() -> None:
    async with serving() as served:
        await served.post(path="/image", key=KEY)

        problem(await served.post(path="/private/image", key=KEY), 422)


async def test_a_request_whose_first_is_running_waits_for_it() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        first = served.post_later(key=KEY)
        await generator.is_drawing.wait()
        second = served.post_later(key=KEY)
        await asyncio.sleep(0.05)
        assert not second.done()

        generator.go_on()
        responses = await asyncio.wait_for(asyncio.gather(first, second), SOON)

        assert [response.status_code for response in responses] == [200, 200]
        assert responses[0].json() == responses[1].json()
        assert responses[1].headers["Idempotency-Replayed"] == "true"
        assert generator.requests == [GenerationRequest(prompt="a red fox")]


async def test_many_at_once_with_one_key_buy_one_image() -> None:
    async with serving() as served:
        responses = await asyncio.gather(*(served.post(key=KEY) for _ in range(20)))

        assert {response.status_code for response in responses} == {200}
        assert len({response.json()["guid"] for response in responses}) == 1
        assert sum("Idempotency-Replayed" not in response.headers for response in responses) == 1
        assert len(served.requests) == 1


async def test_a_request_whose_first_takes_too_long_is_told_which_image_to_look_for() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_wait=0.05), generator=generator) as served:
        delayed = problem(await served.post(key=KEY), 503)
        response = await served.post(key=KEY)

        found = problem(response, 409)
        assert found["type"] == "urn:pixyproxy:problem:idempotency-key-in-use"
        assert found["guid"] == delayed["guid"]
        assert (found["retryable"], found["maybe_billed"]) == (True, True)
        assert int(response.headers["Retry-After"]) > 0
        assert generator.requests == [GenerationRequest(prompt="a red fox")]

        generator.go_on()
        await served.ready(found["guid"])
        assert (await served.post(key=KEY)).json()["guid"] == found["guid"]


async def test_a_client_that_went_away_finds_its_image_by_its_key() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        gone = served.post_later(key=KEY)
        await generator.is_drawing.wait()
        gone.cancel()
        generator.go_on()

        response = await served.post(key=KEY)

        assert response.json()["status"] == "ready"
        assert response.headers["Idempotency-Replayed"] == "true"
        assert generator.requests == [GenerationRequest(prompt="a red fox")]


@pytest.mark.parametrize(
    ("error", "status", "maybe_billed"),
    [
        (GenerationRefusedError("No.", maybe_billed=False), 422, False),
        (GenerationFailedError("Nothing came.", maybe_billed=True, retry_after=3), 502, True),
        (GenerationTimedOutError("It took too long.", maybe_billed=True), 504, True),
    ],
)
async def test_a_failure_is_replayed_as_it_was(error: Exception, status: int, maybe_billed: bool) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(error)
    async with serving(generator=generator) as served:
        responses = [await served.post(key=KEY), await served.post(key=KEY)]

        first, second = (problem(response, status) for response in responses)
        assert first.pop("request_id") != second.pop("request_id")
        assert first == second
        assert second["maybe_billed"] is maybe_billed
        assert [response.headers.get("Idempotency-Replayed") for response in responses] == [None, "true"]
        assert len(generator.requests) == 1


async def test_an_option_that_the_generator_does_not_take_is_named_again() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationOptionError("It is not taken.", maybe_billed=False, field="size"))
    async with serving(generator=generator) as served:
        first, second = [problem(await served.post(key=KEY), 400, "size") for _ in range(2)]

        assert first.pop("request_id") != second.pop("request_id")
        assert first == second
        assert len(generator.requests) == 1


async def test_after_a_crash_the_key_tells_the_truth_and_buys_nothing() -> None:
    images = InMemoryImageRepository()
    image = GeneratingImageFactory.build(author="ann", prompt="a red fox", tags=(), batch=None, sender=None)
    # The record of a process that died in the middle of a purchase: its lease is over.
    await images.add(image, claim=Claim.on(image, IdempotencyKey("abc")))
    async with serving(images=images) as served:
        await served.container.recover_images()()
        responses = [await served.post(key="abc") for _ in range(2)]
        detail = (await served.get(f"/image/{image.guid}", ANN)).json()

        for response in responses:
            found = problem(response, 409)
            assert found["type"] == detail["problem"]["type"] == "urn:pixyproxy:problem:generation-abandoned"
            assert found["guid"] == str(image.guid)
            assert found["maybe_billed"] is True
            assert response.headers["Idempotency-Replayed"] == "true"
        assert detail["status"] == "unknown"
        assert served.requests == []


async def test_an_image_that_the_database_lost_sight_of_is_found_by_its_key() -> None:
    images = FailingImageRepository(ImageStatus.READY)
    async with serving(with_settings(lease=0.05), images=images) as served:
        delayed = problem(await served.post(key=KEY), 503)
        images.fails_for.clear()
        # By the background work.
        await served.ready(delayed["guid"])

        response = await served.post(key=KEY)

        assert response.json()["guid"] == delayed["guid"]
        assert response.headers["Idempotency-Replayed"] == "true"
        assert len(served.requests) == 1


@BOTH
@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, '"abc', 'a"c', "é", '"é"'])
async def test_a_malformed_key_is_refused(path: str, key: str) -> None:
    async with serving() as served:
        response = await served.client.post(
            path, json={"prompt": "a"}, auth=ANN, headers={b"Idempotency-Key": key.encode()}
        )

        problem(response, 400, "Idempotency-Key")
        assert await served.all_stored() == []


async def test_two_keys_are_none() -> None:
    async with serving() as served:
        lines = [("Idempotency-Key", "abc"), ("Idempotency-Key", "def")]
        response = await served.client.post("/image", json={"prompt": "a"}, auth=ANN, headers=lines)

        problem(response, 400, "Idempotency-Key")


async def test_a_request_without_a_login_does_not_use_the_key_up() -> None:
    async with serving() as served:
        for auth in (None, ("ann", "wrong password")):
            problem(await served.post({"prompt": "a blue fox"}, key=KEY, auth=auth), 401)

        response = await served.post(key=KEY)

        assert response.status_code == 200
        assert "Idempotency-Replayed" not in response.headers


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": "a", "tags": [""]}])
async def test_a_bad_request_does_not_use_the_key_up(body: object) -> None:
    async with serving() as served:
        assert (await served.post(body, key=KEY)).status_code == 400

        response = await served.post(key=KEY)

        assert response.status_code == 200
        assert "Idempotency-Replayed" not in response.headers


async def test_a_request_that_was_turned_away_does_not_use_the_key_up() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=0), generator=generator) as served:
        running = served.post_later({"prompt": "the first"})
        await generator.is_drawing.wait()
        problem(await served.post({"prompt": "a blue fox"}, key=KEY), 503)
        generator.go_on()
        await running

        response = await served.post(key=KEY)

        assert response.status_code == 200
        assert "Idempotency-Replayed" not in response.headers
