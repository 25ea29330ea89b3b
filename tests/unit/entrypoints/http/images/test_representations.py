"""The two representations of an image: the one that anyone may read, and the author's."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.sender import Sender
from tests.factories import FailedImageFactory, ImageFactory, PendingImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.serving import Served, serving

PARENT = UUID("0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e")
BATCH = UUID("7d0e1c52-9a34-4a55-8a0f-2f1f6f0d5b11")
UPLOAD = Upload(
    filename="mask.png",
    content=ContentInfo(media_type=MediaType.PNG, byte_size=1234, sha256="ab" * 32, width=640, height=480),
)
REQUEST = GenerationRequest(
    prompt="a red fox",
    model="gpt-image-2",
    size="1536x1024",
    quality="high",
    background="opaque",
    output_format="webp",
    output_compression=0,
    moderation="low",
    references=(Reference.to_image(PARENT), Reference.to_upload(UPLOAD)),
    mask=Reference.to_upload(UPLOAD),
    input_fidelity="high",
    partial_images=2,
    extra={"seed": 7, "nested": {"list": [1, None, "é"]}},
)
PRIVATE = {"request", "references", "mask", "result", "sender"}


async def stored(image: Image) -> InMemoryImageRepository:
    images = InMemoryImageRepository()
    await images.hold(UPLOAD.content.sha256, seconds=60.0)
    await images.add(image)
    return images


async def details(served: Served, image: Image, path: str) -> dict[str, Any]:
    detail: dict[str, Any] = (await served.get(f"{path}/{image.guid}", ANN)).json()
    return detail


async def test_the_author_sees_the_request_as_it_was_asked_and_what_came_back() -> None:
    result = GenerationResult(model="gpt-image-2-2026-04-21", size="1536x1024", revised_prompt="a fox, red")
    image = ImageFactory.build(
        author="ann", request=REQUEST, result=result, usage={"total_tokens": 5}, generator_request_id="req_1"
    )
    async with serving(images=await stored(image)) as served:
        detail = await details(served, image, "/private/image")

    assert detail["request"] == {
        "model": "gpt-image-2",
        "size": "1536x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 0,
        "moderation": "low",
        "input_fidelity": "high",
        "partial_images": 2,
        "extra": {"seed": 7, "nested": {"list": [1, None, "é"]}},
    }
    upload = {"guid": None, "filename": "mask.png", "media_type": "image/png", "byte_size": 1234}
    parent = {"guid": str(PARENT), "filename": None, "media_type": None, "byte_size": None}
    assert detail["references"] == [parent, upload]
    assert detail["mask"] == upload
    assert detail["result"] == {
        "model": "gpt-image-2-2026-04-21",
        "size": "1536x1024",
        "quality": None,
        "background": None,
        "output_format": None,
        "revised_prompt": "a fox, red",
        "usage": {"total_tokens": 5},
        "request_id": "req_1",
    }


async def test_anyone_sees_the_options_of_a_public_image_and_neither_its_parents_nor_its_costs() -> None:
    image = ImageFactory.build(
        author="ann",
        request=REQUEST,
        usage={"total_tokens": 4_711_471_147},
        generator_request_id="req_of_upstream",
        batch=BatchPlace(guid=BATCH, position=1, size=3),
        sender=Sender(client="OpenAI/Python", user="carol"),
    )
    async with serving(images=await stored(image)) as served:
        public = await served.get(f"/image/{image.guid}", BOB)
        own = await details(served, image, "/private/image")

    detail = public.json()
    assert {name: detail[name] for name in ("size", "quality", "background", "output_format", "batch")} == {
        "size": "1536x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "webp",
        "batch": str(BATCH),
    }
    assert set(own) - set(detail) == PRIVATE
    assert own | detail == own
    assert not any(
        secret in public.text
        for secret in (
            "4711471147",
            "req_of_upstream",
            "carol",
            "OpenAI/Python",
            '"seed"',
            "mask.png",
            UPLOAD.content.sha256,
            str(PARENT),
        )
    )


async def test_an_option_that_was_left_open_is_null() -> None:
    image = PendingImageFactory.build(author="ann", prompt="a red fox", batch=None, sender=None)
    async with serving(images=await stored(image)) as served:
        detail = await details(served, image, "/private/image")

    assert set(detail["request"].values()) == {None}
    assert (detail["references"], detail["mask"], detail["result"], detail["batch"]) == ([], None, None, None)
    assert [detail[name] for name in ("size", "quality", "background", "output_format")] == [None] * 4


async def test_usage_that_json_can_t_say_is_left_out() -> None:
    image = ImageFactory.build(author="ann", usage={"note": "\ud800"})
    async with serving(images=await stored(image)) as served:
        detail = await details(served, image, "/private/image")

    assert detail["result"]["usage"] is None


async def test_the_request_id_of_a_failed_attempt_is_shown_to_the_author() -> None:
    image = FailedImageFactory.build(author="ann", generator_request_id="req_1")
    async with serving(images=await stored(image)) as served:
        result = (await details(served, image, "/private/image"))["result"]

    assert result["request_id"] == "req_1"
    assert {value for name, value in result.items() if name != "request_id"} == {None}


@pytest.mark.parametrize("auth", [ANN, BOB, None])
async def test_a_public_route_shows_the_same_to_its_author_as_to_others(auth: tuple[str, str] | None) -> None:
    image = ImageFactory.build(author="ann", request=REQUEST)
    async with serving(images=await stored(image)) as served:
        shown = await served.get(f"/image/{image.guid}", auth)
        plain = await served.get(f"/image/{image.guid}")

    assert (shown.json(), shown.headers["ETag"]) == (plain.json(), plain.headers["ETag"])


async def test_each_private_route_shows_all_details() -> None:
    async with serving() as served:
        created = (await served.post(path="/private/image")).json()
        path = f"/private/image/{created['guid']}"
        listed = (await served.get("/private/image", ANN)).json()
        events = (await served.get(f"{path}/events", ANN)).text
        tagging = {"guids": [created["guid"]], "add": ["final"]}
        changed = await served.client.patch(path, json={"tags": ["draft"]}, auth=ANN)
        shown = await served.get(path, ANN)
        tagged = (await served.post(tagging, path="/private/image/bulk/tag")).json()

    assert set(created) >= PRIVATE
    assert listed == [created]
    assert msgspec.json.decode(events.partition("data: ")[2].split("\r\n")[0]) == created
    assert changed.json() == shown.json() == {**created, "tags": ["draft"], "updated_at": changed.json()["updated_at"]}
    assert changed.headers["ETag"] == shown.headers["ETag"]
    assert set(tagged[0]["image"]) == set(created)


async def test_each_public_route_shows_what_anyone_may_see() -> None:
    async with serving() as served:
        created = (await served.post(path="/image")).json()
        listed = (await served.get("/image", ANN)).json()
        events = (await served.get(f"/image/{created['guid']}/events", ANN)).text
        shown = (await served.get(f"/image/{created['guid']}", ANN)).json()

    assert not set(created) & PRIVATE
    assert listed == [shown] == [created]
    assert msgspec.json.decode(events.partition("data: ")[2].split("\r\n")[0]) == created
