"""Large JSON bodies: bounded in size, in number and in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from pixyproxy.domain.errors import BadRequestError, DataValidationError, OverloadedError
from pixyproxy.entrypoints.http.json_request import decode_json
from pixyproxy.entrypoints.http.openai.json_bodies import JSONBodies
from tests.unit.entrypoints.http.openai.reading import reading

MIB = 1 << 20
SMALL = b'{"prompt": "a red fox"}'
LARGE = b'{"prompt": "' + b"x" * (2 * MIB) + b'"}'


class Held:
    """Requests whose bodies are being read, until they are let go."""

    def __init__(self, bodies: JSONBodies) -> None:
        self.bodies = bodies
        self.may_go = asyncio.Event()
        self.begun: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def read(self, body: bytes, **options: Any) -> None:
        async with reading() as requests, self.bodies.read(requests.request(body, **options)) as values:
            self.begun.put_nowait(values)
            await self.may_go.wait()


@asynccontextmanager
async def two_large_ones(bodies: JSONBodies) -> AsyncIterator[Held]:
    held = Held(bodies)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(held.read(LARGE))
        for _ in range(2):
            await held.begun.get()
        yield held
        held.may_go.set()


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_third_large_body_is_told_to_come_back(is_chunked: bool) -> None:
    bodies = JSONBodies(max_size=64 * MIB, patience=0.01)
    chunks = [LARGE[position : position + MIB // 2] for position in range(0, len(LARGE), MIB // 2)]
    async with two_large_ones(bodies), reading() as requests:
        request = requests.request(LARGE, chunks=chunks if is_chunked else None)
        with pytest.raises(OverloadedError) as caught:
            async with bodies.read(request):
                pass
        assert caught.value.retry_after <= 60
        assert requests.received <= 3 * MIB // 2


async def test_a_third_large_body_is_read_as_soon_as_one_is_done() -> None:
    bodies = JSONBodies(max_size=64 * MIB, patience=60.0)
    async with two_large_ones(bodies) as held, asyncio.TaskGroup() as group:
        group.create_task(held.read(LARGE))
        await asyncio.sleep(0)
        held.may_go.set()
        assert "prompt" in await held.begun.get()


async def test_small_bodies_need_no_turn() -> None:
    bodies = JSONBodies(max_size=64 * MIB, patience=0.01)
    async with two_large_ones(bodies) as held, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(held.read(SMALL))
            assert await held.begun.get() == {"prompt": "a red fox"}
        held.may_go.set()


async def test_a_turn_ends_with_an_error() -> None:
    bodies = JSONBodies(max_size=64 * MIB, patience=0.01)
    async with reading() as requests:
        for _ in range(3):
            with pytest.raises(BadRequestError, match="not valid JSON"):
                async with bodies.read(requests.request(LARGE[:-1])):
                    pass


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_above_the_limit_is_refused(is_chunked: bool) -> None:
    bodies = JSONBodies(max_size=2 * MIB)
    async with reading() as requests:
        request = requests.request(LARGE, chunks=[LARGE[:MIB], LARGE[MIB:]] if is_chunked else None)
        with pytest.raises(HTTPException) as caught:
            async with bodies.read(request):
                pass
    assert caught.value.status_code == 413
    assert caught.value.detail == "The body is larger than 2,097,152 bytes."
    assert requests.received == (len(LARGE) if is_chunked else 0)


async def test_a_body_that_takes_too_long_is_refused() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async with reading() as requests:
        request = requests.request(SMALL)
        request.receive = never
        with pytest.raises(HTTPException) as caught:
            async with JSONBodies(max_size=MIB, seconds=0.01).read(request):
                pass
    assert caught.value.status_code == 408


async def test_a_body_that_breaks_off_is_refused() -> None:
    async with reading() as requests:
        with pytest.raises(BadRequestError, match="left before"):
            async with JSONBodies(max_size=MIB).read(requests.request(b"", chunks=[SMALL[:9]], is_whole=False)):
                pass


@pytest.mark.parametrize("value", [b"[],", b'"",', b"0,", b'{"a":1},'])
async def test_a_large_body_of_many_small_values_is_not_decoded(value: bytes) -> None:
    body = b'{"prompt": "x", "a": [' + value * (2 * MIB // len(value)) + b"0]}"
    async with reading() as requests:
        with pytest.raises(BadRequestError, match="more than 262,144 commas or quotation marks"):
            async with JSONBodies(max_size=64 * MIB).read(requests.request(body)):
                pass


async def test_a_large_body_of_texts_with_many_quotation_marks_is_not_decoded() -> None:
    body = b'{"prompt": "x", "a": "' + b'\\"data:' * (2 * MIB // 7) + b'"}'
    async with reading() as requests:
        with pytest.raises(BadRequestError, match="more than 262,144 commas or quotation marks"):
            async with JSONBodies(max_size=64 * MIB).read(requests.request(body)):
                pass


async def test_a_small_body_may_have_many_small_values() -> None:
    body = b'{"a": [' + b"0," * (MIB // 2 - 10) + b"0]}"
    async with reading() as requests, JSONBodies(max_size=64 * MIB).read(requests.request(body)) as values:
        assert len(values["a"]) > 500_000


def test_a_field_that_is_there_twice_is_seen_beside_pictures() -> None:
    with pytest.raises(DataValidationError) as caught:
        decode_json(b'{"image": "data:image/png;base64,' + b"A" * 4_000 + b'", "n": 1, "n": 2}')

    assert caught.value.field == "n"


@pytest.mark.parametrize("names", ['"data:a": 1, "data:b": 2', r'"x\"data:a" : 1, "x\"data:b" : 2'])
def test_names_of_fields_are_no_pictures(names: str) -> None:
    assert len(decode_json(f"{{{names}}}".encode())) == 2


_TEXTS = st.one_of(st.text('"\\/data:x,', max_size=12), st.builds("data:{}".format, st.text('"\\/data:x,', max_size=8)))


@given(
    st.recursive(
        _TEXTS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text("ab", max_size=3), inner, max_size=4)
        ),
    )
)
def test_no_text_hinders_the_search_for_fields_that_are_there_twice(value: Any) -> None:
    for body in (
        json.dumps(value),
        json.dumps(value).replace("/", "\\/"),
        json.dumps(value, ensure_ascii=False, indent=1),
    ):
        assert decode_json(body.encode()) == value
