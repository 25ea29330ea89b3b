"""API keys as credentials of requests."""

import asyncio
import logging
from collections.abc import Collection
from uuid import uuid4

import pytest
from httpx import Response

from pixyproxy.domain.api_key import APIKey, KeyScope, make_key_secret
from pixyproxy.domain.user import Principal, parse_user_name
from pixyproxy.entrypoints.access_log import REQUESTS
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import ANN, Client

UNKNOWN = make_key_secret(bytes(26))
WRONG_CHECKSUM = UNKNOWN[:-1] + ("x" if UNKNOWN[-1] != "x" else "y")
WRONG_KEY = 'Bearer realm="pixyproxy", error="invalid_token"'


def make_key(container: Container, user: str = "ann", scopes: Collection[KeyScope] = tuple(KeyScope)) -> str:
    principal = Principal(name=parse_user_name(user))
    return asyncio.run(container.create_key()(principal, name="studio", scopes=scopes)).secret


def bearer(secret: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {secret}"}


def ask(client: Client, headers: dict[str, str], path: str = "/private/image") -> Response:
    return client.get(path, headers=headers)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_a_key_is_the_login_of_its_user(client: Client, container: Container, scheme: str) -> None:
    created = client.post("/private/image", json={"prompt": "a fox"}, headers=bearer(make_key(container), scheme))
    assert created.status_code == 200
    assert created.json()["author"] == "ann"
    assert client.get(f"/private/image/{created.json()['guid']}", auth=ANN).status_code == 200


@pytest.mark.parametrize("token", [UNKNOWN, WRONG_CHECKSUM, "sk-proj-of-another-service", "", "pixy_", "a b", "\xe4"])
def test_a_wrong_key_is_refused_as_a_bearer_token(client: Client, token: str) -> None:
    answer = client.get("/private/image", headers={b"Authorization": f"Bearer {token}".encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == WRONG_KEY
    assert answer.json()["detail"] == "The API key is wrong, expired or revoked."


def test_other_requests_are_challenged_for_a_password(client: Client) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic Og=="}, bearer(UNKNOWN, "Digest")):
        answer = ask(client, headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="pixyproxy", charset="UTF-8"'


@pytest.mark.parametrize("scheme", ["Digest", "Token", "pixy"])
def test_the_refusal_of_another_scheme_names_the_two(client: Client, container: Container, scheme: str) -> None:
    answer = ask(client, bearer(make_key(container), scheme))
    assert answer.status_code == 401
    assert answer.json()["detail"] == "The Authorization header must use the scheme Basic or Bearer."


def test_a_key_is_no_password(client: Client, container: Container) -> None:
    secret = make_key(container)
    for name in ("ann", ""):
        assert client.get("/private/image", auth=(name, secret)).status_code == 401


def test_the_header_api_key_counts_below_v1_alone(client: Client, container: Container) -> None:
    assert ask(client, {"api-key": make_key(container)}).status_code == 401


def test_a_public_image_that_takes_a_login_refuses_a_wrong_key(client: Client) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    assert ask(client, bearer(UNKNOWN), f"/image/{guid}").status_code == 401
    assert ask(client, bearer(UNKNOWN), f"/image/{guid}/content").status_code == 200


def test_a_signed_link_opens_content_whatever_key_comes_along(client: Client, container: Container) -> None:
    guid = client.post("/private/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    link = client.post(f"/private/image/{guid}/link", json={}, auth=ANN).json()["url"].partition("/private")[2]
    for key in (UNKNOWN, make_key(container, "bob"), make_key(container, scopes=[KeyScope.MANAGE])):
        assert ask(client, bearer(key), f"/private{link}").status_code == 200


def test_each_refused_key_is_a_line_without_the_key(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    tokens = [UNKNOWN, WRONG_CHECKSUM, "correct horse", "pixy_secret"]
    with caplog.at_level(logging.INFO):
        answers = [ask(client, bearer(token)) for token in tokens]
    records = [vars(each) for each in caplog.records if each.name == REQUESTS and each.getMessage() == "key refused"]
    prefix = UNKNOWN[:10]
    assert [record["key"] for record in records] == [prefix, prefix, None, None]
    assert [record["request_id"] for record in records] == [answer.headers["X-Request-ID"] for answer in answers]
    for token in tokens:
        assert token not in caplog.text + repr(records)
        assert all(token not in answer.text for answer in answers)


def test_a_revoked_key_is_refused_at_once(client: Client, container: Container) -> None:
    secret = make_key(container)
    assert ask(client, bearer(secret)).status_code == 200
    ann = Principal(name=parse_user_name("ann"))

    async def revoke() -> None:
        (key,) = await container.list_keys()(ann)
        await container.revoke_key()(key.guid, ann)

    asyncio.run(revoke())
    assert ask(client, bearer(secret)).status_code == 401


def test_a_remembered_key_asks_nothing_of_the_database(
    client: Client, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_key(container)
    assert ask(client, bearer(secret)).status_code == 200

    async def find(digest: str) -> APIKey | None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(container.api_keys(), "find", find)
    assert ask(client, bearer(secret)).status_code == 200


@pytest.mark.parametrize("scopes", [[KeyScope.READ], [KeyScope.CREATE], [KeyScope.MANAGE]])
def test_a_missing_scope_is_named(client: Client, container: Container, scopes: Collection[KeyScope]) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    key = bearer(make_key(container, scopes=scopes))
    for needed, answer in (
        (KeyScope.READ, client.get(f"/image/{guid}", headers=key)),
        (KeyScope.READ, client.head("/private/image", headers=key)),
        (KeyScope.READ, client.options("/private/image", headers=key)),
        (KeyScope.CREATE, client.post("/image", json={"prompt": "a fox"}, headers=key)),
        (KeyScope.MANAGE, client.post(f"/private/image/{guid}/link", json={}, headers=key)),
        (KeyScope.MANAGE, client.delete(f"/private/image/{uuid4()}", headers=key)),
    ):
        assert (answer.status_code == 403) == (needed not in scopes)
        if needed not in scopes and answer.request.method != "HEAD":
            assert answer.json()["detail"] == f"This needs an API key with the scope {needed}."
