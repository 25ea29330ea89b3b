"""The OpenAPI document."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from pixyproxy.domain.image import ImageStatus
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.auth.key_scopes import PASSWORD_ONLY
from pixyproxy.entrypoints.settings import GallerySwitch, Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.conftest import Client

METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}
CREATIONS = pytest.mark.parametrize("path", ["/image", "/private/image"])


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/schema/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield f"{method} {path}", item[method]


def test_everything_has_a_description(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"].strip(), name
        assert operation["summary"].strip(), name
        for part in (*operation.get("parameters", []), *operation["responses"].values()):
            assert part["description"].strip(), name
        for response in operation["responses"].values():
            assert all(header["description"].strip() for header in response["headers"].values()), name


def test_every_field_has_a_description(document: dict[str, Any]) -> None:
    for name in (
        "ImageDetail", "PrivateImageDetail", "RequestOptions", "ReferenceDetail", "ResultDetail",
        "GenerationProblem", "Problem", "CreatePublicImage", "CreatePrivateImage",
        "ModelList", "ModelDetail", "SizeRangeDetail", "CreateKeyBody", "KeyDetail", "CreatedKeyDetail",
        "ImagesAnswer", "ImageItem", "FailedImage", "Usage", "TokenDetails", "ErrorDetail",
    ):  # fmt: skip
        schema = document["components"]["schemas"][name]
        for field, rules in schema["properties"].items():
            assert "description" in str(rules), f"{name}.{field}"


@CREATIONS
def test_the_headers_of_a_creation_are_described(document: dict[str, Any], path: str) -> None:
    post = document["paths"][path]["post"]

    parameters = {parameter["name"]: parameter for parameter in post["parameters"]}
    assert set(parameters) == {"Idempotency-Key", "Prefer"}
    for parameter in parameters.values():
        assert (parameter["in"], parameter["required"]) == ("header", False)
        assert parameter["schema"]["type"] == "string"
        assert "oneOf" not in parameter["schema"]
    headers = {status: set(response["headers"]) - {"X-Request-ID"} for status, response in post["responses"].items()}
    assert headers["200"] == {"Idempotency-Replayed", "Preference-Applied"}
    assert headers["202"] == {"Idempotency-Replayed", "Preference-Applied", "Location"}
    for status in ("409", "429", "503"):
        assert headers[status] == {"Idempotency-Replayed", "Retry-After"}
    for status in ("422", "500", "502", "504"):
        assert headers[status] == {"Idempotency-Replayed"}
    for status in ("400", "413", "415"):
        assert headers[status] == set()


@CREATIONS
def test_an_image_that_is_being_made_is_an_answer_with_the_same_shape(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]

    assert responses["202"]["content"] == responses["200"]["content"]
    assert responses["202"]["description"] != responses["200"]["description"]


def test_each_route_shows_its_own_details(document: dict[str, Any]) -> None:
    public, private = (f"#/components/schemas/{name}" for name in ("ImageDetail", "PrivateImageDetail"))
    for name, operation in operations(document):
        schemas = {str(response.get("content")) for response in operation["responses"].values()}
        shown = {schema for schema in (public, private) if f"'{schema}'" in str(schemas)}
        assert shown <= {private if " /private" in name else public}, name
        if name.split(" ")[1] in {"/image", "/image/{guid}", "/private/image", "/private/image/{guid}"}:
            assert shown or name.startswith("delete"), name
    assert private in str(document["components"]["schemas"]["BulkItem"])


@CREATIONS
def test_events_are_described(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][f"{path}/{{guid}}/events"]["get"]["responses"]

    assert list(responses["200"]["content"]) == ["text/event-stream"]
    assert {"400", "401", "404", "503"} <= set(responses)


def test_the_events_of_all_own_images_are_described(document: dict[str, Any]) -> None:
    responses = document["paths"]["/private/image/events"]["get"]["responses"]

    assert list(responses["200"]["content"]) == ["text/event-stream"]
    assert {"400", "401", "503"} <= set(responses)


def test_a_public_image_can_be_looked_at_with_a_login_or_without(document: dict[str, Any]) -> None:
    for path in ("/image/{guid}", "/image/{guid}/events"):
        assert {} in document["paths"][path]["get"]["security"]


def test_a_key_is_an_alternative_to_a_password_unless_the_route_takes_none(client: Client) -> None:
    document = client.get("/schema/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["scheme"] for name, scheme in schemes.items() if scheme["type"] == "http"} == {
        "basic": "basic",
        "bearer": "bearer",
    }
    assert schemes["bearer"]["bearerFormat"] == "pixy_…"
    takers = 0
    for route in client.app.routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            operation = document["paths"].get(route.path_format.replace(":str", ""), {}).get(method.lower())
            if operation and {"basic": []} in operation.get("security", ()):
                takes_key = not PASSWORD_ONLY.items() <= handler.opt.items()
                assert ({"bearer": []} in operation["security"]) == takes_key, (method, route.path)
                assert {"session": []} in operation["security"], (method, route.path)
                assert {"401", "403", "429"} <= set(operation["responses"]), (method, route.path)
                takers += 1
    assert takers


@pytest.mark.parametrize(
    ("public_url", "cookie"),
    [(None, "pixyproxy"), ("http://pixy.example/p", "pixyproxy"), ("https://pixy.example", "__Host-pixyproxy")],
)
def test_a_session_is_a_cookie_that_is_named_as_it_is_set(public_url: str | None, cookie: str) -> None:
    settings = Settings(public_url=public_url)
    with TestClient(create_app(settings, in_memory_container(settings))) as client:
        scheme = client.get("/schema/openapi.json").json()["components"]["securitySchemes"]["session"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", cookie)


def test_without_the_gallery_no_route_takes_a_session() -> None:
    settings = Settings(gallery=GallerySwitch.OFF)
    with TestClient(create_app(settings, in_memory_container(settings))) as client:
        document = client.get("/schema/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"basic", "bearer"}
    assert '"session"' not in json.dumps(document["paths"])


def test_each_state_is_named_and_explained(document: dict[str, Any]) -> None:
    status = document["components"]["schemas"]["ImageDetail"]["properties"]["status"]

    assert set(document["components"]["schemas"]["ImageStatus"]["enum"]) == set(ImageStatus)
    assert all(f"`{state}`" in str(status) for state in ImageStatus)


def test_the_possible_cost_of_a_creation_is_described(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["Problem"]

    assert {"retryable", "maybe_billed", "guid"} <= set(problem["properties"])
    assert not {"retryable", "maybe_billed", "guid"} & set(problem["required"])


@CREATIONS
def test_content_is_described_for_get_and_head(document: dict[str, Any], path: str) -> None:
    item = document["paths"][f"{path}/{{guid}}/content"]

    for method in ("get", "head"):
        parameters = {parameter["name"]: parameter for parameter in item[method]["parameters"]}
        assert {"width", "height", "fit", "format", "quality", "download"} < set(parameters)
        conditions = {"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}
        assert conditions | ({"Range", "If-Range"} if method == "get" else set()) == {
            name for name, parameter in parameters.items() if parameter["in"] == "header"
        }
        assert parameters["download"]["schema"]["enum"] == ["", "true", "false"]
        assert {"ETag", "Cache-Control"} < set(item[method]["responses"]["304"]["headers"])
    assert set(item["get"]["responses"]["206"]["content"]) == {
        "image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml", "image/avif",
    }  # fmt: skip
    assert "Content-Range" in item["get"]["responses"]["416"]["headers"]
    assert {"Location", "Cache-Control"} < set(item["get"]["responses"]["307"]["headers"])
    assert not {"206", "307", "416"} & set(item["head"]["responses"])
    assert not any("content" in response for response in item["head"]["responses"].values())
