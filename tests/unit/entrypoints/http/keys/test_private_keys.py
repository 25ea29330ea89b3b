"""One's own API keys over HTTP, and those of others for administrators."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response

from pixyproxy.domain.api_key import APIKey, parse_key_secret
from pixyproxy.domain.user import OPERATOR
from pixyproxy.entrypoints.access_log import REQUESTS
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login

PATH = "/private/key"
EVE: Login = ("eve", "root of all")
MEMBERS = {
    "guid", "name", "user", "prefix", "state", "scopes", "visibility", "tags", "created_at", "expires_at",
    "last_used_at", "revoked_at",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _administrator(container: Container) -> None:
    asyncio.run(container.add_user()(*EVE, is_admin=True))


def make(client: Client, auth: Login = ANN, **fields: Any) -> dict[str, Any]:
    """Make a key and return what is shown of it."""
    answer = client.post(PATH, json={"name": "studio", **fields}, auth=auth)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


def stored(container: Container) -> Sequence[APIKey]:
    return asyncio.run(container.list_keys()(OPERATOR, of_all=True))


def fields_of(answer: Response) -> list[str]:
    """Return the fields that a 400 blames."""
    assert answer.status_code == 400, answer.text
    return [error["field"] for error in answer.json()["errors"]]


def test_a_new_key_is_shown_once_and_works(client: Client) -> None:
    answer = client.post(PATH, json={"name": "studio"}, auth=ANN)
    made = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(made) == {*MEMBERS, "key"}
    assert parse_key_secret(made["key"]) == made["key"]
    assert made["key"].startswith(made["prefix"])
    assert client.get("/private/image", headers=bearer(made)).status_code == 200
    assert made["key"] not in client.get(PATH, auth=ANN).text


def test_a_key_reads_and_creates_and_never_expires_unless_it_is_told_otherwise(client: Client) -> None:
    made = make(client)
    assert (made["name"], made["user"], made["state"]) == ("studio", "ann", "active")
    assert made["scopes"] == ["read", "create"]
    assert made["tags"] == []
    assert [made[name] for name in ("visibility", "expires_at", "last_used_at", "revoked_at")] == [None] * 4
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None


def test_a_key_is_made_with_all_that_is_asked_for(client: Client) -> None:
    asked: dict[str, Any] = {
        "name": "日本 x",
        "scopes": ["manage", "read"],
        "expires_at": "2127-01-31T18:00:00+02:00",
        "visibility": "public",
        "tags": ["fox", "Zo\u00eb"],
        "user": "ann",
    }
    made = make(client, **asked)
    assert made == {
        **made, **asked, "scopes": ["read", "manage"], "expires_at": "2127-01-31T16:00:00Z"
    }  # fmt: skip


def test_a_list_has_ones_own_keys_without_their_secrets_the_oldest_first(client: Client) -> None:
    first, second = make(client), make(client, name="other")
    make(client, BOB)
    answer = client.get(PATH, auth=ANN)
    assert [key["guid"] for key in answer.json()] == [first["guid"], second["guid"]]
    assert all(set(key) == MEMBERS for key in answer.json())
    assert not any(made["key"] in answer.text for made in (first, second))


def test_a_list_shows_when_a_key_was_used_and_that_it_is_revoked(client: Client) -> None:
    made = make(client)
    client.get("/private/image", headers=bearer(made))
    (used,) = client.get(PATH, auth=ANN).json()
    assert used["last_used_at"].endswith(":00Z")
    client.delete(f"{PATH}/{made['guid']}", auth=ANN)
    (revoked,) = client.get(PATH, auth=ANN).json()
    assert revoked["state"] == "revoked"
    assert revoked["revoked_at"] is not None


def test_an_expired_key_is_refused_and_shown_as_such(client: Client) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    made = make(client, expires_at=soon.isoformat())
    while client.get("/private/image", headers=bearer(made)).status_code == 200:
        assert datetime.now(UTC) < soon + timedelta(seconds=30)
    assert client.get("/private/image", headers=bearer(made)).status_code == 401
    assert client.get(PATH, auth=ANN).json()[0]["state"] == "expired"


def test_a_revoked_key_is_refused_at_once_and_again_revoked_without_a_change(client: Client) -> None:
    made, other = make(client), make(client)
    client.get("/private/image", headers=bearer(made))
    for _ in range(2):
        assert client.delete(f"{PATH}/{made['guid']}", auth=ANN).status_code == 204
        assert client.get("/private/image", headers=bearer(made)).status_code == 401
    assert client.get("/private/image", headers=bearer(other)).status_code == 200


def test_the_keys_of_other_users_are_out_of_reach(client: Client) -> None:
    made = make(client, BOB)
    unknown, others = (client.delete(f"{PATH}/{guid}", auth=ANN) for guid in (uuid4(), made["guid"]))
    assert unknown.status_code == others.status_code == 404
    assert unknown.json()["detail"] == others.json()["detail"]
    for path in (f"{PATH}?user=bob", f"{PATH}?user=stranger", f"{PATH}?all=true", f"{PATH}?user="):
        assert client.get(path, auth=ANN).status_code == 403
    for user in ("bob", "stranger", ""):
        assert client.post(PATH, json={"name": "studio", "user": user}, auth=ANN).status_code == 403
    assert client.get("/private/image", headers=bearer(made)).status_code == 200
    assert client.get(f"{PATH}?user=ann&all=false", auth=ANN).json() == []


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/{UUID(int=1)}")])
def test_no_key_manages_keys_not_even_an_administrators(client: Client, method: str, path: str) -> None:
    for auth in (ANN, EVE):
        made = make(client, auth, scopes=["read", "create", "manage"])
        answer = client.request(method, path, headers=bearer(made), json={"name": "studio"})
        assert answer.status_code == 403
        assert "password" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/{UUID(int=1)}")])
def test_without_a_login_there_are_no_keys(client: Client, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer pixy_nonsense"}):
        assert client.request(method, path, headers=headers, json={"name": "studio"}).status_code == 401


def test_an_administrator_lists_makes_and_revokes_the_keys_of_all_users(client: Client, container: Container) -> None:
    anns, own = make(client), make(client, EVE)
    bobs = make(client, EVE, user="bob")
    assert bobs["user"] == "bob"
    assert [key["guid"] for key in client.get(PATH, auth=EVE).json()] == [own["guid"]]
    assert [key["guid"] for key in client.get(f"{PATH}?user=bob", auth=EVE).json()] == [bobs["guid"]]
    assert [key["guid"] for key in client.get(f"{PATH}?all=true", auth=EVE).json()] == [
        anns["guid"], own["guid"], bobs["guid"]
    ]  # fmt: skip
    assert client.delete(f"{PATH}/{anns['guid']}", auth=EVE).status_code == 204
    assert [key.revoked_at is None for key in stored(container)] == [False, True, True]


def test_an_administrator_is_told_of_an_unknown_user(client: Client) -> None:
    assert client.get(f"{PATH}?user=stranger", auth=EVE).status_code == 404
    assert client.post(PATH, json={"name": "studio", "user": "stranger"}, auth=EVE).status_code == 404
    assert fields_of(client.get(f"{PATH}?user=a:b", auth=EVE)) == ["user"]
    assert fields_of(client.post(PATH, json={"name": "studio", "user": "a:b"}, auth=EVE)) == ["user"]


def test_each_reach_of_an_administrator_at_anothers_keys_is_one_line_of_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    made, own = make(client), make(client, EVE)
    caplog.set_level(logging.INFO, REQUESTS)
    client.get(f"{PATH}?user=bob", auth=EVE)
    client.get(f"{PATH}?all=true", auth=EVE)
    bobs = make(client, EVE, user="bob")
    client.delete(f"{PATH}/{made['guid']}", auth=EVE)
    for quiet in (PATH, f"{PATH}?user=eve", f"{PATH}?user=stranger"):
        client.get(quiet, auth=EVE)
    client.delete(f"{PATH}/{own['guid']}", auth=EVE)
    client.get(f"{PATH}?user=bob", auth=ANN)
    seen = [record for record in caplog.records if record.message == "administrator access"]
    assert [vars(record)["author"] for record in seen] == ["bob", None, "bob", "ann"]
    assert {vars(record)["user"] for record in seen} == {"eve"}
    assert [vars(record)["guid"] for record in seen] == [None, None, bobs["guid"], made["guid"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["read", "admin"]}, "scopes[1]"),
        ({"scopes": None}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2127-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
        ({"expires_at": "2127-01-31"}, "expires_at"),
        ({"expires_at": "90d"}, "expires_at"),
        ({"expires_at": 4_000_000_000}, "expires_at"),
        ({"visibility": "secret"}, "visibility"),
        ({"tags": ["a", "a"]}, "tags"),
        ({"tags": ["x"] * 33}, "tags"),
        ({"tags": ["fox", " "]}, "tags[1]"),
        ({"tags": "fox"}, "tags"),
        ({"user": 7}, "user"),
        ({"key": "pixy_mine"}, "key"),
        ({"guid": str(UUID(int=1))}, "guid"),
    ],
)
def test_a_body_that_breaks_a_rule_is_blamed_on_its_field_and_makes_no_key(
    client: Client, container: Container, body: dict[str, Any], field: str
) -> None:
    whole = body if not body or "name" in body else {"name": "studio", **body}
    assert fields_of(client.post(PATH, json=whole, auth=ANN)) == [field]
    assert stored(container) == []


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"name": "a", "name": "b"}', "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "studio"}', "text/plain", 415),
        (b"name=studio", "application/x-www-form-urlencoded", 415),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_no_json_object_makes_no_key(
    client: Client, container: Container, content: bytes, media_type: str, status: int
) -> None:
    answer = client.post(PATH, content=content, headers={"Content-Type": media_type}, auth=ANN)
    assert answer.status_code == status
    assert stored(container) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("all=yes", "all"),
        ("all=", "all"),
        ("all=true&user=bob", "all"),
        ("all=true&all=true", "all"),
        ("user=bob&user=ann", "user"),
        ("limit=1", "limit"),
        ("User=bob", "User"),
    ],
)
def test_a_query_that_breaks_a_rule_is_blamed_on_its_parameter(client: Client, query: str, field: str) -> None:
    for auth in (ANN, EVE):
        assert fields_of(client.get(f"{PATH}?{query}", auth=auth)) == [field]


def test_a_key_is_named_by_a_guid(client: Client) -> None:
    assert fields_of(client.delete(f"{PATH}/nonsense", auth=ANN)) == ["guid"]


def test_who_has_the_list_already_gets_a_304_until_something_changes(client: Client) -> None:
    make(client)
    tag = client.get(PATH, auth=ANN).headers["ETag"]
    assert client.get(PATH, auth=ANN, headers={"If-None-Match": tag}).status_code == 304
    make(client)
    assert client.get(PATH, auth=ANN, headers={"If-None-Match": tag}).status_code == 200
