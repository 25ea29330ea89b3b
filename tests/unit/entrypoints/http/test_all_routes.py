"""Rules that hold for all routes, in one table: HEAD, validators, caching, access."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest
from httpx import Response
from litestar.routes import HTTPRoute

from pixyproxy.adapters.memory.image_generator import PICTURE
from pixyproxy.domain.api_key import KeyScope
from pixyproxy.domain.user import Principal, UserName
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.public_url import begins_with_route
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login

# Headers that differ between any two answers.
BY_CHANCE: Final = {"x-request-id", "date"}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of an answer to the author."""

    caching: str = "no-store"
    vary: str | None = None
    used_by: str = "same-origin"
    etag: str = ""
    status: int = 200
    body: Any = None
    needs_password: bool = False


PUBLIC_PICTURE: Final = Rules(caching="public, max-age=60, must-revalidate", used_by="cross-origin", etag='"')
OWN_PICTURE: Final = Rules(caching="private, no-cache", vary="Authorization, Cookie", etag='"')
OWN_LIST: Final = Rules(caching="private, no-cache", vary="Authorization, Cookie, Prefer", etag='W/"')
DOCUMENT: Final = Rules(caching="no-cache", etag='"')

DATA_URL: Final = f"data:image/png;base64,{b64encode(PICTURE).decode()}"

RULES: Final[dict[tuple[str, str], Rules]] = {
    ("GET", "/"): Rules(vary="Accept", status=302),
    ("GET", "/health/live"): Rules(),
    ("GET", "/health/ready"): Rules(),
    ("GET", "/schema"): DOCUMENT,
    ("GET", "/schema/openapi.json"): msgspec.structs.replace(DOCUMENT, used_by="cross-origin"),
    ("GET", "/schema/ui/{name}"): Rules(caching="public, max-age=3600", etag='"'),
    ("GET", "/schema/{path}"): Rules(status=404),
    ("GET", "/image"): Rules(caching="no-cache", vary="Prefer", used_by="cross-origin", etag='W/"'),
    ("GET", "/image/{guid}"): Rules(caching="no-cache", vary="Authorization", used_by="cross-origin", etag='"3-'),
    ("GET", "/image/{guid}/events"): Rules(),
    ("GET", "/image/batch/{batch}"): Rules(caching="no-cache", vary="Authorization", used_by="cross-origin", etag='"'),
    ("GET", "/image/{guid}/content"): PUBLIC_PICTURE,
    ("HEAD", "/image/{guid}/content"): PUBLIC_PICTURE,
    ("GET", "/image/{guid}/partial/{position}"): Rules(status=404),
    ("HEAD", "/image/{guid}/partial/{position}"): Rules(status=404),
    ("GET", "/tag"): Rules(caching="no-cache", used_by="cross-origin", etag='W/"'),
    ("GET", "/model"): Rules(caching="no-cache", used_by="cross-origin", etag='"'),
    ("GET", "/v1/models"): Rules(caching="private, no-cache", etag='"'),
    ("GET", "/v1/models/{model}"): Rules(caching="private, no-cache", etag='"'),
    ("GET", "/private/image"): OWN_LIST,
    ("GET", "/private/image/{guid}"): Rules(caching="private, no-cache", vary="Authorization, Cookie", etag='"3-'),
    ("GET", "/private/image/batch/{batch}"): Rules(caching="private, no-cache", vary="Authorization, Cookie", etag='"'),
    ("GET", "/private/image/{guid}/events"): Rules(),
    ("GET", "/private/image/events"): Rules(),
    ("GET", "/private/image/{guid}/content"): OWN_PICTURE,
    ("HEAD", "/private/image/{guid}/content"): OWN_PICTURE,
    ("GET", "/private/image/{guid}/content/{filename}"): OWN_PICTURE,
    ("HEAD", "/private/image/{guid}/content/{filename}"): OWN_PICTURE,
    ("GET", "/private/image/{guid}/partial/{position}"): Rules(status=404),
    ("HEAD", "/private/image/{guid}/partial/{position}"): Rules(status=404),
    ("GET", "/private/image/{guid}/reference/{position}/content"): Rules(status=404),
    ("HEAD", "/private/image/{guid}/reference/{position}/content"): Rules(status=404),
    ("GET", "/private/tag"): Rules(caching="private, no-cache", vary="Authorization, Cookie", etag='W/"'),
    ("GET", "/private/key"): Rules(
        caching="private, no-cache", vary="Authorization, Cookie", etag='"', needs_password=True
    ),
    ("POST", "/private/key"): Rules(body={"name": "studio"}, needs_password=True),
    ("DELETE", "/private/key/{guid}"): Rules(status=404, needs_password=True),
    ("POST", "/image"): Rules(body={"prompt": "a fox"}),
    ("POST", "/private/image"): Rules(body={"prompt": "a fox"}),
    ("POST", "/image/batch"): Rules(body={"prompt": "a fox", "n": 2}),
    ("POST", "/private/image/batch"): Rules(body={"prompt": "a fox", "n": 2}),
    ("POST", "/v1/images/generations"): Rules(body={"prompt": "a fox"}),
    ("POST", "/v1/images/edits"): Rules(body={"prompt": "a fox", "images": [{"image_url": DATA_URL}]}),
    ("PATCH", "/private/image/{guid}"): Rules(body={"tags": ["snow"]}, etag='"4-'),
    ("DELETE", "/private/image/{guid}"): Rules(status=204),
    ("POST", "/private/image/{guid}/link"): Rules(body={}),
    ("POST", "/private/image/bulk/tag"): Rules(body={"guids": ["{guid}"], "add": ["snow"]}),
    ("POST", "/private/image/bulk/visibility"): Rules(body={"guids": ["{guid}"], "visibility": "public"}),
    ("POST", "/private/image/bulk/content"): Rules(body={"guids": ["{guid}"]}),
    ("POST", "/private/image/bulk/delete"): Rules(body={"guids": ["{guid}"]}),
}
ALL: Final = pytest.mark.parametrize(("method", "path"), RULES)
READ: Final = pytest.mark.parametrize("path", [path for method, path in RULES if method == "GET"])
VALIDATED: Final = pytest.mark.parametrize(
    "path", [path for (method, path), rules in RULES.items() if method == "GET" and rules.etag]
)
NEEDING_LOGIN: Final = pytest.mark.parametrize(
    ("method", "path"), [each for each in RULES if each[1].startswith(("/private", "/v1"))]
)


def routes(client: Client) -> Iterator[tuple[str, str]]:
    for route in client.app.routes:
        assert isinstance(route, HTTPRoute)
        path = route.path_format.replace(":str", "").replace(":path", "")
        if path.startswith("/gallery"):
            continue
        yield from ((method, path) for method in route.route_handler_map if method != "OPTIONS")


@pytest.fixture
def guid(client: Client, container: Container) -> str:
    # The test client reads an answer to its end.
    container.generations().stop_watching()
    (created,) = client.post("/image/batch", json={"prompt": "a red fox", "tags": ["fox"]}, auth=ANN).json()
    return str(created["guid"])


def ask(client: Client, method: str, path: str, guid: str, auth: Login | None = ANN, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    batch = client.get(f"/image/{guid}").json()["batch"] if "{batch}" in path else ""
    address = path.format(
        guid=guid,
        batch=batch,
        name="swagger-ui.css",
        path="nowhere",
        position=0,
        model="gpt-image-2",
        filename="fox.png",
    )
    rules = RULES.get((method, path))
    body = (
        None
        if rules is None or rules.body is None
        else msgspec.json.encode(rules.body).replace(b"{guid}", guid.encode())
    )
    if body:
        named["Content-Type"] = "application/json"
    return client.request(method, address, content=body, headers=named, auth=auth, follow_redirects=False)


def needed_scope(method: str, path: str) -> KeyScope:
    if method in {"GET", "HEAD"} or path == "/private/image/bulk/content":
        return KeyScope.READ
    is_creation = method == "POST" and path.removeprefix("/private") in {"/image", "/image/batch"}
    return KeyScope.CREATE if is_creation or path.startswith("/v1/") else KeyScope.MANAGE


def without_chance(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in BY_CHANCE}


def test_no_path_of_a_public_url_begins_like_a_route() -> None:
    assert all(begins_with_route(path) for _, path in RULES if path != "/")


def test_the_table_names_all_routes(client: Client) -> None:
    assert set(routes(client)) == set(RULES)


@ALL
def test_an_answer_says_who_may_keep_it_and_who_may_use_it(client: Client, guid: str, method: str, path: str) -> None:
    rules = RULES[method, path]

    response = ask(client, method, path, guid)

    assert response.status_code == rules.status
    assert response.headers["Cache-Control"] == rules.caching
    assert response.headers.get("Vary") == rules.vary
    assert response.headers["Cross-Origin-Resource-Policy"] == rules.used_by
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers.get("ETag", "").startswith(rules.etag)
    assert ("ETag" in response.headers) == bool(rules.etag)


@ALL
def test_refusals_are_not_cached(client: Client, guid: str, method: str, path: str) -> None:
    for response in (
        ask(client, "PUT", path, guid),
        ask(client, method, path.replace("{guid}", str(uuid4())).replace("/image", "/nowhere", 1), guid),
        ask(client, method, path, guid, auth=("ann", "wrong password")),
        ask(client, method, path, guid, auth=None),
    ):
        if response.is_error:
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@ALL
def test_a_key_may_do_what_its_scope_says_and_nothing_else(
    client: Client, container: Container, guid: str, method: str, path: str
) -> None:
    rules = RULES[method, path]
    ignores_logins = ask(client, method, path, guid, auth=("ann", "wrong password")).status_code != 401
    ann = Principal(name=UserName("ann"))

    # The last one may delete the image.
    for scope in KeyScope:
        secret = asyncio.run(container.create_key()(ann, name="studio", scopes=[scope])).secret
        response = ask(client, method, path, guid, auth=None, Authorization=f"Bearer {secret}")

        is_allowed = ignores_logins or (not rules.needs_password and scope is needed_scope(method, path))
        assert response.status_code == (rules.status if is_allowed else 403), scope
        if not is_allowed and method != "HEAD":
            needed = "a login with a password" if rules.needs_password else f"the scope {needed_scope(method, path)}."
            assert needed in response.text


@READ
def test_where_there_is_get_there_is_head_with_the_same_headers(client: Client, guid: str, path: str) -> None:
    for auth in (ANN, BOB, None, ("ann", "wrong password")):
        whole, head = (ask(client, method, path, guid, auth=auth) for method in ("GET", "HEAD"))

        assert head.status_code == whole.status_code
        if whole.is_error:
            # The problem has a request id of its own.
            assert head.headers["Content-Length"] == whole.headers["Content-Length"]
        assert without_chance(head) == without_chance(whole)
        assert head.content == b""


@ALL
def test_allow_names_head_where_there_is_get(client: Client, guid: str, method: str, path: str) -> None:
    for other, status in (("PUT", 405), ("OPTIONS", 204)):
        response = ask(client, other, path, guid)
        assert response.status_code == status
        methods = response.headers["Allow"].split(", ")
        assert method in methods
        assert ("HEAD" in methods) == ("GET" in methods)
        assert methods == sorted(set(methods))


@VALIDATED
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_matching_validator_gets_304(client: Client, guid: str, method: str, path: str) -> None:
    first = ask(client, "GET", path, guid)
    tag = first.headers["ETag"]

    for condition in (tag, f'"x", {tag}', "*", f"W/{tag.removeprefix('W/')}"):
        again = ask(client, method, path, guid, If_None_Match=condition)

        assert again.status_code == 304, condition
        assert again.content == b""
        for name in ("ETag", "Cache-Control", "Vary", "Cross-Origin-Resource-Policy", "X-Content-Type-Options"):
            assert again.headers.get(name) == first.headers.get(name), name
        assert "Content-Type" not in again.headers
        assert "Content-Length" not in again.headers


@VALIDATED
def test_another_validator_gets_the_whole_answer(client: Client, guid: str, path: str) -> None:
    first = ask(client, "GET", path, guid)

    for condition in ('"x"', "x", "", '"x'):
        again = ask(client, "GET", path, guid, If_None_Match=condition)

        assert again.status_code == 200
        assert again.content == first.content


@VALIDATED
def test_conditions_are_judged_in_the_order_of_rfc_9110(client: Client, guid: str, path: str) -> None:
    tag = ask(client, "GET", path, guid).headers["ETag"]
    # A weak entity tag never matches strongly (section 13.1.1).
    is_strong = not tag.startswith("W/")
    late = "Fri, 31 Dec 9999 23:59:59 GMT"

    for if_match, expected in (('"x"', 412), (tag, 304 if is_strong else 412), ("*", 304)):
        response = ask(client, "GET", path, guid, If_Match=if_match, If_None_Match=tag)
        assert response.status_code == expected, if_match
    # If-None-Match stands above If-Modified-Since.
    assert ask(client, "GET", path, guid, If_None_Match='"x"', If_Modified_Since=late).status_code == 200
    # An answer without Last-Modified has no time to compare with.
    response = ask(client, "GET", path, guid, If_Modified_Since=late)
    assert response.status_code == (304 if "Last-Modified" in ask(client, "GET", path, guid).headers else 200)


@NEEDING_LOGIN
@pytest.mark.parametrize("auth", [None, ("ann", "wrong password")])
def test_conditions_reveal_nothing_to_other_users(
    client: Client, guid: str, method: str, path: str, auth: Login | None
) -> None:
    assert ask(client, method, path, guid, auth=auth, If_None_Match="*").status_code == 401


def test_the_page_can_not_be_framed_and_runs_only_its_own_files(client: Client) -> None:
    page = client.get("/schema")

    policy = dict(rule.strip().split(" ", 1) for rule in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "<script>" not in page.text


def test_each_state_of_a_list_has_a_tag_of_its_own(client: Client, guid: str) -> None:
    def tag(path: str, **headers: str) -> str:
        return client.get(path, auth=ANN, headers=headers).headers["ETag"]

    for path in ("/image?limit=1", "/private/image?limit=1", "/tag?limit=1", "/private/tag?limit=1"):
        before = tag(path)
        assert tag(path) == before
    before = tag("/image?limit=1&sort=created_at")
    assert tag("/image?limit=1&sort=created_at", Prefer="count=exact") != before
    # The body is the same, but there is a next page by now.
    client.post("/image", json={"prompt": "another"}, auth=ANN)
    assert tag("/image?limit=1&sort=created_at") != before


def test_details_that_only_their_author_may_see_are_private(client: Client) -> None:
    created = client.post("/image", json={"prompt": "a"}, auth=ANN, headers={"Prefer": "respond-async"}).json()

    response = client.get(f"/image/{created['guid']}", auth=ANN)

    is_ready = response.json()["status"] == "ready"
    assert response.headers["Cache-Control"] == ("no-cache" if is_ready else "private, no-cache")
    assert response.headers["Vary"] == ("Authorization" if is_ready else "Authorization, Cookie")
