"""Bad input: each a 4xx problem that names the fault, always of the same shape."""

import base64
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import BadRequestError
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.json_request import decode_json
from tests.unit.entrypoints.http.conftest import ANN, Client
from tests.unit.entrypoints.http.problem_bodies import problem

GUID = "0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"
BOTH = pytest.mark.parametrize("path", ["/image", "/private/image"])


def post(client: Client, path: str, body: bytes, content_type: str = "application/json") -> Any:
    return client.post(path, content=body, headers={"Content-Type": content_type}, auth=ANN)


@BOTH
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "JSON"),
        (b"prompt=fox", "JSON"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        (b'{"prompt": "\\ud800"}', "JSON"),
        (b"[" * 900_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_the_reason(client: Client, path: str, body: bytes, reason: str) -> None:
    assert reason in problem(post(client, path, body), 400)["detail"]


@BOTH
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"null", "body"),
        (b"[]", "body"),
        (b'"fox"', "body"),
        (b"{}", "prompt"),
        (b'{"prompt": "a", "promt": "b"}', "promt"),
        (b'{"prompt": 1}', "prompt"),
        (b'{"prompt": null}', "prompt"),
        (b'{"prompt": ""}', "prompt"),
        (b'{"prompt": " \\n\\t "}', "prompt"),
        (b'{"prompt": "a\\u0000b"}', "prompt"),
        (b'{"prompt": "' + b"x" * 32_001 + b'"}', "prompt"),
        (b'{"prompt": "a", "tags": "fox"}', "tags"),
        (b'{"prompt": "a", "tags": [1]}', "tags[0]"),
        (b'{"prompt": "a", "tags": ["ok", ""]}', "tags[1]"),
        (b'{"prompt": "a", "tags": [" fox"]}', "tags[0]"),
        (b'{"prompt": "a", "tags": ["fox", "fox"]}', "tags"),
        (b'{"prompt": "a", "tags": ["' + b"x" * 65 + b'"]}', "tags[0]"),
        (b'{"prompt": "a", "tags": [' + b",".join(b'"%d"' % n for n in range(33)) + b"]}", "tags"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_with_the_field(
    client: Client, path: str, body: bytes, field: str
) -> None:
    found = problem(post(client, path, body), 400, field)

    assert found["type"] == "urn:pixyproxy:problem:data-validation"
    assert field in found["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"prompt": "a", "prompt": "b"}', "prompt"),
        (b'{"prompt": "a", "prompt": "a"}', "prompt"),
        (b'{"prompt": "a", "pro\\u006dpt": "b"}', "prompt"),
        (b'{"prompt": "a", "tags": [], "visibility": "private", "tags": ["fox"]}', "tags"),
        (b'{"prompt": "a", "x": {"y": [{"z": 1, "z": 2}]}}', "z"),
        (b'{"prompt": "a", "": 1, "": 2}', ""),
        (b'{"prompt": "a", "' + b"x" * 500 + b'": 1, "' + b"x" * 500 + b'": 2}', "x" * 100),
        (b'{"prompt": "a", "x": [' + b"{}," * 100_000 + b'{"y": 1, "y": 1}]}', "y"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/image"),
        ("POST", "/private/image"),
        ("PATCH", f"/private/image/{GUID}"),
        ("POST", f"/private/image/{GUID}/link"),
        ("POST", "/private/image/bulk/tag"),
        ("POST", "/private/image/bulk/visibility"),
        ("POST", "/private/image/bulk/content"),
        ("POST", "/private/image/bulk/delete"),
    ],
)
def test_a_field_that_is_there_twice_is_refused(  # noqa: PLR0917 -- each way
    client: Client, container: Container, method: str, path: str, body: bytes, field: str
) -> None:
    response = client.request(method, path, content=body, headers={"Content-Type": "application/json"}, auth=ANN)

    assert "twice" in problem(response, 400, field)["detail"]
    assert container.generator().requests == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_body_in_which_nothing_is_there_twice_is_read_as_it_is(value: Any) -> None:
    body = msgspec.json.encode(value)

    assert decode_json(body) == msgspec.json.decode(body)


@given(st.binary() | st.text(alphabet='{}[]":,\\u0123456789.eE+-ntf\x00\n ').map(str.encode))
def test_whatever_the_body_is_it_is_read_or_refused(body: bytes) -> None:
    with suppress(BadRequestError):
        decode_json(body)


def test_a_number_is_no_work(client: Client) -> None:
    problem(post(client, "/image", b'{"prompt": ' + b"9" * 1_000_000 + b"}"), 400)


def test_an_unknown_visibility_is_refused(client: Client) -> None:
    problem(post(client, "/private/image", b'{"prompt": "a", "visibility": "secret"}'), 400, "visibility")


def test_an_image_is_public_or_private_and_nothing_else(client: Client) -> None:
    problem(post(client, "/image", b'{"prompt": "a", "visibility": "secret"}'), 400, "visibility")


def test_32_000_characters_and_white_space_around_them_are_accepted(client: Client) -> None:
    prompt = "\N{FOX FACE}" * 32_000

    response = client.post("/image", json={"prompt": f"\n {prompt}\t"}, auth=ANN)

    assert response.status_code == 200
    assert response.json()["prompt"] == prompt


@BOTH
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_a_body_of_another_media_type_is_refused(client: Client, path: str, content_type: str) -> None:
    problem(post(client, path, b'{"prompt": "a"}', content_type), 415)


def test_a_charset_is_no_other_media_type(client: Client) -> None:
    assert post(client, "/image", b'{"prompt": "a"}', "application/json; charset=utf-8").status_code == 200


@BOTH
def test_a_body_over_1_mib_is_refused(client: Client, path: str) -> None:
    response = post(client, path, b" " * (1024 * 1024 + 1))

    problem(response, 413)
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize("path", ["/image/{}", "/image/{}/content", "/private/image/{}", "/private/image/{}/content"])
@pytest.mark.parametrize("guid", ["1", "fox", "0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3", "%00", "%F0%9F"])
def test_a_guid_that_is_none_is_refused(client: Client, path: str, guid: str) -> None:
    problem(client.get(path.format(guid), auth=ANN), 400, "guid")


@BOTH
@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", "", "99999999999999999999"])
def test_a_bad_limit_is_refused(client: Client, path: str, limit: str) -> None:
    problem(client.get(path, params={"limit": limit}, auth=ANN), 400, "limit")


@BOTH
@pytest.mark.parametrize("cursor", ["", "x", "0" * 45, "G" * 46, "\0", "٣" * 46])
def test_a_bad_cursor_is_refused(client: Client, path: str, cursor: str) -> None:
    problem(client.get(path, params={"cursor": cursor}, auth=ANN), 400, "cursor")


def basic(credentials: bytes) -> str:
    return f"Basic {base64.b64encode(credentials).decode()}"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "empty"),
        ("Basic", "no credentials"),
        ("Basic ", "no credentials"),
        ("Digest abc", "Basic or Bearer"),
        ("Basic !!!", "base64"),
        ("Basic YQ", "base64"),
        (basic(b"ann"), "colon"),
        (basic(b"\xff\xfe:x"), "UTF-8"),
        (basic(b":"), "wrong"),
        (basic(b"ann:"), "wrong"),
        (basic(b"a\0n:correct horse"), "wrong"),
        (basic(b"x" * 5000 + b":" + b"y" * 5000), "wrong"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/image"), ("GET", "/private/image")])
def test_a_bad_authorization_header_is_refused_with_the_reason(
    client: Client, method: str, path: str, header: str, reason: str
) -> None:
    response = client.request(method, path, headers={"Authorization": header})

    assert reason in problem(response, 401)["detail"]
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_public_reading_does_not_look_at_the_login(client: Client) -> None:
    assert client.get("/image", headers={"Authorization": "nonsense"}).status_code == 200


def test_nothing_is_written_down_for_bad_input(client: Client, container: Container) -> None:
    post(client, "/image", b'{"prompt": ""}')
    post(client, "/image", b'{"prompt": "a", "tags": [""]}')

    assert container.generator().requests == []


@pytest.mark.parametrize("path", ["/nope", "/image/a/b/c", "/private", "/schema/nope", "/schema/ui/../app.py", "/%00"])
def test_an_unknown_route_is_a_problem(client: Client, path: str) -> None:
    problem(client.get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@BOTH
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)

    problem(response, 405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))
