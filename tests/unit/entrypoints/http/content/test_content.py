"""The bytes of images over HTTP: conditions, ranges, caching, downloads."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.content_response import ContentResponse
from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import serving, with_settings

SECOND = timedelta(seconds=1)


class Picture(NamedTuple):
    """A stored picture, and how it is asked for."""

    client: Client
    path: str
    auth: Login | None
    detail: dict[str, Any]
    data: bytes

    def get(self, method: str = "GET", **headers: str) -> httpx.Response:
        """Ask for it, with headers whose names have `_` in the place of `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, self.path, headers=named, auth=self.auth or httpx.USE_CLIENT_DEFAULT)

    @property
    def entity_tag(self) -> str:
        """The entity tag that it must have."""
        return f'"{self.detail["sha256"]}"'

    def at(self, difference: timedelta = timedelta()) -> str:
        """Return when it was created, or a while later, as HTTP writes times."""
        return format_datetime(datetime.fromisoformat(self.detail["created_at"]) + difference, usegmt=True)


# The first is answered by the shortcut, the second by the application.
@pytest.fixture(params=["/image/{}/content", "/image/{}/content?download=false", "/private/image/{}/content"])
def picture(request: pytest.FixtureRequest, client: Client) -> Picture:
    path: str = request.param
    auth = ANN if path.startswith("/private") else None
    detail = client.post("/private/image" if auth else "/image", json={"prompt": "a red fox"}, auth=ANN).json()
    path = path.format(detail["guid"])
    data = client.get(path, auth=ANN).content
    assert hashlib.sha256(data).hexdigest() == detail["sha256"]
    return Picture(client, path, auth, detail, data)


def test_the_whole_picture_comes_with_all_that_is_known_of_it(picture: Picture) -> None:
    response = picture.get()

    assert response.status_code == 200
    digest = base64.b64encode(hashlib.sha256(picture.data).digest()).decode()
    expected = {
        "Content-Type": "image/png",
        "Content-Length": str(len(picture.data)),
        "ETag": picture.entity_tag,
        "Last-Modified": picture.at(),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'inline; filename="{picture.detail["filename"]}"',
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"
        ),
        "X-Content-Type-Options": "nosniff",
    }
    assert {name: response.headers[name] for name in expected} == expected
    assert response.headers["X-Request-ID"]
    assert response.content == picture.data


def test_head_has_the_headers_of_get_without_the_bytes(picture: Picture) -> None:
    whole, head = picture.get(), picture.get("HEAD")

    assert head.status_code == 200
    assert head.content == b""
    differing = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in whole.headers.items() if k not in differing
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", ["If_None_Match", "If_Modified_Since"])
def test_a_matching_validator_gets_no_bytes(picture: Picture, method: str, condition: str) -> None:
    value = picture.entity_tag if condition == "If_None_Match" else picture.at()

    response = picture.get(method, **{condition: value})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["ETag"] == picture.entity_tag
    assert response.headers["Cache-Control"] == picture.get().headers["Cache-Control"]
    assert not {"content-type", "content-length", "content-disposition", "repr-digest"} & set(response.headers)


def test_another_validator_gets_the_bytes(picture: Picture) -> None:
    for headers in ({"If_None_Match": '"x"'}, {"If_Modified_Since": picture.at(-SECOND)}):
        assert picture.get(**headers).content == picture.data


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_precondition_on_another_validator_fails(picture: Picture, method: str) -> None:
    for headers in ({"If_Match": '"x"'}, {"If_Unmodified_Since": picture.at(-SECOND)}):
        response = picture.get(method, **headers)
        assert response.status_code == 412
        assert response.headers["Cache-Control"] == "no-store"
    assert picture.get(If_Match=picture.entity_tag).content == picture.data


def test_a_part_is_sent_alone(picture: Picture) -> None:
    size = len(picture.data)
    for text, start, end in (("0-9", 0, 10), ("5-", 5, size), ("-7", size - 7, size), (f"9-{size}", 9, size)):
        response = picture.get(Range=f"bytes={text}")
        assert response.status_code == 206
        assert response.content == picture.data[start:end]
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert response.headers["Content-Length"] == str(end - start)
        assert response.headers["ETag"] == picture.entity_tag


def test_several_parts_are_answered_with_the_whole(picture: Picture) -> None:
    response = picture.get(Range="bytes=0-1,4-5")
    assert (response.status_code, response.content) == (200, picture.data)


def test_a_range_after_the_end_is_refused_with_the_size(picture: Picture) -> None:
    response = picture.get(Range="bytes=10000000-")
    problem(response, 416)
    assert response.headers["Content-Range"] == f"bytes */{len(picture.data)}"


def test_a_part_is_sent_only_if_the_rest_is_of_the_same_picture(picture: Picture) -> None:
    for value in (picture.entity_tag, picture.at()):
        assert picture.get(Range="bytes=0-1", If_Range=value).status_code == 206
    for value in ('"x"', f"W/{picture.entity_tag}", picture.at(SECOND)):
        response = picture.get(Range="bytes=0-1", If_Range=value)
        assert (response.status_code, response.content) == (200, picture.data)


def test_conditions_come_before_ranges(picture: Picture) -> None:
    assert picture.get(Range="bytes=0-1", If_None_Match=picture.entity_tag).status_code == 304
    assert picture.get(Range="bytes=0-1", If_Match='"x"').status_code == 412


def test_a_head_has_no_parts(picture: Picture) -> None:
    response = picture.get("HEAD", Range="bytes=0-1")
    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(picture.data))


def test_other_methods_are_not_allowed(picture: Picture) -> None:
    response = picture.get("POST")
    problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(("query", "expected"), [("download", "attachment"), ("download=true", "attachment")])
def test_a_download_is_saved_under_its_name(picture: Picture, query: str, expected: str) -> None:
    path = f"{picture.path.partition('?')[0]}?{query}"
    response = picture.client.get(path, auth=ANN)
    assert response.headers["Content-Disposition"] == f'{expected}; filename="{picture.detail["filename"]}"'


def test_a_download_that_makes_no_sense_is_refused(picture: Picture) -> None:
    problem(picture.client.get(f"{picture.path.partition('?')[0]}?download=maybe", auth=ANN), 400, "download")


def test_a_trailing_slash_changes_nothing(picture: Picture) -> None:
    path, _, query = picture.path.partition("?")
    response = picture.client.get(f"{path}/?{query}", auth=ANN)
    assert response.content == picture.data


def test_a_missing_file_is_the_same_fault_for_get_and_head(picture: Picture, container: Container) -> None:
    asyncio.run(container.contents().delete(ContentKey(picture.detail["guid"])))
    found = problem(picture.get(), 503)
    assert found["type"].endswith("content-not-found")
    assert picture.get("HEAD").status_code == 503


@pytest.mark.parametrize("name", ["If-None-Match", "If-Match"])
def test_a_list_may_come_in_several_lines(picture: Picture, name: str) -> None:
    response = picture.client.get(
        picture.path, headers=[(name, '"x"'), (name, picture.entity_tag), (name, '"y"')], auth=ANN
    )
    assert response.status_code == (304 if name == "If-None-Match" else 200)


def test_a_range_that_comes_twice_is_none(picture: Picture) -> None:
    response = picture.client.get(picture.path, headers=[("Range", "bytes=0-1"), ("Range", "bytes=2-3")], auth=ANN)
    assert response.content == picture.data


def test_many_header_lines_are_passed_over(picture: Picture) -> None:
    started_at = time.process_time()
    headers = [("a", "b" * 100)] * 20_000 + [("If-None-Match", "x" * 100)] * 20_000
    assert picture.client.get(picture.path, headers=headers, auth=ANN).status_code == 200
    # With work that grows with the square of the lines, it would be minutes.
    assert time.process_time() - started_at < 20


class FaultyImageRepository(InMemoryImageRepository):
    """Fails with an unexpected error; `asked` counts how often."""

    asked = 0

    async def get(self, guid: UUID) -> Image:
        self.asked += 1
        raise RuntimeError("something with a secret")


@pytest.mark.parametrize("query", ["", "?download=false"])
async def test_a_fault_is_a_problem_and_is_met_once(query: str, caplog: pytest.LogCaptureFixture) -> None:
    faulty = FaultyImageRepository()
    async with serving(images=faulty) as served:
        response = await served.get(f"/image/{uuid4()}/content{query}")
    problem(response, 500)
    assert "secret" not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert faulty.asked == 1
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


async def test_a_client_that_does_not_read_is_given_up_by_any_server(caplog: pytest.LogCaptureFixture) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body") == b"b":
            await asyncio.Event().wait()

    sent: list[Any] = []
    response = ContentResponse(
        status=200, headers=[], content=StoredContent(3, chunks()), byte_size=3, send_timeout=0.01
    )
    await response({"type": "http", "state": {"request_id": "abc"}}, None, send)  # type: ignore[arg-type]
    assert [message.get("more_body") for message in sent] == [None, True, True]
    (record,) = caplog.records
    assert (record.message, vars(record)["request_id"]) == ("content broken off", "abc")


class TestCaching:
    """The caching headers."""

    def test_a_public_picture_may_be_kept_for_a_short_while(self, client: Client) -> None:
        guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
        for auth in (None, ANN, BOB):
            response = client.get(f"/image/{guid}/content", auth=auth or httpx.USE_CLIENT_DEFAULT)
            assert response.headers["Cache-Control"] == "public, max-age=60, must-revalidate"
            assert "Vary" not in response.headers

    def test_an_own_picture_is_only_for_its_author(self, client: Client) -> None:
        for path in ("/image", "/private/image"):
            guid = client.post(path, json={"prompt": "a fox"}, auth=ANN).json()["guid"]
            response = client.get(f"/private/image/{guid}/content", auth=ANN)
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Vary"] == "Authorization, Cookie"
            problem(client.get(f"/private/image/{guid}/content", auth=BOB), 404)

    def test_a_public_picture_that_has_become_private_is_gone(self, client: Client) -> None:
        guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
        entity_tag = client.get(f"/image/{guid}/content").headers["ETag"]
        client.patch(
            f"/private/image/{guid}",
            content=b'{"visibility": "private"}',
            headers={"Content-Type": "application/merge-patch+json"},
            auth=ANN,
        )
        for headers in ({}, {"If-None-Match": entity_tag}):
            response = client.get(f"/image/{guid}/content", headers=headers, auth=ANN)
            problem(response, 404)
            assert response.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("settings", [with_settings(public_max_age=0)])
    def test_without_a_max_age_caches_always_revalidate(self, client: Client, settings: Settings) -> None:
        guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
        assert client.get(f"/image/{guid}/content").headers["Cache-Control"] == "public, no-cache"


class TestVariants:
    """Other sizes and formats of a picture."""

    @pytest.fixture
    def plain(self, picture: Picture) -> str:
        """The path without a query."""
        return picture.path.partition("?")[0]

    def test_a_variant_has_a_size_a_format_and_validators_of_its_own(self, picture: Picture, plain: str) -> None:
        response = picture.client.get(f"{plain}?width=64&format=webp", auth=ANN)

        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/webp"
        assert response.headers["Content-Length"] == str(len(response.content))
        assert response.headers["ETag"] == f'"{hashlib.sha256(response.content).hexdigest()}"' != picture.entity_tag
        # A variant that is drawn again may have other bytes at the same time.
        assert "Last-Modified" not in response.headers
        stem = picture.detail["filename"].removesuffix(".png")
        assert response.headers["Content-Disposition"] == f'inline; filename="{stem}.webp"'
        for name in ("Cache-Control", "Content-Security-Policy", "X-Content-Type-Options"):
            assert response.headers[name] == picture.get().headers[name]

    def test_all_that_holds_for_an_original_holds_for_a_variant(self, picture: Picture, plain: str) -> None:
        path = f"{plain}?height=64&format=jpeg&quality=50"
        whole = picture.client.get(path, auth=ANN)

        def again(method: str = "GET", **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return picture.client.request(method, path, headers=named, auth=ANN)

        tag = whole.headers["ETag"]
        assert again("HEAD").headers["Content-Length"] == whole.headers["Content-Length"]
        assert again(If_None_Match=tag).status_code == 304
        assert again(If_None_Match=picture.entity_tag).content == whole.content
        assert again(If_Match=picture.entity_tag).status_code == 412
        assert again(If_Modified_Since=picture.at(), Range="bytes=0-1", If_Range=picture.at()).content == whole.content
        part = again(Range="bytes=3-7", If_Range=tag)
        assert (part.status_code, part.content) == (206, whole.content[3:8])
        assert again(Range=f"bytes={len(whole.content)}-").status_code == 416

    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            ("image/avif,image/webp,*/*;q=0.8", "image/avif"),
            ("image/webp,*/*", "image/webp"),
            ("image/avif;q=0,image/png", "image/png"),
            ("*/*", "image/png"),
        ],
    )
    def test_the_client_has_a_say_in_the_format(
        self, picture: Picture, plain: str, accept: str, media_type: str
    ) -> None:
        response = picture.client.get(f"{plain}?width=64&format=auto", headers={"Accept": accept}, auth=ANN)

        assert response.headers["Content-Type"] == media_type
        vary = {name.strip() for name in response.headers["Vary"].split(",")}
        assert vary == ({"Accept", "Authorization", "Cookie"} if picture.auth else {"Accept"})
        tag = response.headers["ETag"]
        kept = picture.client.get(
            f"{plain}?width=64&format=auto", headers={"Accept": accept, "If-None-Match": tag}, auth=ANN
        )
        assert (kept.status_code, kept.headers["Vary"]) == (304, response.headers["Vary"])

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("width=65", "width"),
            ("height=4097", "height"),
            ("format=webp&quality=81", "quality"),
            ("fit=fill", "fit"),
            ("format=gif", "format"),
            ("width=64&width=64", "width"),
        ],
    )
    def test_an_unsupported_variant_is_refused(self, picture: Picture, plain: str, query: str, field: str) -> None:
        problem(picture.client.get(f"{plain}?{query}", auth=ANN), 400, field)

    def test_a_hidden_picture_has_no_variants(self, client: Client) -> None:
        guid = client.post("/private/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
        assert client.get(f"/private/image/{guid}/content?width=64", auth=ANN).status_code == 200
        problem(client.get(f"/image/{guid}/content?width=64", auth=ANN), 404)
        problem(client.get(f"/private/image/{guid}/content?width=64", auth=BOB), 404)

    def test_a_deleted_picture_has_no_variants(self, client: Client) -> None:
        guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
        assert client.get(f"/image/{guid}/content?width=64").status_code == 200
        client.delete(f"/private/image/{guid}", auth=ANN)
        problem(client.get(f"/image/{guid}/content?width=64"), 404)
