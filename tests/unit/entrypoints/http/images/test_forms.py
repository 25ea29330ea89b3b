"""Creations as multipart/form-data: pictures as files, in bounded memory, and nothing left of a refused request."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from httpx import USE_CLIENT_DEFAULT, BasicAuth, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.reference import Reference
from tests import odd_pictures
from tests.contents import keys_in
from tests.unit.entrypoints.http.conftest import ANN, BOB, Login
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import HeldGenerator, Served, serving, with_settings

PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
JPEG = odd_pictures.encoded(odd_pictures.gradient(), "JPEG")
WEBP = odd_pictures.encoded(odd_pictures.gradient(), "WEBP")
MASK = odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG")
SMALL_MASK = odd_pictures.encoded(odd_pictures.gradient(16, 16).convert("RGBA"), "PNG")
BOUNDARY = "----a-boundary"
MIB = 1 << 20


def part(name: str | None, content: bytes | str, filename: str | None = None, *headers: str) -> bytes:
    """Return a part of a form."""
    names = "" if name is None else f'; name="{name}"'
    names += "" if filename is None else f'; filename="{filename}"'
    lines = [f"Content-Disposition: form-data{names}", *headers]
    data = content.encode() if isinstance(content, str) else content
    return f"--{BOUNDARY}\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes, end: bytes = f"--{BOUNDARY}--\r\n".encode()) -> bytes:
    return b"".join(parts) + end


def png(name: str = "reference", content: bytes = PNG) -> bytes:
    return part(name, content, "fox.png", "Content-Type: image/png")


PROMPT = part("prompt", "a red fox")


async def send(
    served: Served,
    body: bytes | AsyncIterator[bytes],
    *,
    path: str = "/image",
    auth: Login | None = ANN,
    headers: Mapping[str, str] | None = None,
    boundary: str = f"; boundary={BOUNDARY}",
) -> Response:
    return await served.client.post(
        path,
        content=body,
        auth=USE_CLIENT_DEFAULT if auth is None else BasicAuth(*auth),
        headers={"Content-Type": f"multipart/form-data{boundary}", **(headers or {})},
    )


async def uploads(served: Served) -> Sequence[str]:
    """Return the keys of the stored uploads, having checked that the ledger lists the same."""
    keys = await keys_in(served.container.upload_contents())
    assert [record.sha256 for record in await served.container.images().scan_uploads(limit=100)] == keys
    return keys


async def refused(
    response: Response, status: int, served: Served, *fields: str, images: int = 0, kept: Sequence[str] = ()
) -> str:
    """Return the detail of a problem, having checked that nothing is left of the request."""
    body = problem(response, status, *fields)
    assert body["maybe_billed"] is False
    assert await uploads(served) == list(kept)
    assert len(await served.all_stored()) == images
    assert len(served.requests) == images
    detail: str = body["detail"]
    return detail


async def test_a_form_has_all_fields_of_the_json_body() -> None:
    fields = [
        ("prompt", "a red fox, лиса"),
        ("size", "1024x1024"),
        ("quality", "high"),
        ("background", "opaque"),
        ("output_format", "webp"),
        ("output_compression", "80"),
        ("partial_images", "2"),
        ("input_fidelity", "high"),
        ("extra", '{"seed": 7, "nested": [1, null]}'),
        ("tags", "one"),
        ("tags", "two"),
        ("visibility", "private"),
        ("n", "1"),
        ("model", ""),
    ]
    async with serving() as served:
        parts = [part(name, text) for name, text in fields]
        response = await send(served, form(*parts, png(), png("mask", MASK)))
        assert response.status_code == 200, response.text
        (image,) = await served.all_stored()
        request = served.requests[0]
        assert image.request == request
        assert image.tags == ("one", "two")
        assert image.visibility is Visibility.PRIVATE
        options = msgspec.to_builtins(request)
        assert {name: options[name] for name in options if name not in {"references", "mask", "extra"}} == {
            "prompt": "a red fox, лиса",
            "size": "1024x1024",
            "quality": "high",
            "background": "opaque",
            "output_format": "webp",
            "output_compression": 80,
            "partial_images": 2,
            "input_fidelity": "high",
        }
        assert request.extra == {"seed": 7, "nested": [1, None]}
        (reference,) = request.references
        assert reference.upload is not None
        assert reference.upload.filename == "fox.png"
        assert reference.upload.content.sha256 == hashlib.sha256(PNG).hexdigest()
        assert request.mask is not None
        assert await uploads(served) == sorted(hashlib.sha256(data).hexdigest() for data in (PNG, MASK))


async def test_lines_that_end_with_crlf_as_browsers_send_them_count_and_are_stored_with_lf() -> None:
    prompt = "\n".join(["a fox"] * 5_333)
    assert len(prompt) == 31_997
    async with serving() as served:
        response = await send(served, form(part("prompt", prompt.replace("\n", "\r\n"))))
        assert response.status_code == 200, response.text
        (image,) = await served.all_stored()
        assert image.prompt == prompt


@pytest.mark.parametrize("path", ["/image", "/private/image", "/image/", "/private/image/"])
async def test_both_routes_take_forms(path: str) -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT, png()), path=path)
        assert response.status_code == 200
        assert response.json()["visibility"] == ("private" if "private" in path else "public")
        assert len(await uploads(served)) == 1


@pytest.mark.parametrize("path", ["/image/batch", "/private/image/batch"])
async def test_the_images_of_a_batch_share_their_uploads(path: str) -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT, png(), part("n", "2")), path=path)
        assert response.status_code == 200, response.text
        guids = [image["guid"] for image in response.json()]
        assert len(guids) == 2
        assert len(await uploads(served)) == 1
        for guid, left in zip(guids, (1, 0), strict=True):
            await served.client.delete(f"/private/image/{guid}", auth=BasicAuth(*ANN))
            assert len(await uploads(served)) == left
        problem(await send(served, form(PROMPT, png(), part("n", "11")), path=path), 400, "n")
        problem(await send(served, unread_body(), path=path, auth=None), 401)
        assert await uploads(served) == []
        assert len(served.requests) == 2


async def test_references_keep_the_order_of_their_parts() -> None:
    async with serving() as served:
        parents = [(await served.post({"prompt": "a parent"})).json()["guid"] for _ in range(2)]
        body = form(
            part("references", parents[0]),
            png(content=PNG),
            part("references[]", parents[1]),
            png("reference[]", JPEG),
            png(content=WEBP),
            PROMPT,
            part("references", parents[0]),
        )
        response = await send(served, body, path="/private/image")
        assert response.status_code == 200, response.text
        request = served.requests[-1]
        kinds = [
            reference.guid or (reference.upload and reference.upload.content.media_type)
            for reference in request.references
        ]
        assert list(map(str, kinds)) == [parents[0], "image/png", parents[1], "image/jpeg", "image/webp", parents[0]]
        assert [each.get("guid") or each["media_type"] for each in response.json()["references"]] == list(
            map(str, kinds)
        )


async def test_a_mask_can_be_a_guid_and_a_form_needs_no_file() -> None:
    async with serving() as served:
        contents = served.container.contents()
        parent = (await served.post({"prompt": "a parent"})).json()["guid"]
        image = await served.stored(parent)

        async def chunks(data: bytes) -> AsyncIterator[bytes]:
            yield data

        transparent = odd_pictures.encoded(odd_pictures.gradient(8, 8).convert("RGBA"), "PNG")
        await contents.put(image.content_key, chunks(transparent))
        response = await send(served, form(PROMPT, part("references", parent), part("mask", parent)))
        # The record has the size of another content.
        assert response.status_code in {200, 409}
        assert served.requests[-1].mask in {Reference.to_image(image.guid), None}
        assert await uploads(served) == []
        assert (await send(served, form(PROMPT))).status_code == 200


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 100_000])
async def test_a_form_can_arrive_in_pieces_of_any_size(chunk_size: int) -> None:
    body = form(PROMPT, png(), part("tags", "one"))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk_size):
            yield body[start : start + chunk_size]

    async with serving() as served:
        response = await send(served, chunks())
        assert response.status_code == 200
        assert await uploads(served) == [hashlib.sha256(PNG).hexdigest()]


async def test_the_same_bytes_are_kept_once_and_deleted_with_their_last_image() -> None:
    async with serving() as served:
        guids = [
            (await send(served, form(PROMPT, png(), png()), path="/private/image")).json()["guid"] for _ in range(2)
        ]
        for guid, left in zip(guids, (1, 0), strict=True):
            deleted = await served.client.delete(f"/private/image/{guid}", auth=BasicAuth(*ANN))
            assert deleted.status_code == 204
            assert len(await uploads(served)) == left


async def test_an_idempotency_key_names_the_bytes_and_not_the_name_of_a_file() -> None:
    async with serving() as served:
        key = {"Idempotency-Key": "a-key"}
        first = await send(served, form(PROMPT, png()), headers=key)
        renamed = await send(served, form(PROMPT, part("reference", PNG, "renamed.png")), headers=key)
        assert (renamed.status_code, renamed.json()["guid"]) == (200, first.json()["guid"])
        assert renamed.headers["Idempotency-Replayed"] == "true"
        other = await send(served, form(PROMPT, png(content=WEBP)), headers=key)
        assert other.status_code == 422
        assert await uploads(served) == [hashlib.sha256(PNG).hexdigest()]


BAD_FILES = {
    "text file": (b"What I want is a fox.", "none of PNG, JPEG and WebP"),
    "animated gif": (odd_pictures.gif_of(3), "GIF is none of PNG"),
    "truncated png": (PNG[: len(PNG) // 2], "PNG picture is damaged or incomplete"),
    "truncated jpeg": (JPEG[:-30], "JPEG picture is damaged or incomplete"),
    "empty file": (b"", "must not be an empty file"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "none of PNG"),
}


@pytest.mark.parametrize(("data", "reason"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_file_that_is_no_picture_is_refused_with_the_name_of_its_field(data: bytes, reason: str) -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT, png(), png(content=data)))
        assert reason in await refused(response, 400, served, "references[1]")


@pytest.mark.parametrize(
    ("mask", "reason"),
    [(PNG, "must have transparency"), (SMALL_MASK, "as large as the first reference, 48x32"), (WEBP, "must be a PNG")],
)
async def test_a_mask_that_does_not_fit_is_refused(mask: bytes, reason: str) -> None:
    async with serving() as served:
        assert reason in await refused(await send(served, form(PROMPT, png(), png("mask", mask))), 400, served, "mask")


async def test_a_mask_needs_a_reference() -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT, png("mask", MASK)))
        assert "needs a reference" in await refused(response, 400, served, "mask")


async def test_seventeen_references_are_refused() -> None:
    async with serving() as served:
        parent = (await served.post()).json()["guid"]
        guid = part("references", parent)
        for parts in ([png()] * 17, [guid] * 17, [guid] * 8 + [png()] * 9):
            detail = await refused(await send(served, form(PROMPT, *parts)), 400, served, "references", images=1)
            assert "at most 16" in detail
        assert (await send(served, form(PROMPT, *[png()] * 16))).status_code == 200
        assert len(served.requests[-1].references) == 16
        as_json = await served.post({"prompt": "a fox", "references": [parent] * 17})
        problem(as_json, 400, "references")


async def test_a_guid_that_the_asker_may_not_read_is_not_found() -> None:
    async with serving() as served:
        secret = (await served.post(path="/private/image", auth=BOB)).json()["guid"]
        found = set()
        for guid in (secret, str(uuid4())):
            for response in (
                await send(served, form(PROMPT, png(), part("references", guid))),
                await served.post({"prompt": "a fox", "references": [secret, guid][-1:]}),
            ):
                detail = await refused(response, 404, served, images=1)
                assert detail.startswith("references[")
                found.add(detail.partition(":")[2].replace(guid, "GUID"))
        assert len(found) == 1


async def test_the_same_guid_can_be_there_twice() -> None:
    async with serving() as served:
        parent = (await served.post()).json()["guid"]
        response = await send(served, form(PROMPT, *[part("references", parent)] * 2))
        assert response.status_code == 200
        assert [str(reference.guid) for reference in served.requests[-1].references] == [parent] * 2


async def test_a_huge_file_is_refused_at_the_limit_and_read_no_further() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield PROMPT + png()[:-2] + b"\r\n" + png()[: -len(PNG) - 2] + PNG
        while sent < 1024 * MIB:
            sent += MIB
            yield bytes(MIB)

    async with serving(with_settings(max_upload=3 * MIB)) as served:
        response = await send(served, endless())
        detail = await refused(response, 413, served, "references[1]")
        assert detail == "references[1] has more than 3,145,728 bytes."
        assert response.json()["type"] == "urn:pixyproxy:problem:upload-too-large"
        assert response.headers["Connection"] == "close"
        assert sent <= 5 * MIB


async def test_an_announced_length_beyond_the_limit_is_refused_before_the_body_is_read() -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("The body was read.")
        yield b""

    async with serving() as served:
        headers = {"Content-Length": str(10**10)}
        detail = await refused(await send(served, unread(), headers=headers), 413, served)
        assert "The body is larger than" in detail


LARGE = {
    "texts": form(PROMPT, *[part("tags", "x" * (MIB // 4))] * 5),
    "one text": form(part("prompt", "x" * (MIB + 1))),
    "parts": form(PROMPT, *[part("tags", "x")] * 200),
    "header": form(part("prompt", "a fox", None, f"X-Header: {'x' * 5_000}")),
    "headers": form(part("prompt", "a fox", None, *[f"X-{number}: x" for number in range(20)])),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
async def test_too_much_of_anything_is_too_large(body: bytes) -> None:
    async with serving() as served:
        await refused(await send(served, png() + body), 413, served)


BAD_PARTS: dict[str, tuple[bytes, Sequence[str], str]] = {
    "no name": (part(None, "text"), (), "Part 2 of the form has no name."),
    "empty name": (part("", "text"), (), "Part 2 of the form has no name."),
    "unknown text": (part("colour", "red"), ("colour",), "unknown field"),
    "unknown file": (png("picture"), ("picture",), "must be text, not a file"),
    "file for a text": (part("size", "1024x1024", "size.txt"), ("size",), "must be text, not a file"),
    "text for a file": (part("reference", "text"), ("reference",), "must be a file"),
    "twice": (part("prompt", "another"), ("prompt",), "must not be there twice"),
    "mask twice": (png("mask", MASK) + part("mask", str(uuid4())), ("mask",), "must not be there twice"),
    "two masks": (png("mask", MASK) + png("mask", MASK), ("mask",), "must not be there twice"),
    "no number": (part("output_compression", "80 %"), ("output_compression",), "Expected `int | null`, got `str`"),
    "fraction": (part("partial_images", "1.5"), ("partial_images",), "Expected `int | null`, got `str`"),
    "n": (part("n", "2"), ("n",), "/image/batch"),
    "no guid": (part("references", "fox.png"), ("references[0]",), "Invalid UUID"),
    "no json": (part("extra", "{"), ("extra",), "must be JSON"),
    "json twice": (part("extra", '{"a": 1, "a": 2}'), ("a",), "must not be there twice"),
    "no object": (part("extra", "[]"), ("extra",), "Expected `object | null`, got `array`"),
    "not utf-8": (part("tags", b"\xff\xfe"), ("tags",), "must be text in UTF-8"),
    "charset": (part("tags", "x", None, "Content-Type: text/plain; charset=utf-16"), ("tags",), "text in UTF-8"),
    "media type": (part("tags", "x", None, "Content-Type: image/png"), ("tags",), "must be text in UTF-8"),
    "base64": (part("tags", "eA==", None, "Content-Transfer-Encoding: base64"), ("tags",), "no Content-Transfer"),
    "no disposition": (f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode(), (), "malformed after part 1"),
    "attachment": (f"--{BOUNDARY}\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n".encode(), (), "Wrong type"),
    "bare line ends": (part("tags", "x").replace(b"\r\n", b"\n"), (), "malformed after part 1"),
    "no colon": (f"--{BOUNDARY}\r\nContent-Disposition\r\n\r\nx\r\n".encode(), (), "malformed after part 1"),
    "name not utf-8": (part("t", "x").replace(b'"t"', b'"\xff"'), (), "after part 1: its head must be text in UTF-8."),
    "encoded file name": (
        png().replace(b'filename="', b"filename*=\"UTF-8''"),
        ("reference",),
        "must be a file with a `filename`",
    ),
}


@pytest.mark.parametrize(("parts", "fields", "reason"), BAD_PARTS.values(), ids=BAD_PARTS)
async def test_a_malformed_part_is_refused_by_name(parts: bytes, fields: Sequence[str], reason: str) -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT, parts, png()))
        assert reason in await refused(response, 400, served, *fields)


async def test_too_many_parts_are_refused_with_their_number() -> None:
    async with serving() as served:
        detail = await refused(await send(served, LARGE["parts"]), 413, served)
        assert detail == "The form has more than 128 parts."


async def test_a_form_without_a_prompt_is_refused() -> None:
    async with serving() as served:
        await refused(await send(served, form(png())), 400, served, "prompt")
        await refused(await send(served, form()), 400, served, "prompt")
        await refused(await send(served, form(part("prompt", "  "), png())), 400, served, "prompt")


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", "; boundary=another", f"; boundary={'x' * 201}", "; boundary=<>"]
)
async def test_a_wrong_boundary_is_refused(boundary: str) -> None:
    async with serving() as served:
        detail = await refused(await send(served, form(PROMPT, png()), boundary=boundary), 400, served)
        assert "boundary" in detail


@pytest.mark.parametrize(
    "media_type", ["multipart/mixed", "application/x-www-form-urlencoded", "text/plain", "image/png"]
)
async def test_other_media_types_are_refused(media_type: str) -> None:
    async with serving() as served:
        response = await send(served, form(PROMPT), headers={"Content-Type": f"{media_type}; boundary={BOUNDARY}"})
        assert "application/json or multipart/form-data" in await refused(response, 415, served)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
async def test_a_body_that_breaks_off_is_refused(share: float) -> None:
    body = form(PROMPT, png(), png())
    async with serving() as served:
        response = await send(served, body[: int(len(body) * share)])
        assert "breaks off" in await refused(response, 400, served)


async def test_a_client_that_leaves_leaves_nothing() -> None:
    """Where the server tells, as uvicorn does."""
    async with serving() as served:
        messages = [
            {"type": "http.request", "body": form(PROMPT, png(), png(), end=b"")[:-20], "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def answer(message: Any) -> None:
            sent.append(message)

        request = served.client.build_request(
            "POST", "/image", headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        )
        authorized = next(BasicAuth(*ANN).auth_flow(request))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/image",
            "raw_path": b"/image",
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in authorized.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "scheme": "http",
            "root_path": "",
        }
        await served.app(scope, receive, answer)  # type: ignore[arg-type]
        assert sent[0]["status"] == 400
        assert await uploads(served) == []


async def test_a_body_that_takes_too_long_is_refused() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield form(PROMPT, png(), end=b"")
        await asyncio.sleep(60)

    async with serving(with_settings(upload_timeout=0.2)) as served:
        detail = await refused(await send(served, slow()), 408, served)
        assert detail == "The body took longer than 0.2 seconds."


async def unread_body() -> AsyncIterator[bytes]:
    raise AssertionError("The body was read.")
    yield b""


@pytest.mark.parametrize("path", ["/image", "/private/image"])
@pytest.mark.parametrize("anonymous_create", [True, False])
async def test_the_body_of_a_client_without_login_is_not_read(path: str, anonymous_create: bool) -> None:
    async with serving(with_settings(anonymous_create=anonymous_create)) as served:
        await refused(await send(served, unread_body(), path=path, auth=None), 401, served)
        await refused(await send(served, unread_body(), path=path, auth=("ann", "wrong")), 401, served)


async def test_the_body_is_not_read_when_no_image_would_be_admitted() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=0), generator=generator) as served:
        first = served.post_later()
        await generator.is_drawing.wait()
        response = await send(served, unread_body())
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert await uploads(served) == []
        generator.go_on()
        assert (await first).status_code == 200


async def test_the_body_is_not_read_when_it_could_not_be_stored() -> None:
    class Full(InMemoryContentStore):
        async def check(self) -> None:
            raise ContentStoreError("The content store is full.")

    async with serving(upload_contents=Full()) as served:
        assert await refused(await send(served, unread_body()), 503, served) == "The content store is full."


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.testserver"},
    ],
)
@pytest.mark.parametrize("path", ["/image", "/private/image"])
async def test_a_form_on_another_site_is_refused_before_it_is_read(headers: Mapping[str, str], path: str) -> None:
    """Browsers send it with the user's login, and don't ask before."""
    async with serving() as served:
        await refused(await send(served, unread_body(), headers=headers, path=path), 403, served)


async def test_a_form_on_a_page_of_the_service_itself_is_taken() -> None:
    async with serving() as served:
        for headers in ({"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await send(served, form(PROMPT, png()), headers=headers)).status_code == 200


async def test_a_file_that_was_not_chosen_counts_as_none() -> None:
    """This is what browsers send for it."""
    async with serving() as served:
        empty = part("mask", "", "", "Content-Type: application/octet-stream")
        assert (await send(served, form(PROMPT, empty))).status_code == 200
        assert served.requests[0].pictures == ()


async def test_an_image_that_fails_keeps_its_uploads() -> None:
    async with serving() as served:
        served.container.generator().fail_next(ZeroDivisionError())
        response = await send(served, form(PROMPT, png()))
        assert response.status_code == 500
        assert len(await served.all_stored()) == 1
        assert len(await uploads(served)) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    data=st.data(),
    pieces=st.lists(
        st.sampled_from([PROMPT, png(), png("mask", MASK), part("tags", "x"), part("n", "1"), b"\r\n", b"--", b"junk"]),
        max_size=6,
    ),
)
async def test_any_body_is_answered_and_leaves_no_upload_that_no_image_refers_to(
    data: st.DataObject, pieces: list[bytes]
) -> None:
    body = form(*pieces)
    cut = data.draw(st.integers(0, len(body)))
    noise = data.draw(st.binary(max_size=3))
    size = data.draw(st.integers(20, 2_000))
    body = body[:cut] + noise + body[cut:]

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async with serving() as served:
        response = await send(served, chunks())
        assert response.status_code in {200, 400, 413}
        used = {
            picture.upload.content.sha256
            for image in await served.all_stored()
            for picture in image.request.pictures
            if picture.upload
        }
        assert set(await uploads(served)) == used
        if response.status_code != 200:
            assert used == set()
