"""Several images of one request, over HTTP."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.domain.errors import GenerationRefusedError, GenerationTimedOutError
from pixyproxy.domain.generation_request import GenerationRequest
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import SOON, HeldGenerator, serving, with_settings

BOTH = pytest.mark.parametrize("path", ["/image/batch", "/private/image/batch"])
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
FOXES = {"prompt": "a red fox", "n": 3}


class FreeAtFirst(HeldGenerator):
    """Draws the first prompt at once, and holds the others."""

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> Any:
        if not self.requests:
            return await InMemoryImageGenerator.generate(self, request, **kwargs)
        return await super().generate(request, **kwargs)


@BOTH
async def test_a_batch_is_an_array_of_details_in_order(path: str) -> None:
    async with serving() as served:
        response = await served.post(FOXES, path=path)

        assert response.status_code == 200
        images = response.json()
        (batch,) = {image["batch"] for image in images}
        assert [image["status"] for image in images] == ["ready"] * 3
        assert len({image["guid"] for image in images}) == 3
        assert (await served.get(f"{path}/{batch}", ANN)).json() == images
        single = path.removesuffix("/batch")
        assert [(await served.get(f"{single}/{image['guid']}", ANN)).json() for image in images] == images
        assert served.requests == [GenerationRequest(prompt="a red fox")] * 3


@BOTH
@pytest.mark.parametrize("body", [{}, {"n": 1}])
async def test_a_batch_of_one_is_an_array_too(path: str, body: dict[str, object]) -> None:
    async with serving() as served:
        assert len((await served.post({"prompt": "a red fox", **body}, path=path)).json()) == 1


@BOTH
async def test_all_have_the_tags_the_visibility_and_the_options_of_the_request(path: str) -> None:
    async with serving() as served:
        body = {**FOXES, "tags": ["fox"], "visibility": "private", "size": "1024x1024"}
        images = (await served.post(body, path=path)).json()

        assert [(image["tags"], image["visibility"], image["size"]) for image in images] == [
            (["fox"], "private", "1024x1024")
        ] * 3


@BOTH
async def test_all_are_drawn_from_the_references(path: str) -> None:
    async with serving() as served:
        fox = (await served.post()).json()["guid"]

        images = (await served.post({**FOXES, "references": [fox]}, path=path)).json()

        for image in images:
            detail = (await served.get(f"/private/image/{image['guid']}", ANN)).json()
            assert [reference["guid"] for reference in detail["references"]] == [fox]
        body = {**FOXES, "references": [fox, str(uuid4())]}
        found = problem(await served.post(body, path=path, key=KEY), 404)
        assert (found["retryable"], found["maybe_billed"]) == (False, False)
        assert "references[1]" in found["detail"]
        assert len(await served.all_stored()) == 4


@BOTH
@pytest.mark.parametrize("number", [0, 11, -1, "2", True, 1.5, None, [], 10**40])
async def test_another_number_is_refused_by_name(path: str, number: object) -> None:
    async with serving() as served:
        problem(await served.post({"prompt": "a red fox", "n": number}, path=path), 400, "n")
        assert await served.all_stored() == []


@BOTH
async def test_one_that_fails_has_its_problem_in_the_array(path: str) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    async with serving(generator=generator) as served:
        response = await served.post(FOXES, path=path)

        assert response.status_code == 200
        assert [image["status"] for image in response.json()] == ["failed", "ready", "ready"]
        assert response.json()[0]["problem"]["status"] == 422


@BOTH
async def test_if_every_one_fails_the_answer_is_the_problem_of_the_first(path: str) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(
        GenerationRefusedError("No.", maybe_billed=False), GenerationTimedOutError("Too long.", maybe_billed=True)
    )
    async with serving(generator=generator) as served:
        responses = [await served.post({**FOXES, "n": 2}, path=path, key=KEY) for _ in range(2)]

        first, second = (problem(response, 422) for response in responses)
        assert first.pop("request_id") != second.pop("request_id")
        assert first == second
        assert (first["retryable"], first["maybe_billed"]) == (False, True)
        assert [response.headers.get("Idempotency-Replayed") for response in responses] == [None, "true"]
        images = (await served.get(f"{path}/{first['batch']}", ANN)).json()
        assert [image["problem"]["maybe_billed"] for image in images] == [False, True]
        assert images[0]["guid"] == first["guid"]
        assert len(generator.requests) == 2


@pytest.mark.parametrize(
    ("path", "visibility", "auth", "location"),
    [
        ("/image/batch", "public", ANN, "/image/batch/"),
        ("/image/batch", "private", ANN, "/private/image/batch/"),
        ("/image/batch", "public", None, "/image/batch/"),
        ("/private/image/batch", "private", ANN, "/private/image/batch/"),
        ("/private/image/batch", "public", ANN, "/private/image/batch/"),
    ],
)
async def test_a_client_that_does_not_wait_gets_the_array_and_its_address(
    path: str, visibility: str, auth: tuple[str, str] | None, location: str
) -> None:
    generator = FreeAtFirst()
    async with serving(with_settings(anonymous_create=True), generator=generator) as served:
        response = await served.post({**FOXES, "visibility": visibility}, path=path, auth=auth, prefer="respond-async")

        assert response.status_code == 202
        assert response.headers["Preference-Applied"] == "respond-async"
        assert response.headers["Location"] == f"{location}{response.json()[0]['batch']}"
        await served.ready(response.json()[0]["guid"])
        await generator.is_drawing.wait()
        shown = await served.get(response.headers["Location"], auth)
        assert [image["guid"] for image in shown.json()] == [image["guid"] for image in response.json()]
        assert [image["status"] for image in shown.json()] == ["ready", "generating", "generating"]
        generator.go_on()
        for image in response.json():
            await served.ready(image["guid"])
        shown = await served.get(response.headers["Location"], auth)
        assert [image["status"] for image in shown.json()] == ["ready"] * 3


async def test_a_client_that_waits_a_little_gets_what_there_is() -> None:
    generator = FreeAtFirst()
    async with serving(generator=generator) as served:
        response = await served.post(FOXES, path="/image/batch", prefer="wait=0")
        assert response.status_code == 202
        assert response.headers["Preference-Applied"] == "wait=0"
        generator.go_on()

        response = await served.post(FOXES, path="/image/batch", prefer="wait=9")
        assert response.status_code == 200
        assert response.headers["Preference-Applied"] == "wait=9"
        assert "Location" not in response.headers


async def test_after_the_longest_wait_the_problem_names_the_batch() -> None:
    generator = FreeAtFirst()
    async with serving(with_settings(max_wait=0.05), generator=generator) as served:
        response = await served.post(FOXES, path="/image/batch", key=KEY)
        again = await served.post(FOXES, path="/image/batch", key=KEY)
        shown = await served.post(FOXES, path="/image/batch", key=KEY, prefer="respond-async")

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:image-delayed"
        assert (found["retryable"], found["maybe_billed"]) == (False, True)
        assert int(response.headers["Retry-After"]) > 0
        in_use = problem(again, 409)
        assert in_use["type"] == "urn:pixyproxy:problem:idempotency-key-in-use"
        assert int(again.headers["Retry-After"]) > 0
        assert found["batch"] == in_use["batch"] == shown.json()[0]["batch"]
        assert shown.status_code == 202
        assert shown.headers["Idempotency-Replayed"] == "true"
        generator.go_on()
        for image in shown.json():
            await served.ready(image["guid"])
        replayed = await served.post(FOXES, path="/image/batch", key=KEY)
        assert [image["status"] for image in replayed.json()] == ["ready"] * 3
        assert len(generator.requests) == 3


@BOTH
async def test_the_same_request_again_gets_the_same_array_and_buys_nothing(path: str) -> None:
    async with serving() as served:
        first = await served.post(FOXES, path=path, key=KEY)
        second = await served.post(FOXES, path=path, key=KEY)

        assert second.status_code == first.status_code == 200
        assert second.json() == first.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert len(served.requests) == 3


@BOTH
async def test_another_number_or_an_image_alone_is_another_request(path: str) -> None:
    async with serving() as served:
        await served.post({**FOXES, "n": 1}, path=path, key=KEY)

        for others, body in ((path, FOXES), (path.removesuffix("/batch"), {"prompt": "a red fox"})):
            found = problem(await served.post(body, path=others, key=KEY), 422)
            assert found["type"] == "urn:pixyproxy:problem:idempotency-key-reused"


async def test_deleted_images_are_left_out_of_the_answer_again() -> None:
    async with serving() as served:
        images = (await served.post(FOXES, path="/private/image/batch", key=KEY)).json()
        for left in (images[1:], images[2:]):
            gone = images[images.index(left[0]) - 1]
            await served.client.delete(f"/private/image/{gone['guid']}", auth=ANN)
            again = await served.post(FOXES, path="/private/image/batch", key=KEY)
            assert again.json() == left
            assert (await served.get(f"/private/image/batch/{gone['batch']}", ANN)).json() == left
        await served.client.delete(f"/private/image/{images[2]['guid']}", auth=ANN)

        found = problem(await served.post(FOXES, path="/private/image/batch", key=KEY), 409)

        assert found["type"] == "urn:pixyproxy:problem:constraint-violation"
        assert found["maybe_billed"] is True
        problem(await served.get(f"/private/image/batch/{images[0]['batch']}", ANN), 404)
        assert len(served.requests) == 3


async def test_without_room_for_all_nothing_is_bought() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=3), generator=generator) as served:
        running = served.post_later({**FOXES, "n": 2}, path="/image/batch")
        await generator.is_drawing.wait()

        response = await served.post(FOXES, path="/image/batch")

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:overloaded"
        assert (found["retryable"], found["maybe_billed"]) == (True, False)
        assert len(await served.all_stored()) == 2
        problem(await served.post({**FOXES, "n": 5}, path="/image/batch"), 400, "n")
        generator.go_on()
        assert (await asyncio.wait_for(running, SOON)).status_code == 200
        assert (await served.post({**FOXES, "n": 4}, path="/image/batch")).status_code == 200


async def test_others_see_the_public_images_that_are_ready() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    async with serving(generator=generator) as served:
        images = (await served.post(FOXES, path="/image/batch")).json()
        path = f"/image/batch/{images[0]['batch']}"

        anns = await served.get(path, ANN)
        assert anns.json() == images
        assert anns.headers["Cache-Control"] == "private, no-cache"
        for auth in (BOB, None):
            theirs = await served.get(path, auth)
            assert theirs.json() == images[1:]
            assert theirs.headers["Cache-Control"] == "no-cache"
            assert theirs.headers["Vary"] == "Authorization"
            assert theirs.headers["ETag"] != anns.headers["ETag"]
        await served.client.patch(f"/private/image/{images[1]['guid']}", auth=ANN, json={"visibility": "private"})
        assert (await served.get(path, BOB)).json() == images[2:]
        problem(await served.get(f"/private{path}", BOB), 404)
        assert len((await served.get(f"/private{path}", ANN)).json()) == 3


async def test_a_batch_of_which_nothing_may_be_seen_is_like_an_unknown_one() -> None:
    async with serving() as served:
        images = (await served.post(FOXES, path="/private/image/batch")).json()

        for batch in (images[0]["batch"], uuid4()):
            for path in (f"/image/batch/{batch}", f"/private/image/batch/{batch}"):
                found = problem(await served.get(path, BOB), 404)
                assert found["detail"] == f"There is no batch {batch}."


@pytest.mark.parametrize("path", ["/image/batch/nonsense", "/private/image/batch/content"])
async def test_what_is_no_guid_is_refused(path: str) -> None:
    async with serving() as served:
        problem(await served.get(path, ANN), 400, "batch")


@BOTH
async def test_the_routes_take_their_methods_and_a_trailing_slash(path: str) -> None:
    async with serving() as served:
        images = (await served.post(FOXES, path=f"{path}/")).json()
        batch = images[0]["batch"]

        assert (await served.get(f"{path}/{batch}/", ANN)).json() == images
        assert (await served.client.options(path, auth=ANN)).headers["Allow"] == "OPTIONS, POST"
        assert (await served.client.options(f"{path}/{batch}", auth=ANN)).headers["Allow"] == "GET, HEAD, OPTIONS"
        for method, address in (("GET", path), ("DELETE", f"{path}/{batch}"), ("POST", f"{path}/{batch}")):
            assert (await served.client.request(method, address, auth=ANN)).status_code == 405


@pytest.mark.parametrize("anonymous_create", [False, True])
async def test_a_login_is_needed_unless_anyone_may_create(anonymous_create: bool) -> None:
    async with serving(with_settings(anonymous_create=anonymous_create)) as served:
        public = await served.post(FOXES, path="/image/batch", auth=None)
        private = await served.post(FOXES, path="/private/image/batch", auth=None)

        assert public.status_code == (200 if anonymous_create else 401)
        assert private.status_code == 401
        assert (await served.post(FOXES, path="/image/batch", auth=("ann", "wrong"))).status_code == 401


async def test_pages_of_other_sites_may_not_create_batches() -> None:
    async with serving() as served:
        response = await served.client.post(
            "/image/batch", json=FOXES, auth=ANN, headers={"Sec-Fetch-Site": "cross-site"}
        )

        assert response.status_code == 403
        assert await served.all_stored() == []
