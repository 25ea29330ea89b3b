"""Below `/v1` each layer refuses in OpenAI's shape."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from litestar.testing import TestClient

from pixyproxy.domain.api_key import TOKEN_SIZE, APIKey, KeyScope, make_key_secret
from pixyproxy.domain.user import OPERATOR, parse_user_name
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.middleware.path_prefix import PathPrefix
from pixyproxy.entrypoints.http.middleware.request_log import RequestLog
from pixyproxy.entrypoints.public_url import parse_public_url
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.auth.test_keys import bearer, make_key
from tests.unit.entrypoints.http.conftest import Client
from tests.unit.entrypoints.http.openai.error_bodies import openai_problem

PREFIXED = Settings(public_url="https://example.org/pixy", allowed_hosts="testserver.local,testserver")


@pytest.fixture
def prefixed() -> Iterator[Client]:
    with TestClient(create_app(PREFIXED, in_memory_container(PREFIXED)), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1", "http://testserver/v1/images/generations"),
        ("/v1/", "http://testserver/v1/images/edits"),
        ("/v1/nowhere", "http://testserver/v1/models"),
        ("/v1/images/variations", "does not make variations"),
        ("/v1/responses", "only OpenAI's images API"),
        ("/v1/chat/completions", "only OpenAI's images API"),
        ("/v1/v1/images/generations", "twice. The base URL is http://testserver/v1."),
        ("/images/generations", "is http://testserver/v1."),
        ("/images/edits", "is http://testserver/v1."),
        ("/models", "is http://testserver/v1."),
        ("/models/gpt-image-2", "is http://testserver/v1."),
        ("/v1//images/generations", "http://testserver/v1, without a slash"),
        ("//v1/images/generations", "http://testserver/v1, without a slash"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_answered_with_the_right_one(client: Client, method: str, path: str, told: str) -> None:
    error = openai_problem(client.request(method, f"http://testserver{path}"), 404, code="endpoint_not_found")
    assert told in error["message"]


@pytest.mark.parametrize("sent", ["", "/pixy"])
@pytest.mark.parametrize("path", ["/images/generations", "/v1/v1/images/generations", "/v1//images/generations"])
def test_the_right_base_url_is_the_public_one(prefixed: Client, sent: str, path: str) -> None:
    error = openai_problem(prefixed.post(f"http://testserver{sent}{path}"), 404)
    assert "https://example.org/pixy/v1" in error["message"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1x/images", "/x/v1/images", "/pixyish/v1/models"])
def test_other_paths_are_refused_with_problems(prefixed: Client, path: str) -> None:
    assert prefixed.get(path).headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("sent", ["", "/pixy"])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1%2Fmodels", [], 404),
        ("/v1/models", [("Content-Encoding", "gzip")], 415),
        ("/v1/models", [("Host", "elsewhere.example")], 400),
        ("/v1/models", [("Sec-Fetch-Site", "cross-site")], 403),
    ],
)
def test_the_outer_layers_refuse_in_the_same_shape(
    prefixed: Client, sent: str, path: str, headers: list[tuple[str, str]], status: int
) -> None:
    openai_problem(prefixed.post(f"{sent}{path}", headers=headers), status)


@pytest.mark.parametrize("scope", list(KeyScope))
def test_a_missing_scope_is_refused_before_the_body_is_read(
    client: Client, container: Container, scope: KeyScope
) -> None:
    key = bearer(make_key(container, scopes=[scope]))
    for needed, method, path in (
        (KeyScope.READ, "GET", "/v1/models"),
        (KeyScope.READ, "GET", "/v1/models/gpt-image-2"),
        (KeyScope.CREATE, "POST", "/v1/images/generations"),
        (KeyScope.CREATE, "POST", "/v1/images/edits"),
    ):
        response = client.request(method, path, headers={**key, "Content-Type": "application/json"})
        if scope is needed:
            assert response.status_code == (200 if needed is KeyScope.READ else 400)
        else:
            error = openai_problem(response, 403, code="operation_not_allowed")
            assert error["message"] == f"This needs an API key with the scope {needed}."


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
def test_a_key_that_is_revoked_or_expired_is_refused(client: Client, container: Container, path: str) -> None:
    ann = parse_user_name("ann")
    revoked = make_key(container)
    (key,) = asyncio.run(container.api_keys().list(ann))
    asyncio.run(container.revoke_key()(key.guid, OPERATOR))
    expired = make_key_secret(bytes(TOKEN_SIZE))
    before = datetime.now(UTC) - timedelta(hours=1)
    old = APIKey.made(expired, guid=uuid4(), name="old", user=ann, expires_at=before + timedelta(seconds=1), at=before)
    asyncio.run(container.api_keys().add(old))

    for secret in (revoked, expired):
        response = client.post(path, headers=bearer(secret))
        error = openai_problem(response, 401, code="invalid_api_key")
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        assert error["maybe_billed"] is False


@pytest.mark.parametrize("path", ["/v1/images/generations", "/pixy/v1/images/generations"])
async def test_a_creation_that_the_shutdown_breaks_off_is_not_sent_again(path: str) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.Event().wait()

    for method, status, maybe_billed in (("POST", 424, True), ("GET", 503, None)):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope: Any = {"type": "http", "method": method, "path": path, "headers": [], "state": {}}
        layers = RequestLog(PathPrefix(app, parse_public_url("https://example.org/pixy")))
        running = asyncio.create_task(layers(scope, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        running.cancel()
        await running

        start, body = sent
        headers = dict(start["headers"])
        assert start["status"] == status
        assert headers[b"content-type"] == b"application/json"
        assert headers.get(b"x-should-retry") == (b"false" if maybe_billed else None)
        assert json.loads(body["body"])["error"].get("maybe_billed") is maybe_billed
