"""Forms of POST /v1/images/edits, as clients send them and as they should not."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from pixyproxy.domain.errors import (
    BadRequestError,
    DataValidationError,
    OverloadedError,
    PixyProxyException,
    UnauthorizedError,
    UploadTooLargeError,
)
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest
from tests import odd_pictures
from tests.factories import PendingImageFactory
from tests.unit.entrypoints.http.openai.reading import OPENAI, OpenAILike, about, reading

BOUNDARY = "58b12aaef50cee116ea239e598846398"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
JPEG = odd_pictures.encoded(odd_pictures.gradient(), "JPEG")
WEBP = odd_pictures.encoded(odd_pictures.gradient(), "WEBP")
MASK = odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG")
OCTETS = "application/octet-stream"


def text(name: str, content: str) -> bytes:
    """Return a text part as openai-py sends it."""
    return part(f'name="{name}"', content.encode())


def file(name: str, content: bytes = PNG, filename: str = "upload", media_type: str | None = OCTETS) -> bytes:
    """Return a file part as openai-py sends it."""
    kind = () if media_type is None else (f"Content-Type: {media_type}",)
    return part(f'name="{name}"; filename="{filename}"', content, *kind)


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


PROMPT = text("prompt", "a red fox")


async def read(*parts: bytes, **options: Any) -> ImagesRequest:
    async with reading(generator=OpenAILike()) as requests:
        return await requests.edit(form(*parts), content_type=FORM, **options)


async def refused(*parts: bytes) -> str:
    async with reading(generator=OpenAILike()) as requests:
        with pytest.raises(DataValidationError) as caught:
            await requests.edit(form(*parts), content_type=FORM)
        assert await requests.kept() == []
    return about(caught.value)


def names_of(asked: ImagesRequest) -> Sequence[str]:
    return [reference.upload.filename for reference in asked.request.references if reference.upload]


def types_of(asked: ImagesRequest) -> Sequence[str]:
    return [reference.upload.content.media_type for reference in asked.request.references if reference.upload]


async def test_one_picture_and_a_prompt_are_enough() -> None:
    asked = await read(PROMPT, file("image"))

    assert (asked.is_edit, asked.count, asked.is_stream, asked.answers_url) == (True, 1, False, False)
    assert (asked.request.prompt, names_of(asked)) == ("a red fox", ["upload"])


async def test_cases_1_2_3_a_single_file_may_be_a_list_of_one() -> None:
    assert (
        len((await read(PROMPT, file("image[]", filename="2f1e.png", media_type="image/png"))).request.references) == 1
    )


async def test_case_4_several_files_keep_their_order() -> None:
    asked = await read(
        file("image[]", PNG), file("image[]", JPEG, media_type="image/jpeg"), PROMPT, file("image[]", WEBP)
    )

    assert types_of(asked) == ["image/png", "image/jpeg", "image/webp"]


async def test_case_5_one_mask_is_one_mask() -> None:
    asked = await read(PROMPT, file("image", filename="a.png"), file("mask", MASK))

    assert asked.request.mask is not None
    assert len(asked.request.references) == 1
    assert (
        await refused(PROMPT, file("image"), file("mask", MASK), file("mask", MASK)) == "mask must not be there twice"
    )


async def test_case_6_files_and_texts_both_arrive() -> None:
    asked = await read(text("model", "gpt-image-1.5"), PROMPT, text("size", "1024x1536"), file("image"))

    assert (asked.request.model, asked.request.size, len(asked.request.references)) == ("gpt-image-1.5", "1024x1536", 1)


@pytest.mark.parametrize("parts", [[], [part('name="image"; filename=""', b"", f"Content-Type: {OCTETS}")]])
async def test_case_8_an_edit_without_a_picture_is_refused_by_name(parts: list[bytes]) -> None:
    assert (await refused(PROMPT, *parts, text("model", "gpt-image-2"))).startswith("image is needed")


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "image[3]", "images", "images[]"])
async def test_a_picture_has_any_spelling(name: str) -> None:
    assert len((await read(PROMPT, file(name), file(name, JPEG))).request.references) == 2


@pytest.mark.parametrize("name", ["mask", "mask[]", "mask[0]"])
async def test_so_has_a_mask(name: str) -> None:
    assert (await read(PROMPT, file("image"), file(name, MASK))).request.mask is not None


@pytest.mark.parametrize("filename", ["upload", "blob", "unknown_file", "image.png", "füchse 狐.png", "x" * 300])
async def test_a_file_has_any_name(filename: str) -> None:
    assert names_of(await read(PROMPT, file("image", filename=filename))) == [filename[:255]]


@pytest.mark.parametrize("media_type", [OCTETS, "image/png", "image/jpeg", "text/plain", None])
async def test_the_bytes_of_a_file_decide_what_it_is(media_type: str | None) -> None:
    assert types_of(await read(PROMPT, file("image", WEBP, media_type=media_type))) == ["image/webp"]


@pytest.mark.parametrize("media_type", [OCTETS, "image/png", "image/jpeg"])
async def test_a_file_may_have_no_name_if_its_type_says_what_it_is(media_type: str) -> None:
    asked = await read(PROMPT, part('name="image"', PNG, f"Content-Type: {media_type}"))

    assert names_of(asked) == ["upload.png"]


@pytest.mark.parametrize("content", [b"data:image/png;base64,AAAA", PNG, b"https://example.org/a.png"])
@pytest.mark.parametrize("headers", [(), ("Content-Type: text/plain",)])
@pytest.mark.parametrize("name", ["image", "image[]", "mask"])
async def test_text_in_place_of_a_picture_is_refused(name: str, headers: tuple[str, ...], content: bytes) -> None:
    said = await refused(PROMPT, file("image"), part(f'name="{name}"', content, *headers))

    assert said.startswith(f"{name.removesuffix('[]')} must be a file")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([file("image", b"")], "image must not be an empty file"),
        ([file("image", b"no picture")], "image can't be used"),
        ([file("image", PNG[:-20])], "image can't be used"),
        ([file("image"), file("mask", b"")], "mask must not be an empty file"),
        ([file("mask", MASK)], "image is needed"),
        ([file("image"), text("n", "0")], "n must be 1 to 10"),
        ([file("image"), text("n", "two")], "n must be a whole number"),
        ([file("image"), text("stream", "maybe")], "stream must be true or false"),
        ([file("image"), text("response_format", "file")], "response_format must be"),
        ([file("image"), text("size", "banana")], "size must be auto, 1024x1024"),
        ([file("image"), text("n", "1"), text("n", "1")], "n must not be there twice"),
        ([file("image"), file("model", b"gpt-image-2")], "model must be text"),
        ([file("image"), part('name="size"', b"\xff")], "size must be text in UTF-8"),
        ([file("image"), text("metadata", "fox")], "metadata must be JSON"),
        ([file("image"), text("metadata[tags]", "fox")], "metadata must have"),
        ([part('name="image"; filename="a"', PNG, "Content-Transfer-Encoding: base64")], "image must have no Content"),
    ],
)
async def test_a_bad_part_is_refused_by_the_name_of_its_field(parts: list[bytes], said: str) -> None:
    assert (await refused(PROMPT, *parts)).startswith(said)


async def test_seventeen_pictures_are_too_many() -> None:
    assert await refused(PROMPT, *[file("image")] * 17) == "image must be at most 16"
    assert len((await read(PROMPT, *[file("image")] * 16)).request.references) == 16


async def test_texts_become_numbers_and_booleans() -> None:
    asked = await read(
        PROMPT,
        file("image"),
        text("n", "2"),
        text("stream", "true"),
        text("partial_images", "1"),
        text("output_compression", "50"),
        text("output_format", "webp"),
    )

    assert (asked.count, asked.is_stream, asked.request.partial_images) == (2, True, 1)
    assert asked.request.output_compression == 50
    assert not (await read(PROMPT, file("image"), text("stream", "False"))).is_stream


async def test_an_empty_text_is_not_given() -> None:
    empty = [text(name, "") for name in ("size", "n", "model", "user", "seed", "metadata")]

    assert await read(PROMPT, file("image"), *empty) == await read(PROMPT, file("image"))


async def test_brackets_are_nested_values() -> None:
    """openai-py sends objects and lists so."""
    asked = await read(
        PROMPT,
        text("svg[reasoning][effort]", "high"),
        text("meta[b][]", "1"),
        text("meta[b][]", "2"),
        text("flag", "true"),
        text("word", "a"),
        text("word", "b"),
        text("row[0][x]", "1"),
        text("row[1][x]", "2"),
        text("metadata[tags][]", "fox"),
        text("metadata[tags][]", "red"),
        text("metadata[visibility]", "public"),
        text("metadata[ticket]", "T-1"),
        file("image"),
    )

    assert asked.request.extra == {
        "svg": {"reasoning": {"effort": "high"}},
        "meta": {"b": ["1", "2"]},
        "flag": "true",
        "word": ["a", "b"],
        "row": [{"x": "1"}, {"x": "2"}],
        "metadata": {"ticket": "T-1"},
    }
    assert (asked.tags, asked.visibility) == (["fox", "red"], "public")


async def test_a_text_takes_the_place_of_no_other() -> None:
    asked = await read(PROMPT, file("image"), text("a[1]", "x"), text("a", "y"), text("a", "z"))

    assert asked.request.extra == {"a": {"1": "x", "2": "y", "3": "z"}}


async def test_metadata_may_be_json() -> None:
    assert (await read(PROMPT, file("image"), text("metadata", '{"tags": ["fox"]}'))).tags == ["fox"]


async def test_what_nothing_can_be_done_with_is_ignored_and_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = await read(
        PROMPT,
        file("image"),
        file("sketch", b"x" * 100_000),
        part('name="raw"', b"\xff"),
        text("size[x]", "1"),
        text("a", "1"),
        text("a[b]", "2"),
        text("x" + "[y]" * 30, "3"),
        text("api_key", "secret-1"),
    )

    assert asked.request.extra == {"a": "1"}
    facts = vars(next(record for record in caplog.records if record.message == "unknown fields"))
    assert facts["kept"] == "a"
    assert [name[:8] for name in facts["dropped"].split(", ")] == [
        "sketch",
        "raw",
        "size[x]",
        "a[b]",
        "x[y][y][",
        "api_key",
    ]
    assert "secret-1" not in str(facts)


async def test_moderation_auto_is_no_option_of_edits() -> None:
    assert (await read(PROMPT, file("image"), text("moderation", "auto"))).request.moderation is None
    assert (await refused(PROMPT, file("image"), text("moderation", "low"))).startswith("moderation ")


async def test_input_fidelity_reaches_a_model_that_takes_it() -> None:
    parts = PROMPT, file("image"), text("input_fidelity", "high")

    assert (await read(*parts, text("model", "gpt-image-1.5"))).request.input_fidelity == "high"
    assert (await read(*parts, text("model", "gpt-image-2"))).request.input_fidelity is None


async def test_a_chunked_body_may_have_no_length() -> None:
    body = form(PROMPT, file("image"))
    pieces = [body[position : position + 7] for position in range(0, len(body), 7)]
    async with reading(generator=OpenAILike()) as requests:
        assert len((await requests.edit(b"", content_type=FORM, chunks=pieces)).request.references) == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_a_form_that_breaks_off_is_refused(share: float) -> None:
    body = form(PROMPT, file("image"), file("image", JPEG))
    piece = body[: int(len(body) * share)]
    for is_whole in (True, False):
        async with reading(generator=OpenAILike()) as requests:
            with pytest.raises(BadRequestError, match=r"breaks off|left before"):
                await requests.edit(b"", content_type=FORM, chunks=[piece], is_whole=is_whole)
            assert await requests.kept() == []


async def test_too_large_a_file_is_read_no_further_than_its_limit() -> None:
    mib = b"\0" * (1 << 20)
    head = PROMPT + file("image", b"").removesuffix(b"\r\n")
    async with reading(msgspec.structs.replace(OPENAI, max_upload=3 << 20), generator=OpenAILike()) as requests:
        with pytest.raises(UploadTooLargeError, match="image has more than") as caught:
            await requests.edit(b"", content_type=FORM, chunks=[head, *[mib] * 30])
        assert caught.value.field == "image"
        assert requests.received < 6 << 20
        assert await requests.kept() == []


async def test_login_and_room_are_checked_before_the_body_is_read() -> None:
    settings = msgspec.structs.replace(OPENAI, max_generations=1, max_waiting=0)
    async with reading(settings, generator=OpenAILike()) as requests:
        await requests.container.images().add(PendingImageFactory.build(author=requests.principal.name))
        with pytest.raises(OverloadedError):
            await requests.edit(form(PROMPT, file("image")), content_type=FORM)
        requests.principal = ANONYMOUS
        with pytest.raises(UnauthorizedError):
            await requests.edit(form(PROMPT, file("image")), content_type=FORM)
        assert requests.received == 0


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_another_media_type_is_told_which_to_send(content_type: str | None) -> None:
    async with reading() as requests:
        with pytest.raises(HTTPException) as caught:
            await requests.edit(b"", content_type=content_type)

    assert caught.value.status_code == 415
    assert caught.value.detail == "The Content-Type must be multipart/form-data or application/json."


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=ü"]
)
async def test_a_form_needs_a_boundary(content_type: str) -> None:
    async with reading() as requests:
        with pytest.raises(BadRequestError, match="boundary"):
            await requests.edit(form(PROMPT), content_type=content_type)


_NAMES = st.one_of(
    st.sampled_from(
        [
            "image",
            "image[]",
            "mask",
            "prompt",
            "n",
            "size",
            "stream",
            "metadata",
            "metadata[tags][]",
            "a[b]",
            "a[]",
            "a",
        ]
    ),
    st.text("ab[]0", min_size=1, max_size=8),
    st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters='"\\'), min_size=1, max_size=8),
)
_PARTS = st.one_of(
    st.builds(text, _NAMES, st.text(max_size=20)),
    st.builds(lambda name, content: part(f'name="{name}"', content), _NAMES, st.binary(max_size=20)),
    st.builds(file, _NAMES, st.one_of(st.just(PNG), st.binary(max_size=20))),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_PARTS, max_size=6), st.integers(1, 40))
def test_any_form_is_read_or_refused_by_an_error_of_the_domain(parts: list[bytes], step: int) -> None:
    async def check() -> None:
        body = form(*parts)
        pieces = [body[position : position + step] for position in range(0, len(body), step)]
        async with reading(generator=OpenAILike()) as requests:
            try:
                asked = await requests.edit(b"", content_type=FORM, chunks=pieces)
            except PixyProxyException:
                assert await requests.kept() == []
            else:
                asked.request.ensure_valid()
                assert asked.request.references

    asyncio.run(check())


def _nested(depth: int) -> Iterator[st.SearchStrategy[Any]]:
    value: st.SearchStrategy[Any] = st.text("xyz", min_size=1, max_size=3)
    for _ in range(depth):
        value = st.one_of(
            value,
            st.lists(value, min_size=1, max_size=3),
            st.dictionaries(st.text("abc", min_size=1, max_size=3), value, min_size=1, max_size=3),
        )
        yield value


def _spelt(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the parts of a nested value, lists by position."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _spelt(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _spelt(f"{name}[{position}]", inner)
    else:
        yield name, value


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(list(_nested(3))[-1])
def test_nested_values_survive_a_form(value: Any) -> None:
    parts = [text(name, content) for name, content in _spelt("value", value)]

    asked = asyncio.run(read(PROMPT, file("image"), *parts))

    assert asked.request.extra == {"value": value}
