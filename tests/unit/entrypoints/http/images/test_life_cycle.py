"""Who sees which part of an image over HTTP before it is ready."""

import asyncio
from uuid import uuid4

import pytest

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application.generate_image import QUARANTINE_NOTE
from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationOptionError,
    GenerationRefusedError,
    GenerationTimedOutError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from tests.factories import FailedImageFactory, GeneratingImageFactory, PendingImageFactory, UnknownImageFactory
from tests.images import held
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import (
    FailingImageRepository,
    HeldGenerator,
    serving,
    with_settings,
)

WITHOUT_PICTURE = [PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory]


async def stored(factory: type[PendingImageFactory], **changes: object) -> tuple[InMemoryImageRepository, Image]:
    """Return a repository with one image; if it is not final, another process is making it."""
    images = InMemoryImageRepository()
    image = factory.build(author="ann", **changes)
    if image.status.is_final:
        return images, await images.add(image)
    return images, await held(images, image)


@pytest.mark.parametrize("factory", WITHOUT_PICTURE)
@pytest.mark.parametrize("path", ["/image", "/private/image"])
async def test_the_author_sees_in_which_state_an_image_is(path: str, factory: type[PendingImageFactory]) -> None:
    images, image = await stored(factory)
    async with serving(images=images) as served:
        response = await served.get(f"{path}/{image.guid}", ANN)

        detail = response.json()
        assert response.status_code == 200
        assert detail["status"] == image.status
        assert (detail["media_type"], detail["byte_size"], detail["sha256"]) == (None, None, None)
        assert (detail["problem"] is None) == (image.failure is None)


@pytest.mark.parametrize("factory", WITHOUT_PICTURE)
@pytest.mark.parametrize("suffix", ["", "/events"])
async def test_to_all_others_it_is_an_unknown_image(factory: type[PendingImageFactory], suffix: str) -> None:
    images, image = await stored(factory)
    unknown = uuid4()
    async with serving(images=images) as served:
        for path, auth in (("/image", BOB), ("/image", None), ("/private/image", BOB)):
            found = problem(await served.get(f"{path}/{image.guid}{suffix}", auth), 404)
            expected = problem(await served.get(f"{path}/{unknown}{suffix}", auth), 404)
            assert found.pop("request_id") != expected.pop("request_id")
            assert str(found).replace(str(image.guid), "") == str(expected).replace(str(unknown), "")


@pytest.mark.parametrize("factory", WITHOUT_PICTURE)
async def test_the_content_is_not_there_for_anybody(factory: type[PendingImageFactory]) -> None:
    images, image = await stored(factory)
    async with serving(images=images) as served:
        for path, auth in (("/image", ANN), ("/image", None), ("/private/image", ANN)):
            problem(await served.get(f"{path}/{image.guid}/content", auth), 404)


@pytest.mark.parametrize("factory", WITHOUT_PICTURE)
async def test_lists_show_ready_images_only(factory: type[PendingImageFactory]) -> None:
    images, _ = await stored(factory)
    async with serving(images=images) as served:
        ready = (await served.post()).json()

        assert (await served.get("/image")).json() == [ready]
        assert [image["guid"] for image in (await served.get("/private/image", ANN)).json()] == [ready["guid"]]


@pytest.mark.parametrize("suffix", ["", "/events"])
@pytest.mark.parametrize("auth", [("ann", "wrong password"), ("stranger", "correct horse")])
async def test_a_wrong_login_is_refused_also_where_none_is_needed(auth: tuple[str, str], suffix: str) -> None:
    async with serving() as served:
        guid = (await served.post()).json()["guid"]

        response = await served.get(f"/image/{guid}{suffix}", auth)

        problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await served.get(f"/image/{guid}{suffix}")).status_code == 200


async def test_an_authors_private_image_is_not_among_the_public_ones_while_it_is_made() -> None:
    images, image = await stored(GeneratingImageFactory, visibility="private")
    async with serving(images=images) as served:
        problem(await served.get(f"/image/{image.guid}", ANN), 404)
        assert (await served.get(f"/private/image/{image.guid}", ANN)).status_code == 200


async def test_the_guid_is_enough_to_see_an_image_without_an_author() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(anonymous_create=True), generator=generator) as served:
        location = (await served.post(auth=None, prefer="respond-async")).headers["Location"]
        await generator.is_drawing.wait()

        for auth in (None, BOB):
            assert (await served.get(location, auth)).json()["status"] == "generating"
        problem(await served.get(f"/private{location}", BOB), 404)
        problem(await served.get(f"{location}/content"), 404)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GenerationRefusedError("No foxes.", maybe_billed=False), "failed"),
        (GenerationTimedOutError("It took too long.", maybe_billed=True), "unknown"),
        (GenerationOptionError("It takes no such size.", maybe_billed=False, field="size"), "failed"),
    ],
)
async def test_the_details_say_why_there_is_no_picture(error: GenerationError, status: str) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(error)
    async with serving(generator=generator) as served:
        answer = (await served.post()).json()

        detail = (await served.get(f"/image/{answer['guid']}", ANN)).json()

        assert detail["status"] == status
        told = {name: answer[name] for name in ("type", "title", "status", "detail", "retryable", "maybe_billed")}
        assert detail["problem"] == {**told, "field": next((found["field"] for found in answer["errors"]), None)}


@pytest.mark.parametrize("retry_after", [None, 7.0])
async def test_a_failed_creation_says_what_its_client_needs_to_know(retry_after: float | None) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationTimedOutError("It took too long.", maybe_billed=True, retry_after=retry_after))
    async with serving(generator=generator) as served:
        response = await served.post()

        found = problem(response, 504)
        assert (found["retryable"], found["maybe_billed"]) == (True, True)
        assert (await served.stored(found["guid"])).status is ImageStatus.UNKNOWN
        assert response.headers.get("Retry-After") == (None if retry_after is None else "7")


async def test_a_refused_prompt_need_not_be_tried_again() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationRefusedError("No foxes.", maybe_billed=False))
    async with serving(generator=generator) as served:
        found = problem(await served.post(), 422)

        assert (found["retryable"], found["maybe_billed"]) == (False, False)


@pytest.mark.parametrize(
    ("body", "auth", "status", "fields"), [({"prompt": ""}, ANN, 400, ["prompt"]), (None, None, 401, [])]
)
async def test_a_request_that_was_refused_was_not_billed_and_has_no_image(
    body: object, auth: tuple[str, str] | None, status: int, fields: list[str]
) -> None:
    async with serving() as served:
        found = problem(await served.post(body, auth=auth), status, *fields)

        assert (found["retryable"], found["maybe_billed"]) == (False, False)
        assert "guid" not in found


async def test_a_fault_while_drawing_may_have_been_billed() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(ZeroDivisionError("boom"))
    async with serving(generator=generator) as served:
        found = problem(await served.post(), 500)

        assert (found["retryable"], found["maybe_billed"]) == (False, True)


async def test_a_picture_that_takes_too_long_is_delayed_and_comes_all_the_same() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_wait=0.05), generator=generator) as served:
        response = await served.post()

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:image-delayed"
        assert (found["retryable"], found["maybe_billed"]) == (False, True)
        assert int(response.headers["Retry-After"]) > 0
        assert (await served.get(f"/image/{found['guid']}", ANN)).json()["status"] == "generating"

        generator.go_on()
        await served.ready(found["guid"])
        assert (await served.get(f"/image/{found['guid']}/content")).status_code == 200


async def test_a_picture_that_the_database_lost_sight_of_comes_when_it_is_back() -> None:
    images = FailingImageRepository(ImageStatus.READY)
    async with serving(with_settings(lease=0.2), images=images) as served:
        response = await served.post()

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:image-delayed"
        assert (found["retryable"], found["maybe_billed"]) == (False, True)
        assert int(response.headers["Retry-After"]) > 0
        assert (await served.get(f"/image/{found['guid']}", ANN)).json()["status"] == "generating"
        problem(await served.get(f"/image/{found['guid']}/content"), 404)

        images.fails_for.clear()
        await served.container.recover_images()()
        await asyncio.sleep(0.25)
        await served.container.recover_images()()

        detail = (await served.get(f"/image/{found['guid']}")).json()
        assert (detail["status"], detail["media_type"], detail["width"]) == ("ready", "image/png", 8)
        content = await served.get(f"/image/{found['guid']}/content")
        assert len(content.content) == detail["byte_size"]
        assert len(served.requests) == 1


async def test_an_image_waits_for_a_database_that_does_not_take_its_beginning_and_is_bought_once() -> None:
    images = FailingImageRepository(ImageStatus.GENERATING)
    async with serving(with_settings(lease=0.1), images=images) as served:
        guid = (await served.post(prefer="respond-async")).json()["guid"]
        await asyncio.sleep(0.1)
        assert (await served.stored(guid)).status is ImageStatus.PENDING
        assert served.requests == []

        images.fails_for.clear()

        assert (await served.ready(guid)).status is ImageStatus.READY
        assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [(GenerationFailedError, ImageStatus.FAILED), (GenerationBrokenOffError, ImageStatus.UNKNOWN)]
)
async def test_what_is_in_quarantine_is_told_of_never_served_and_deleted_with_the_image(
    kind: type[GenerationError], status: ImageStatus
) -> None:
    # A picture, so that nothing but its place keeps it from being shown.
    picture = (await InMemoryImageGenerator().generate(GenerationRequest(prompt="a"))).data
    generator = InMemoryImageGenerator()
    generator.fail_next(kind("No.", maybe_billed=True, quarantine=picture))
    async with serving(generator=generator) as served:
        failed = problem(await served.post(path="/private/image"), 502)
        assert failed["detail"] == f"No. {QUARANTINE_NOTE}"
        guid = failed["guid"]
        contents = served.container.contents()
        assert (await served.stored(guid)).status is status
        assert [item.key for item in await contents.list_quarantine()] == [guid]
        assert (await served.get(f"/private/image/{guid}", ANN)).json()["problem"]["detail"] == f"No. {QUARANTINE_NOTE}"
        for path in ("/image", "/private/image"):
            for query in ("", "?width=8", "?format=png", "?download"):
                for method in ("GET", "HEAD"):
                    response = await served.client.request(method, f"{path}/{guid}/content{query}", auth=ANN)
                    assert response.status_code == 404
                    assert picture not in response.content
        for path in ("set-aside", f"image/set-aside/{guid}", f"image/{guid}/quarantine"):
            assert (await served.get(f"/{path}", ANN)).status_code == 404
        assert (await served.client.post(f"/private/image/{guid}/link", json={}, auth=ANN)).status_code in {404, 409}
        assert (await served.client.delete(f"/private/image/{guid}", auth=ANN)).is_success
        assert await contents.list_quarantine() == []
