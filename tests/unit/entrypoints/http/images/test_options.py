"""The options of a request, as JSON over HTTP."""

import json
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.ports import chunks_of
from pixyproxy.domain.reference import Reference
from pixyproxy.entrypoints.container import Container
from tests import odd_pictures
from tests.factories import ContentInfoFactory, ImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import Served, serving

PATHS = ["/image", "/private/image"]
PARENT = "0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"
OTHER = "7d0e1c52-9a34-4a55-8a0f-2f1f6f0d5b11"
MASK = odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG")
OPTIONS: dict[str, Any] = {
    "model": "in-memory",
    "size": "1536x1024",
    "quality": "high",
    "background": "opaque",
    "output_format": "webp",
    "output_compression": 0,
    "moderation": "low",
    "input_fidelity": "high",
    "partial_images": 3,
    "extra": {"seed": 7, "loras": [{"name": "é", "weight": 0.5}, None, True]},
}
PICTURES: dict[str, Any] = {"references": [PARENT, OTHER, PARENT], "mask": OTHER}

TAKEN: list[tuple[str, Any]] = [
    ("model", "in-memory"),
    ("size", "auto"),
    ("size", "16x16"),
    ("size", "8192x4028"),
    ("quality", "x" * 64),
    ("background", "transparent"),
    ("output_format", "svg"),
    ("output_compression", 0),
    ("output_compression", 100),
    ("moderation", "auto"),
    ("partial_images", 0),
    ("partial_images", 3),
    ("references", []),
    ("references", [PARENT] * 16),
    ("extra", {}),
    ("extra", {"x" * 64: 10**4000}),
    ("n", 1),
]
REFUSED: list[tuple[str, Any]] = [
    ("model", ""),
    ("model", "x" * 256),
    ("model", " x"),
    ("model", "a\nb"),
    ("size", ""),
    ("size", "1024"),
    ("size", "1024 x 1024"),
    ("size", "01024x1024"),
    ("size", "10240x1024"),
    ("size", "١٠٢٤x١٠٢٤"),
    ("size", "1024x1024\n"),
    ("quality", ""),
    ("quality", "x" * 65),
    ("background", "white\0"),
    ("output_format", "bmp"),
    ("output_format", "PNG"),
    ("output_compression", -1),
    ("output_compression", 101),
    ("output_compression", 10**400),
    ("moderation", ""),
    ("input_fidelity", "\u2028"),
    ("partial_images", -1),
    ("partial_images", 4),
    ("references", [PARENT] * 17),
    ("n", 0),
    ("n", 2),
    ("n", 11),
    ("n", -1),
    ("n", "2"),
    ("n", "1"),
    ("n", True),
    ("n", [1]),
]
# The document can't say these: rules across fields, and what is in `extra`.
REFUSED_BY_MEANING: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": "another"}),
    ("size", {"size": "10x10"}),
    ("size", {"size": "8192x8192"}),
    ("size", {"size": "9999x1024"}),
    ("output_compression", {"output_compression": 50, "output_format": "png"}),
    ("output_compression", {"output_compression": 50}),
    ("background", {"background": "transparent", "output_format": "jpeg"}),
    ("mask", {"mask": PARENT}),
    ("input_fidelity", {"input_fidelity": "high"}),
    ("extra", {"extra": {"prompt": "a cat"}}),
    ("extra", {"extra": {"size": None}}),
    ("extra", {"extra": {"references": []}}),
    ("extra", {"extra": {"": 1}}),
    ("extra", {"extra": {"x" * 65: 1}}),
    ("extra", {"extra": {"a": "x" * 16_384}}),
    ("extra", {"extra": {"a": json.loads("[" * 20 + "]" * 20)}}),
    *(("extra", {"extra": {name: 1}}) for name in ("n", "stream", "response_format", "user", "image", "images")),
]
WRONG_TEXTS: tuple[Any, ...] = (5, True, ["x"], {})
WRONG_NUMBERS: tuple[Any, ...] = ("2", True, 1.5, "null")
MISTYPED: list[tuple[str, dict[str, Any]]] = [
    *((name, {name: wrong}) for name in ("model", "size", "quality", "output_format") for wrong in WRONG_TEXTS),
    *((name, {name: wrong}) for name in ("output_compression", "partial_images") for wrong in WRONG_NUMBERS),
    ("extra", {"extra": [1]}),
    ("extra", {"extra": "{}"}),
    ("references", {"references": PARENT}),
    ("references", {"references": {"guid": PARENT}}),
    ("references[1]", {"references": [PARENT, "fox"]}),
    ("references[0]", {"references": [None]}),
    ("references[0]", {"references": ["ab" * 32]}),
    ("mask", {"mask": "fox"}),
    ("mask", {"mask": 1}),
    ("mask", {"mask": [PARENT]}),
]


def named(cases: list[tuple[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("field", "body"), cases, ids=[f"{field}={str(value)[:30]!r}" for field, value in cases]
    )


async def add_parents(container: Container) -> None:
    """Store an image of Ann's that only she may read, and a public one of Bob's; both may be masks."""
    for guid, author, visibility in ((PARENT, "ann", Visibility.PRIVATE), (OTHER, "bob", Visibility.PUBLIC)):
        image = ImageFactory.build(guid=UUID(guid), author=author, visibility=visibility)
        await container.contents().put(image.content_key, chunks_of(MASK))
        content = ContentInfoFactory.build(
            media_type=MediaType.PNG, byte_size=len(MASK), width=odd_pictures.WIDTH, height=odd_pictures.HEIGHT
        )
        await container.images().add(msgspec.structs.replace(image, content=content))


async def refused(served: Served, body: dict[str, Any], field: str, path: str = "/image") -> dict[str, Any]:
    """Ask for an image, and check that the problem names the field and that nothing else has happened."""
    found = problem(await served.post({"prompt": "a red fox", **body}, path=path), 400, field)
    assert (found["retryable"], found["maybe_billed"]) == (False, False)
    assert served.requests == []
    assert await served.all_stored() == []
    # Nothing is reserved.
    assert (await served.post({"prompt": "a red fox"}, path=path)).status_code == 200
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("other", "pictures"), [("moderation", PICTURES), ("input_fidelity", {})])
async def test_all_options_reach_the_generator_and_the_record(path: str, other: str, pictures: dict[str, Any]) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != other}
    async with serving() as served:
        await add_parents(served.container)
        response = await served.post({"prompt": "a red fox", **options, **pictures}, path=path)
        assert response.status_code == 200, response.text
        created = response.json()

        expected = GenerationRequest(
            prompt="a red fox",
            references=tuple(Reference.to_image(UUID(guid)) for guid in pictures.get("references", [])),
            mask=Reference.to_image(UUID(OTHER)) if pictures else None,
            **options,
        )
        assert served.requests == [expected]
        assert (await served.stored(created["guid"])).request == expected
        detail = (await served.get(f"/private/image/{created['guid']}", ANN)).json()
    assert detail["request"] == {**options, other: None}
    assert [reference["guid"] for reference in detail["references"]] == pictures.get("references", [])
    assert (detail["mask"] and detail["mask"]["guid"]) == pictures.get("mask")
    assert detail["model"] == "in-memory"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("references[0]", {"references": [PARENT]}),
        ("references[1]", {"references": [OTHER, str(UUID(int=7))]}),
        ("mask", {"references": [OTHER], "mask": PARENT}),
    ],
)
async def test_another_authors_private_image_is_like_one_that_does_not_exist(
    path: str, field: str, body: dict[str, Any]
) -> None:
    async with serving() as served:
        await add_parents(served.container)
        found = problem(await served.post({"prompt": "a red fox", **body}, path=path, auth=BOB), 404)

        assert found["detail"].startswith(f"{field}: There is no image ")
        assert (found["retryable"], found["maybe_billed"]) == (False, False)
        assert served.requests == []
        assert {str(image.guid) for image in await served.all_stored()} == {PARENT, OTHER}


@pytest.mark.parametrize("path", PATHS)
async def test_null_is_an_option_that_is_not_given(path: str) -> None:
    names = [*OPTIONS, *PICTURES, "n"]
    async with serving() as served:
        await served.post({"prompt": "a red fox", **dict.fromkeys(names)}, path=path)

        assert served.requests == [GenerationRequest(prompt="a red fox")]


async def test_the_options_are_part_of_what_an_idempotency_key_names() -> None:
    async with serving() as served:
        first = await served.post({"prompt": "a red fox", "size": "auto"}, key="k")
        again = await served.post({"prompt": "a red fox", "size": "auto", "n": 1, "quality": None}, key="k")
        problem(await served.post({"prompt": "a red fox", "size": "16x16"}, key="k"), 422)
        problem(await served.post({"prompt": "a red fox"}, key="k"), 422)

    assert again.json() == first.json()


@named(REFUSED_BY_MEANING)
async def test_what_a_request_can_not_have_is_refused_before_anything_is_bought(
    field: str, body: dict[str, Any]
) -> None:
    async with serving() as served:
        await refused(served, body, field)


@named(MISTYPED)
async def test_a_value_of_another_type_is_refused_by_its_name(field: str, body: dict[str, Any]) -> None:
    async with serving() as served:
        await refused(served, body, field)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", [0, 2, 11, "2", True])
async def test_several_images_of_one_request_have_a_route_of_their_own(path: str, number: object) -> None:
    async with serving() as served:
        found = await refused(served, {"n": number}, "n", path)

    assert f"POST {path}/batch " in found["detail"]


def schema(client: Client, path: str) -> jsonschema_rs.Validator:
    document = client.get("/schema/openapi.json").json()
    name = {"/image": "CreatePublicImage", "/private/image": "CreatePrivateImage"}[path]
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


@pytest.fixture
async def parents(container: Container) -> None:
    await add_parents(container)


@pytest.mark.usefixtures("parents")
@pytest.mark.parametrize("path", PATHS)
def test_the_document_has_the_same_rules(client: Client, path: str) -> None:
    validator = schema(client, path)
    for cases, status in ((TAKEN, 200), (REFUSED, 400)):
        for field, value in cases:
            body = {"prompt": "a red fox", "output_format": "webp", field: value}
            response = client.post(path, json=body, auth=ANN)
            assert response.status_code == status, (field, value, response.text)
            assert validator.is_valid(body) == (status == 200), (field, value)
            if status == 400:
                problem(response, 400, field)


def test_the_document_refuses_other_types(client: Client) -> None:
    validator = schema(client, "/image")
    for field, body in MISTYPED:
        guids_are_texts = field in {"mask", "references[0]", "references[1]"}
        assert guids_are_texts or not validator.is_valid({"prompt": "a red fox", **body}), body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", [r'"\ud800"', r'"\udc00\ud800"', "1e400", "9" * 5000])
def test_what_is_no_json_for_all_is_refused_in_extra(client: Client, path: str, text: str) -> None:
    body = f'{{"prompt": "a red fox", "extra": {{"a": {text}}}}}'
    headers = {"Content-Type": "application/json"}

    found = problem(client.post(path, content=body, headers=headers, auth=ANN), 400)

    assert "not valid JSON" in found["detail"]


def test_a_name_twice_in_extra_is_refused(client: Client) -> None:
    body = '{"prompt": "a red fox", "extra": {"a": {"seed": 1, "seed": 2}}}'

    problem(client.post("/image", content=body, headers={"Content-Type": "application/json"}, auth=ANN), 400, "seed")


def test_extra_comes_back_as_it_was_given(client: Client) -> None:
    extra = {
        "integers": [0, -(2**63), 2**64, 10**30],
        "numbers": [0.5, 1e300, -1.0, 2.5e-8],
        "texts": ["", "é", "日本", "😀", 'quote " and \\', "tab\t"],
        "nested": {"a": {"b": [{}, [], None, False]}},
        "ключ": 1,
    }
    created = client.post("/private/image", json={"prompt": "a red fox", "extra": extra}, auth=ANN).json()
    shown = client.get(f"/private/image/{created['guid']}", auth=ANN)

    assert created["request"]["extra"] == extra
    assert msgspec.json.decode(shown.content)["request"]["extra"] == extra


def test_an_unknown_field_is_refused_still(client: Client) -> None:
    for path in PATHS:
        for field in ("style", "seed", "reference", "response_format", "stream", "batch"):
            problem(client.post(path, json={"prompt": "a red fox", field: "x"}, auth=ANN), 400, field)
