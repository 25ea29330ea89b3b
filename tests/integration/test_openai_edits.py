"""Edits by the OpenAI adapter: what goes over the wire, and what a failure on the way costs."""

import asyncio
import hashlib
import re
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import openai
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.content import ContentInfo, ContentKey, MediaType
from pixyproxy.domain.errors import (
    ContentStoreError,
    GenerationBrokenOffError,
    GenerationError,
    GenerationNotStartedError,
    GenerationOptionError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorSetupError,
    GeneratorUnavailableError,
    ReferenceGoneError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import InputPicture, InputPictures, StoredContent, chunks_of
from pixyproxy.domain.reference import Reference, Upload
from tests.doubles.openai_server import OpenAIServer, Order
from tests.integration.conftest import Generators

PROMPT = "make it a winter night"


def a_picture(
    number: int = 0, media_type: MediaType = MediaType.PNG, *, filename: str = "a.png", data: bytes | None = None
) -> InputPicture:
    """Return a picture whose bytes are in memory."""
    output_format = media_type.removeprefix("image/")
    if data is None:
        data = Order({"prompt": f"picture {number}", "size": "64x64", "output_format": output_format}).picture()

    async def opened() -> StoredContent:
        return StoredContent(byte_size=len(data), chunks=chunks_of(data))

    content = ContentInfo(
        media_type=media_type, byte_size=len(data), sha256=hashlib.sha256(data).hexdigest(), width=64, height=64
    )
    return InputPicture(filename=filename, content=content, open=opened)


def large_picture(size: int) -> InputPicture:
    """Return a picture of `size` bytes that are never in memory at once."""
    piece = bytes(1 << 16)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        for start in range(4, size, len(piece)):
            yield piece[: size - start]

    async def opened() -> StoredContent:
        return StoredContent(byte_size=size, chunks=chunks())

    return msgspec.structs.replace(
        a_picture(),
        content=ContentInfo(media_type=MediaType.PNG, byte_size=size, sha256="0" * 64, width=64, height=64),
        open=opened,
    )


def an_edit(pictures: InputPictures, **options: Any) -> GenerationRequest:
    """Return the request for an edit of `pictures`."""

    def to_upload(picture: InputPicture) -> Reference:
        return Reference.to_upload(Upload(filename=picture.filename, content=picture.content))

    return GenerationRequest(
        prompt=PROMPT,
        references=tuple(map(to_upload, pictures.references)),
        mask=None if pictures.mask is None else to_upload(pictures.mask),
        **options,
    )


def of(*references: InputPicture, mask: InputPicture | None = None) -> InputPictures:
    return InputPictures(references=references, mask=mask)


ONE = of(a_picture())
TWO = of(a_picture(1), a_picture(2))


async def failure(generator: OpenAIImageGenerator, pictures: InputPictures = TWO, **options: Any) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await generator.generate(an_edit(pictures, **options), pictures=pictures)
    return raised.value


def files(server: OpenAIServer, number: int = -1) -> list[tuple[str, str | None, str, str]]:
    """Return the name, file name, media type and digest of the files of a request, in order."""
    form = server.requests[number].form
    assert form is not None
    return [
        (part.name, part.filename, part.media_type, part.sha256) for part in form.parts if part.filename is not None
    ]


def fields(server: OpenAIServer, number: int = -1) -> dict[str, str]:
    form = server.requests[number].form
    assert form is not None
    return form.fields


# What is sent


async def test_an_edit_is_a_picture(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    image = await generator.generate(an_edit(ONE), pictures=ONE)

    assert (image.width, image.height) == (64, 64)
    assert image.request_id == server.requests[0].request_id
    assert [(request.method, request.path) for request in server.requests] == [("POST", "/v1/images/edits")]
    assert server.billed == [PROMPT]


async def test_references_are_sent_in_order_and_the_mask_after_them(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    references = [
        a_picture(1),
        a_picture(2, MediaType.JPEG),
        a_picture(3, MediaType.WEBP),
        a_picture(1),
    ]
    mask = a_picture(5)
    pictures = of(*references, mask=mask)
    await generator.generate(an_edit(pictures), pictures=pictures)

    assert files(server) == [
        ("image[]", "image-1.png", "image/png", references[0].content.sha256),
        ("image[]", "image-2.jpg", "image/jpeg", references[1].content.sha256),
        ("image[]", "image-3.webp", "image/webp", references[2].content.sha256),
        ("image[]", "image-4.png", "image/png", references[0].content.sha256),
        ("mask", "mask.png", "image/png", mask.content.sha256),
    ]


async def test_sixteen_references_are_sent(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    pictures = of(*map(a_picture, range(16)))
    await generator.generate(an_edit(pictures), pictures=pictures)

    assert [digest for *_, digest in files(server)] == [picture.content.sha256 for picture in pictures.references]


async def test_options_that_are_set_are_sent_as_texts_and_no_others(
    server: OpenAIServer, generators: Generators
) -> None:
    await generators(size=None).generate(an_edit(ONE), pictures=ONE)
    options = {
        "model": "gpt-image-2",
        "size": "1536x864",
        "quality": "high",
        "output_format": "webp",
        "output_compression": 80,
        "background": "transparent",
        "input_fidelity": "high",
    }
    await generators().generate(an_edit(ONE, **options), pictures=ONE)

    assert fields(server, 0) == {"model": "gpt-image-2", "prompt": PROMPT, "n": "1"}
    assert fields(server, 1) == {**options, "output_compression": "80", "prompt": PROMPT, "n": "1"}


async def test_the_key_is_sent_and_compression_is_not_asked_for(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    await generator.generate(an_edit(ONE), pictures=ONE)
    headers = server.requests[0].headers

    assert headers["authorization"] == f"Bearer {server.api_key}"
    assert headers["accept-encoding"] == "identity"
    assert re.fullmatch(r"multipart/form-data; boundary=[0-9a-f]{32}", headers["content-type"])
    assert "transfer-encoding" not in headers
    assert int(headers["content-length"]) > ONE.references[0].content.byte_size


@pytest.mark.parametrize("filename", ["Füchse 🦊.png", 'a"b.png', "a\r\nX-Evil: 1.png", "x" * 255, "../../etc/passwd"])
async def test_names_of_uploads_are_not_sent(
    server: OpenAIServer, generator: OpenAIImageGenerator, filename: str
) -> None:
    pictures = of(a_picture(filename=filename), mask=a_picture(1, filename=filename))
    await generator.generate(an_edit(ONE), pictures=pictures)

    assert [name for _, name, *_ in files(server)] == ["image-1.png", "mask.png"]


@pytest.mark.parametrize("prompt", ["Füchse 🦊", 'a "fox"\r\nX-Evil: 1', "--" + "0" * 32, "\u2028", "%0D%0A"])
async def test_any_prompt_arrives(server: OpenAIServer, generator: OpenAIImageGenerator, prompt: str) -> None:
    await generator.generate(msgspec.structs.replace(an_edit(ONE), prompt=prompt), pictures=ONE)

    assert fields(server)["prompt"] == prompt
    assert len(files(server)) == 1


async def test_it_is_what_the_official_client_sends(server: OpenAIServer, generators: Generators) -> None:
    extra = {"svg": {"model": "gpt-6", "reasoning": {"effort": "low"}}, "list": [1, "b"], "true": True, "none": None}
    pictures = of(a_picture(1), a_picture(2), mask=a_picture(3))
    server.script("ok", "ok")
    generator = generators(send_extra=True)
    with pytest.raises(GenerationError):
        await generator.generate(an_edit(pictures, quality="low", extra=extra), pictures=pictures)
    async with openai.AsyncOpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError):
            await client.images.edit(
                model="gpt-image-2",
                prompt=PROMPT,
                n=1,
                size="64x64",
                quality="low",
                image=[(f"image-{n}.png", await whole(pictures.references[n - 1]), "image/png") for n in (1, 2)],
                mask=("mask.png", await whole(pictures.mask), "image/png"),
                extra_body=extra,
            )
    ours, theirs = (request.form for request in server.requests)

    assert ours is not None
    assert theirs is not None
    assert sorted((p.name, p.content) for p in ours.parts if p.filename is None) == sorted(
        (p.name, p.content) for p in theirs.parts if p.filename is None
    )
    assert files(server, 0) == files(server, 1)


async def whole(picture: InputPicture | None) -> bytes:
    assert picture is not None
    return b"".join([chunk async for chunk in (await picture.open()).chunks])


# Errors


@pytest.mark.parametrize(
    ("behaviour", "expected", "is_billed"),
    [
        ("drop", GenerationBrokenOffError, True),
        ("cut", GenerationBrokenOffError, True),
        ("reset", GenerationBrokenOffError, True),
        ("error 502", GenerationBrokenOffError, True),
        ("error 503", GeneratorUnavailableError, True),
        ("hang", GenerationTimedOutError, True),
        ("bad-key", "GeneratorCredentialsError", False),
        ("refuse", "GenerationRefusedError", False),
        ("html", "GenerationFailedError", True),
        ("no-data", "GenerationFailedError", True),
        ("redirect", GeneratorSetupError, False),
    ],
)
async def test_a_whole_request_fails_as_a_generation_does(
    server: OpenAIServer, generators: Generators, behaviour: str, expected: type[GenerationError] | str, is_billed: bool
) -> None:
    server.script(behaviour)
    error = await failure(generators(timeout=1, size="256x256"))

    assert type(error).__name__ == getattr(expected, "__name__", expected)
    assert error.maybe_billed is is_billed
    assert len(server.requests) == 1


@pytest.mark.parametrize("behaviour", ["cut-upload 1000", "reset-upload 1000", "cut-upload 0"])
async def test_a_request_that_breaks_off_on_its_way_is_not_billed_and_sent_again_as_a_whole(
    server: OpenAIServer, generator: OpenAIImageGenerator, pauses: list[float], behaviour: str
) -> None:
    pictures = of(large_picture(8 << 20), a_picture(2))
    server.script(behaviour)
    image = await generator.generate(an_edit(pictures), pictures=pictures)

    assert image.data
    assert pauses == [0.75]
    assert [request.form.is_complete for request in server.requests if request.form] == [False, True]
    assert [digest for *_, digest in files(server)][1] == pictures.references[1].content.sha256
    assert server.billed == [PROMPT]


async def test_a_request_that_breaks_off_each_time_is_not_billed(
    server: OpenAIServer, generator: OpenAIImageGenerator, pauses: list[float]
) -> None:
    server.script(*["cut-upload 1000"] * 4)
    error = await failure(generator, of(large_picture(8 << 20)))

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed
    assert len(server.requests) == 3
    assert server.billed == []


async def test_a_request_that_is_not_taken_in_time_is_not_billed(server: OpenAIServer, generators: Generators) -> None:
    server.script("stall-upload 100000")
    error = await failure(generators(timeout=1), of(large_picture(64 << 20)))

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("early 401", GeneratorCredentialsError), ("early 413", GenerationOptionError)]
)
async def test_an_answer_before_the_whole_request_was_sent_is_heard(
    server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str, kind: type[GenerationError]
) -> None:
    server.script(behaviour)
    error = await failure(generator, of(large_picture(8 << 20)))

    assert type(error) is kind
    assert error.field == ("references" if kind is GenerationOptionError else None)
    assert f"status {behaviour.removeprefix('early ')}" in error.detail
    assert not error.maybe_billed
    assert len(server.requests) == 1


async def test_a_rate_limited_edit_opens_its_files_again(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    opened: list[int] = []

    def counted(number: int) -> InputPicture:
        picture = a_picture(number)

        async def counted_open() -> StoredContent:
            opened.append(number)
            return await picture.open()

        return msgspec.structs.replace(picture, open=counted_open)

    pictures = of(counted(1), counted(2))
    server.script("rate-limit 1", "rate-limit 1")
    await generator.generate(an_edit(pictures), pictures=pictures)

    assert opened == [1, 2] * 3
    assert files(server, 0) == files(server, 1) == files(server, 2)
    assert len({request.headers["content-type"] for request in server.requests}) == 3


# Files


def unreadable(error: Exception, after: int = 0) -> InputPicture:
    """Return a picture whose reading fails after this many bytes."""

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(after)
        raise error

    async def opened() -> StoredContent:
        if not after:
            raise error
        return StoredContent(byte_size=1_000_000, chunks=chunks())

    return msgspec.structs.replace(large_picture(1_000_000), open=opened)


def of_another_size(size: int) -> InputPicture:
    """Return a picture that has `size` bytes instead of 1,000,000."""
    return msgspec.structs.replace(large_picture(1_000_000), open=large_picture(size).open)


def gone() -> InputPicture:
    store = InMemoryContentStore()
    return msgspec.structs.replace(large_picture(1_000_000), open=lambda: store.open(ContentKey("none")))


@pytest.mark.parametrize(
    ("picture", "expected", "words"),
    [
        (gone(), ReferenceGoneError, "references[1] is gone"),
        (of_another_size(999_999), ReferenceGoneError, "references[1] is damaged"),
        (of_another_size(1_000_001), ReferenceGoneError, "references[1] is damaged"),
        (of_another_size(10), ReferenceGoneError, "references[1] is damaged"),
        (unreadable(ContentStoreError("a path")), GenerationNotStartedError, "references[1] could not be read"),
        (
            unreadable(ContentStoreError("a path"), 500_000),
            GenerationNotStartedError,
            "references[1] could not be read",
        ),
    ],
)
async def test_a_file_that_can_not_be_sent_as_announced_is_an_unbilled_error_and_not_tried_again(
    server: OpenAIServer,
    generator: OpenAIImageGenerator,
    picture: InputPicture,
    expected: type[GenerationError],
    words: str,
) -> None:
    error = await failure(generator, of(a_picture(), picture, a_picture()))

    assert type(error) is expected
    assert error.detail == f"{words}; nothing was bought."
    assert not error.maybe_billed
    assert server.billed == []
    assert len(server.requests) <= 1
    assert not any(request.form and request.form.is_complete for request in server.requests)


async def test_a_mask_that_is_gone_is_named(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    assert (await failure(generator, of(a_picture(), mask=gone()))).detail == "mask is gone; nothing was bought."


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ('{"error": {"code": "invalid_image_file", "param": "image"}}', "references"),
        ('{"error": {"code": "unsupported_file_mimetype", "param": "image[0]"}}', "references"),
        ('{"error": {"code": "invalid_value", "param": "mask"}}', "mask"),
        ('{"error": {"code": "invalid_value", "param": "input_fidelity"}}', "input_fidelity"),
        ('{"error": {"code": "invalid_value", "param": "partial_images"}}', "partial_images"),
        ('{"error": {"code": "invalid_value", "param": "stream"}}', "partial_images"),
    ],
)
async def test_what_openai_does_not_take_of_an_edit_is_named_as_the_field_of_the_request(
    server: OpenAIServer, generator: OpenAIImageGenerator, error: str, field: str
) -> None:
    pictures = of(a_picture(), mask=a_picture(1))
    server.script(f"says 400 {error}")
    found = await failure(generator, pictures, input_fidelity="high", partial_images=1)

    assert isinstance(found, GenerationOptionError)
    assert found.field == field
    assert not found.maybe_billed


async def test_another_failure_while_a_file_is_read_is_a_fault_and_not_billed(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    error = await failure(generator, of(unreadable(RuntimeError("a bug"), 500_000)))

    assert type(error).__name__ == "GenerationFaultError"
    assert not error.maybe_billed
    assert server.billed == []


async def test_giving_up_closes_the_file_and_the_connection(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield bytes(1_000)
            begun.set()
            await asyncio.sleep(60)
        finally:
            closed.set()

    async def opened() -> StoredContent:
        return StoredContent(byte_size=1_000_000, chunks=chunks())

    pictures = of(msgspec.structs.replace(large_picture(1_000_000), open=opened))
    task = asyncio.create_task(generator.generate(an_edit(pictures), pictures=pictures))
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await closed.wait()

    assert server.billed == []


# Memory


async def test_files_are_never_in_memory_as_a_whole(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    await generator.generate(an_edit(ONE), pictures=ONE)
    pictures = of(*(large_picture(4 << 20) for _ in range(16)))
    tracemalloc.start()
    await generator.generate(an_edit(pictures), pictures=pictures)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [part.byte_size for part in sent(server)] == [4 << 20] * 16
    assert peak < 4 << 20


def sent(server: OpenAIServer) -> Sequence[Any]:
    form = server.requests[-1].form
    assert form is not None
    return form.files("image[]")
