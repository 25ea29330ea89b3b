"""The `Prefer` header: its parser, and its effect on a creation."""

import asyncio
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.domain.errors import GenerationRefusedError
from pixyproxy.entrypoints.http.images.preferences import Preferences, parse_preferences
from tests.unit.entrypoints.http.conftest import ANN
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import HeldGenerator, serving, with_settings

NOW = Preferences(respond_async=True)

tokens = st.text("!#$%&'*+.^_`|~-" + string.ascii_letters + string.digits, min_size=1)
quoted = st.text(st.characters(codec="latin-1", exclude_characters='"\\')).map('"{}"'.format)
spaces = st.sampled_from(["", " ", "\t "])


@st.composite
def unknown_preferences(draw: st.DrawFn) -> str:
    """Write down a preference of no known name, with or without a value and a parameter."""
    name = draw(tokens.filter(lambda name: name.lower() not in {"wait", "respond-async"}))
    value = draw(st.none() | tokens | quoted)
    parameter = draw(st.none() | quoted)
    return (
        name
        + ("" if value is None else f"{draw(spaces)}={draw(spaces)}{value}")
        + ("" if parameter is None else f"{draw(spaces)};{draw(spaces)}a={parameter}")
    )


@given(st.lists(st.text(st.characters(codec="latin-1")), max_size=4))
def test_any_header_is_read(lines: list[str]) -> None:
    preferences = parse_preferences(lines)

    assert preferences.seconds is None or 0 <= preferences.seconds <= 86_400


@given(st.lists(st.sampled_from(['"', "\\", ",", ";", "=", " ", "a", "wait", "respond-async", "5"])))
def test_any_mixture_of_known_preferences_is_read(pieces: list[str]) -> None:
    parse_preferences(["".join(pieces)])


@given(
    st.text(st.sampled_from('",;= \\a'), min_size=1, max_size=6),
    st.text(st.sampled_from('",;= \\a'), min_size=1, max_size=6),
)
@example("a=", " ")
@example("a;", 'a;\\",')
def test_no_header_takes_long_to_read(beginning: str, repeated: str) -> None:
    # A quadratic parser would take tens of seconds.
    text = beginning + repeated * (16_000 // len(repeated)) + '"'
    started_at = time.perf_counter()

    parse_preferences([text])

    assert time.perf_counter() - started_at < 1


@given(st.data(), st.booleans(), st.none() | st.integers(0, 86_400))
def test_written_preferences_are_read_back(data: st.DataObject, respond_async: bool, wait: int | None) -> None:
    space = data.draw(spaces)
    known = ["respond-async"] * respond_async + ([] if wait is None else [f"wait{space}={space}{wait}"])
    lines = data.draw(st.permutations([*known, *data.draw(st.lists(unknown_preferences()))]))
    is_one_line = data.draw(st.booleans())

    found = parse_preferences([f"{space},{space}".join(lines)] if is_one_line else lines)

    assert found == Preferences(respond_async=respond_async, wait=wait)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Preferences()),
        (["respond-async"], NOW),
        (["RESPOND-Async"], NOW),
        (['respond-async=""'], NOW),
        (["respond-async; foo=bar"], NOW),
        (["foo; respond-async"], Preferences()),
        (["respond-async=yes"], Preferences()),
        (['foo="respond-async, wait=5"'], Preferences()),
        ([r'foo="\", respond-async"'], Preferences()),
        (["respond-async,, ,wait=5"], Preferences(respond_async=True, wait=5)),
        (["respond-async", "wait=5"], Preferences(respond_async=True, wait=5)),
        (['wait="5"'], Preferences(wait=5)),
        (["wait=5, wait=6"], Preferences(wait=5)),
        (["wait=5", "wait=6"], Preferences(wait=5)),
        (["wait=0"], Preferences(wait=0)),
        (["wait=999999999"], Preferences(wait=86_400)),
        *(([f"wait={value}"], Preferences()) for value in ("", "-1", "+1", "1.5", "1e3", "ten", "٣", "1_0")),
        (["wait 5, respond-async"], NOW),
        (["a b, respond-async"], NOW),
        (['respond-async, wait="5'], NOW),
        (['respond-async"'], Preferences()),
    ],
)
def test_each_form_is_read_as_the_rfc_has_it(lines: list[str], expected: Preferences) -> None:
    assert parse_preferences(lines) == expected


@pytest.mark.parametrize("path", ["/image", "/private/image"])
async def test_a_client_that_prefers_it_is_answered_at_once(path: str) -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        response = await served.post(path=path, prefer="respond-async")

        detail = response.json()
        assert response.status_code == 202
        assert response.headers["Location"] == f"{path}/{detail['guid']}"
        assert response.headers["Preference-Applied"] == "respond-async"
        assert detail["status"] in {"pending", "generating"}
        assert (detail["byte_size"], detail["problem"]) == (None, None)

        await generator.is_drawing.wait()
        assert (await served.get(response.headers["Location"], ANN)).json()["status"] == "generating"
        generator.go_on()
        await served.ready(detail["guid"])
        assert (await served.get(response.headers["Location"], ANN)).json()["status"] == "ready"
        assert (await served.get(f"{response.headers['Location']}/content", ANN)).status_code == 200
        assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("prefer", "applied"), [("wait=0", "wait=0"), ("wait=0, respond-async", "respond-async, wait=0")]
)
async def test_a_client_that_will_not_wait_any_longer_is_answered_without_the_picture(
    prefer: str, applied: str
) -> None:
    async with serving(generator=HeldGenerator()) as served:
        response = await served.post(prefer=prefer)

        assert response.status_code == 202
        assert response.headers["Preference-Applied"] == applied


async def test_a_wait_lasts_as_long_as_the_client_says() -> None:
    async with serving(generator=HeldGenerator()) as served:
        started_at = asyncio.get_running_loop().time()
        response = await served.post(prefer="respond-async, wait=1")

        assert response.status_code == 202
        assert 0.9 < asyncio.get_running_loop().time() - started_at < 5


async def test_no_wait_is_longer_than_the_settings_grant() -> None:
    async with serving(with_settings(max_wait=0.01), generator=HeldGenerator()) as served:
        response = await asyncio.wait_for(served.post(prefer="wait=86400"), 10)

        assert response.status_code == 202


async def test_a_picture_that_is_ready_within_the_wait_is_the_answer() -> None:
    async with serving() as served:
        response = await served.post(prefer="respond-async, wait=10")

        assert response.status_code == 200
        assert response.json()["status"] == "ready"
        assert response.headers["Preference-Applied"] == "respond-async, wait=10"
        assert "Location" not in response.headers


async def test_a_failure_within_the_wait_is_the_answer() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    async with serving(generator=generator) as served:
        found = problem(await served.post(prefer="wait=10"), 422)

        assert (await served.stored(found["guid"])).status == "failed"


async def test_lines_of_the_header_are_read_together() -> None:
    async with serving(generator=HeldGenerator()) as served:
        lines = [("Prefer", "respond-async"), ("Prefer", "wait=0")]
        response = await served.client.post("/image", json={"prompt": "a"}, auth=ANN, headers=lines)

        assert response.status_code == 202
        assert response.headers["Preference-Applied"] == "respond-async, wait=0"


@pytest.mark.parametrize("prefer", ["", "wait=soon", "return=minimal", '"', "handling=lenient; respond-async"])
async def test_malformed_and_unknown_preferences_are_ignored(prefer: str) -> None:
    async with serving() as served:
        response = await served.post(prefer=prefer)

        assert response.status_code == 200
        assert "Preference-Applied" not in response.headers


async def test_a_replayed_request_may_prefer_another_way_of_being_answered() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        first = await served.post(key="abc", prefer="respond-async")
        second = await served.post(key="abc", prefer="respond-async")
        assert second.status_code == 202
        assert second.headers["Location"] == first.headers["Location"]
        assert second.headers["Idempotency-Replayed"] == "true"

        generator.go_on()
        third = await served.post(key="abc")

        assert third.status_code == 200
        assert third.json()["guid"] == first.json()["guid"]
        assert len(generator.requests) == 1
