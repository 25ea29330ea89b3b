"""JSON bodies of POST /v1/images/edits: pictures as URLs."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.domain.errors import (
    DataValidationError,
    OverloadedError,
    PictureUnavailableError,
    PixyProxyException,
    UploadTooLargeError,
)
from pixyproxy.domain.ports import PictureSource
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest
from tests import odd_pictures
from tests.unit.entrypoints.http.openai.reading import OPENAI, OpenAILike, Reading, about, reading

PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
JPEG = odd_pictures.encoded(odd_pictures.gradient(), "JPEG")
MASK = odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG")
PROMPT = {"prompt": "a red fox", "model": "gpt-image-2"}


def data_url(content: bytes = PNG, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


class OneOrigin(PictureSource):
    """Has a picture at one URL."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        if url != "https://images.example.com/fox.jpg":
            raise PictureUnavailableError("It is at an origin that is not allowed.")

        async def chunks() -> AsyncIterator[bytes]:
            yield JPEG

        yield chunks()


@asynccontextmanager
async def editing(**options: Any) -> AsyncIterator[Reading]:
    async with reading(**options, generator=OpenAILike(), picture_source=OneOrigin()) as requests:
        yield requests


async def read(body: object, **options: Any) -> ImagesRequest:
    async with editing() as requests:
        return await requests.edit(body, **options)


async def refused(body: object) -> str:
    async with editing() as requests:
        with pytest.raises(DataValidationError) as caught:
            await requests.edit(body)
        assert await requests.kept() == []
    return about(caught.value)


def types_of(asked: ImagesRequest) -> list[str]:
    return [reference.upload.content.media_type for reference in asked.request.references if reference.upload]


async def test_case_7_pictures_are_data_urls() -> None:
    body = {
        **PROMPT,
        "images": [{"image_url": data_url()}, {"image_url": data_url(JPEG, "image/jpeg")}],
        "mask": {"image_url": data_url(MASK)},
        "n": 2,
        "quality": "high",
    }
    asked = await read(body, headers={"x-codex-image-turn-id": "t-1"})

    assert (asked.is_edit, asked.count, asked.request.quality) == (True, 2, "high")
    assert types_of(asked) == ["image/png", "image/jpeg"]
    assert asked.request.mask is not None
    assert asked.request.extra is None


@pytest.mark.parametrize("name", ["image", "images"])
@pytest.mark.parametrize(
    "pictures", [data_url(), [data_url()], {"image_url": data_url()}, [{"image_url": data_url(), "file_id": None}]]
)
async def test_pictures_have_any_spelling(name: str, pictures: object) -> None:
    assert types_of(await read({**PROMPT, name: pictures})) == ["image/png"]


async def test_a_mask_may_be_a_text() -> None:
    assert (await read({**PROMPT, "images": [data_url()], "mask": data_url(MASK)})).request.mask is not None


async def test_a_picture_may_be_fetched_from_where_the_operator_allows_it() -> None:
    urls = ["https://images.example.com/fox.jpg", data_url()]
    asked = await read({**PROMPT, "images": [{"image_url": url} for url in urls]})

    assert types_of(asked) == ["image/jpeg", "image/png"]
    first = asked.request.references[0].upload
    assert first is not None
    assert first.filename == "fox.jpg"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data", "https://example.org/a.png", "HTTP://[::1]/", "https:"]
)
async def test_a_picture_elsewhere_is_refused(url: str) -> None:
    body = {**PROMPT, "images": [{"image_url": data_url()}, {"image_url": url}]}

    assert (await refused(body)).startswith("image can't be fetched")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "image is needed"),
        ({"images": []}, "image is needed"),
        ({"image": None, "images": None}, "image is needed"),
        ({"image": ""}, "image is needed"),
        ({"mask": data_url(MASK)}, "image is needed"),
        ({"images": [data_url()] * 17}, "image must be at most 16, not 17"),
        ({"images": [data_url()], "image": data_url()}, "image must not be there beside"),
        ({"images": [{"file_id": "file-1"}]}, "image can't be a `file_id`"),
        ({"images": [data_url()], "mask": {"file_id": "file-1"}}, "mask can't be a `file_id`"),
        ({"images": [{}]}, "image must be a data: URL"),
        ({"images": [None]}, "image must be a data: URL"),
        ({"images": [7]}, "image must be a data: URL"),
        ({"images": 7}, "image must be a data: URL"),
        ({"images": [{"image_url": {"url": data_url()}}]}, "image must be a data: URL"),
        ({"images": [base64.b64encode(PNG).decode()]}, "image must be a data: URL"),
        ({"images": ["file:///etc/passwd"]}, "image must be a data: URL"),
        ({"images": ["ftp://example.org/a.png"]}, "image must be a data: URL"),
        ({"images": ["😀"]}, "image must be a data: URL"),
        ({"images": [data_url()], "mask": "file:///etc/passwd"}, "mask must be a data: URL"),
        ({"images": ["data:image/png;base64"]}, "image must have a comma"),
        ({"images": ["data:image/png;base64,"]}, "image must not be an empty file"),
        ({"images": ["data:image/png;base64,####"]}, "image must be base64"),
        ({"images": [data_url(b"no picture")]}, "image can't be used"),
        ({"images": [data_url()], "mask": data_url(b"no picture")}, "mask can't be used"),
        ({"images": [data_url()], "n": "2"}, "n must be a whole number"),
        ({"images": [data_url()], "size": "banana"}, "size must be auto, 1024x1024"),
    ],
)
async def test_a_bad_picture_is_refused_by_the_name_of_its_field(fields: dict[str, Any], said: str) -> None:
    assert (await refused({**PROMPT, **fields})).startswith(said)


async def test_pictures_are_not_decoded_for_a_request_that_is_refused_anyway() -> None:
    assert (await refused({"prompt": 1, "images": ["data:,no picture"]})) == "prompt must be text"


async def test_a_picture_has_the_size_that_an_upload_may_have() -> None:
    async with editing(settings=msgspec.structs.replace(OPENAI, max_upload=3 << 20)) as requests:
        with pytest.raises(UploadTooLargeError, match="image has more than"):
            await requests.edit({**PROMPT, "images": [data_url(b"\0" * (4 << 20))]})
        assert await requests.kept() == []


async def test_login_and_room_are_checked_before_the_body_is_read() -> None:
    async with editing() as requests:
        requests.container.dispatcher().stop()
        with pytest.raises(OverloadedError):
            await requests.edit({**PROMPT, "images": [data_url()]})
        assert requests.received == 0


_PICTURES = st.one_of(
    st.just(data_url()), st.just("https://images.example.com/fox.jpg"), st.text(max_size=10), st.none(), st.integers()
)
_OBJECTS = st.one_of(_PICTURES, st.dictionaries(st.sampled_from(["image_url", "file_id", "x"]), _PICTURES, max_size=2))
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(blacklist_categories=["Cs"]), max_size=10),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abkeyt_", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        "prompt",
        "n",
        "size",
        "quality",
        "stream",
        "model",
        "metadata",
        "user",
        "seed",
        "extra",
        "tags",
        "mask",
        "response_format",
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(_FIELDS, _VALUES, max_size=5),
    st.dictionaries(
        st.sampled_from(["image", "images", "mask"]), st.one_of(_OBJECTS, st.lists(_OBJECTS, max_size=3)), max_size=2
    ),
)
def test_any_object_is_read_or_refused_by_an_error_of_the_domain(
    fields: dict[str, Any], pictures: dict[str, Any]
) -> None:
    async def check() -> None:
        async with editing() as requests:
            try:
                asked = await requests.edit({**PROMPT, **fields, **pictures})
            except PixyProxyException:
                assert await requests.kept() == []
            else:
                asked.request.ensure_valid()
                assert asked.request.references

    asyncio.run(check())
