"""The bytes of references, for the author of an image alone."""

from uuid import uuid4

import pytest
from httpx import BasicAuth, Response

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.domain.image import Visibility
from tests.unit.entrypoints.http.conftest import ANN, BOB, Login
from tests.unit.entrypoints.http.images.test_forms import MASK, PNG, PROMPT, WEBP, form, part, png, send
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import Served, serving, with_settings


async def get(served: Served, guid: str, position: object, auth: Login = ANN, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/private/image/{guid}/reference/{position}/content"
    return await served.client.get(path, auth=BasicAuth(*auth), headers=names)


async def created(served: Served, *parts: bytes, auth: Login = ANN) -> str:
    response = await send(served, form(PROMPT, *parts), path="/private/image", auth=auth)
    guid: str = response.json()["guid"]
    return guid


async def test_the_author_gets_each_reference_and_the_mask_with_its_true_media_type() -> None:
    async with serving() as served:
        parent = (await served.post(path="/private/image")).json()["guid"]
        guid = await created(served, png(), part("references", parent), png(content=WEBP), png("mask", MASK))
        for position, data, media_type in ((0, PNG, "png"), (2, WEBP, "webp"), ("mask", MASK, "png")):
            response = await get(served, guid, position)
            assert (response.status_code, response.content) == (200, data)
            assert response.headers["Content-Type"] == f"image/{media_type}"
            assert response.headers["Content-Disposition"].startswith("inline")
            assert f"fox.{media_type}" in response.headers["Content-Disposition"]
            assert "sandbox" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        own = await served.client.get(f"/private/image/{parent}/content", auth=BasicAuth(*ANN))
        assert (await get(served, guid, 1)).content == own.content


async def test_ranges_conditions_and_head_are_those_of_content() -> None:
    async with serving() as served:
        guid = await created(served, png())
        whole = await get(served, guid, 0)
        part_ = await get(served, guid, 0, Range="bytes=10-19")
        assert (part_.status_code, part_.content) == (206, PNG[10:20])
        assert (await get(served, guid, 0, Range=f"bytes={len(PNG)}-")).status_code == 416
        assert (await get(served, guid, 0, If_None_Match=whole.headers["ETag"])).status_code == 304
        assert (await get(served, guid, 0, If_Match='"another"')).status_code == 412
        path = f"/private/image/{guid}/reference/0/content"
        head = await served.client.head(path, auth=BasicAuth(*ANN))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(PNG))
        saved = await served.client.get(f"{path}?download", auth=BasicAuth(*ANN))
        assert saved.headers["Content-Disposition"].startswith("attachment")


async def test_others_and_unknown_places_are_not_found() -> None:
    async with serving() as served:
        guid = await created(served, png())
        public = (await send(served, form(PROMPT, png()))).json()["guid"]
        for response in (
            await get(served, guid, 0, auth=BOB),
            await get(served, public, 0, auth=BOB),
            await get(served, str(uuid4()), 0),
            await get(served, guid, 1),
            await get(served, guid, "mask"),
        ):
            problem(response, 404)
        for position in ("-1", "16", "x", "%30%30"):
            assert (await get(served, guid, position)).status_code in {400, 404}
        anonymous = await served.get(f"/private/image/{guid}/reference/0/content")
        problem(anonymous, 401)
        problem(await served.get(f"/image/{public}/reference/0/content"), 404)


async def test_an_upload_that_is_gone_is_not_found() -> None:
    async with serving() as served:
        guid = await created(served, png())
        (reference,) = served.requests[0].references
        assert reference.upload is not None
        await served.container.upload_contents().delete(reference.upload.key)
        problem(await get(served, guid, 0), 404)


@pytest.mark.parametrize("loss", ["deleted", "hidden"])
async def test_an_image_is_given_only_as_long_as_the_author_may_read_it(loss: str) -> None:
    async with serving() as served:
        parent = (await served.post(auth=BOB)).json()["guid"]
        guid = await created(served, part("references", parent))
        assert (await get(served, guid, 0)).status_code == 200
        login = BasicAuth(*BOB)
        if loss == "deleted":
            await served.client.delete(f"/private/image/{parent}", auth=login)
        else:
            hidden = {"visibility": Visibility.PRIVATE.value}
            await served.client.patch(f"/private/image/{parent}", auth=login, json=hidden)
        problem(await get(served, guid, 0), 404)


async def test_a_failed_image_shows_its_references_too() -> None:
    async with serving() as served:
        served.container.generator().fail_next(ZeroDivisionError())
        await send(served, form(PROMPT, png()))
        (image,) = await served.all_stored()
        assert (await get(served, str(image.guid), 0)).content == PNG


async def test_a_web_server_in_front_gets_the_place_of_the_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("contents") / "images"
    contents, uploads = FilesystemContentStore(root), FilesystemContentStore(root / "uploads")
    await contents.prepare()
    await uploads.prepare()
    settings = with_settings(content_offload="x-accel:/internal/")
    async with serving(settings, contents=contents, upload_contents=uploads) as served:
        parent = (await served.post()).json()["guid"]
        guid = await created(served, png(), part("references", parent))
        for position, folder in ((0, "uploads"), (1, parent[:2])):
            response = await get(served, guid, position)
            place = response.headers["X-Accel-Redirect"].removeprefix("/internal/")
            assert place.startswith(f"{folder}/")
            assert (root / place).is_file()
