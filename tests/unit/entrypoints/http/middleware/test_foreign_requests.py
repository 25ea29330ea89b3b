"""Requests that a browser sends for a page of another site."""

import asyncio
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from pixyproxy.domain.api_key import KeyScope
from pixyproxy.domain.user import Principal, parse_user_name
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, Client

APP = "https://app.example"


@pytest.fixture
def settings() -> Settings:
    return Settings(
        public_url="https://pixy.example.org",
        allowed_hosts="localhost,pixy.example.org,*.example.net",
        cors_origins=f"{APP},http://localhost:3000",
        anonymous_create=True,
    )


@pytest.fixture
def client(settings: Settings, container: Container) -> Iterator[Client]:
    with TestClient(create_app(settings, container), base_url="http://pixy.example.org") as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "pixy.example.org",
        "pixy.example.org.:443",
        "a.example.net",
        "a.b.example.net:1",
        "127.0.0.1",
        "127.0.0.1:8000",
        "203.0.113.7",
        "[::1]",
        "[2001:db8::1]:8000",
    ],
)
def test_an_allowed_host_and_any_ip_address_are_answered(client: Client, host: str) -> None:
    assert client.get("/image", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "example.net",
        "badexample.net",
        "pixy.example.org.evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "0x7f.1",
        "",
    ],
)
def test_any_other_name_is_a_problem_that_names_the_setting(client: Client, host: str) -> None:
    answer = client.get("/image", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    if answer.json()["detail"] != "Invalid host header":
        assert "PIXYPROXY_ALLOWED_HOSTS" in answer.json()["detail"]
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_answered_under_any_name(client: Client, path: str) -> None:
    assert client.get(path, headers={"Host": "10-0-0-7.pod.cluster.local"}).status_code == 200


def test_a_client_that_is_no_browser_may_do_everything(client: Client) -> None:
    assert client.post("/image", json={"prompt": "a fox"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": APP},
        {"Origin": APP},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://pixy.example.org"},
        {"Origin": "http://localhost", "Host": "localhost"},
        {"Origin": "https://localhost", "Host": "localhost:443"},
        {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"},
    ],
)
def test_a_page_of_the_service_or_of_an_allowed_origin_may_do_everything(
    client: Client, headers: dict[str, str]
) -> None:
    assert client.post("/image", json={"prompt": "a fox"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9999", "Host": "localhost:8000"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://pixy.example.org"},
        {"Sec-Fetch-Site": "anything else"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999", "Host": "localhost:8000"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://[::1"},
        {"Origin": "https://app.example.evil.example"},
        {"Origin": "http://app.example"},
    ],
)
@pytest.mark.parametrize("auth", [None, ANN], ids=["no login", "Basic"])
def test_a_page_of_another_site_may_change_nothing(
    client: Client, headers: dict[str, str], auth: tuple[str, str] | None
) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    for method, path, body in (
        ("POST", "/image", {"prompt": "a fox"}),
        ("POST", "/private/image/bulk/delete", {"guids": [guid]}),
        ("PATCH", f"/private/image/{guid}", {"tags": []}),
        ("DELETE", f"/private/image/{guid}", None),
    ):
        answer = client.request(method, path, json=body, headers=headers, auth=auth)
        assert answer.status_code == 403, (method, answer.text)
        assert answer.json()["type"] == "urn:pixyproxy:problem:operation-not-allowed"
        assert "PIXYPROXY_CORS_ORIGINS" in answer.json()["detail"]
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get(f"/image/{guid}", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_key_is_no_credential_that_a_browser_adds_by_itself(
    client: Client, container: Container, headers: dict[str, str]
) -> None:
    ann = Principal(name=parse_user_name(ANN[0]))
    secret = asyncio.run(container.create_key()(ann, name="studio", scopes=list(KeyScope))).secret
    key = {"Authorization": f"bearer {secret}"}
    created = client.post("/image", json={"prompt": "a fox"}, headers={**headers, **key})
    assert created.status_code == 200
    assert client.delete(f"/private/image/{created.json()['guid']}", headers={**headers, **key}).status_code == 204


@pytest.mark.parametrize("name", ["api-key", "Authorization"])
def test_a_key_that_is_none_exempts_from_nothing(client: Client, name: str) -> None:
    value = "pixy_" if name == "api-key" else "Digest pixy_"
    answer = client.post("/image", json={"prompt": "a fox"}, headers={"Origin": "https://evil.example", name: value})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"api-key": "pixy_"}, 404), ({"Authorization": "Bearer pixy_"}, 404), ({}, 403), ({"api-secret": "pixy_"}, 403)],
)
def test_below_v1_the_header_api_key_is_as_good(client: Client, headers: dict[str, str], status: int) -> None:
    answer = client.post("/v1/nothing", json={}, headers={"Origin": "https://evil.example", **headers})
    assert answer.status_code == status


def test_an_allowed_origin_may_read_answers_and_problems(client: Client) -> None:
    for path, status in (
        ("/image", 200),
        ("/image/unknown", 400),
        ("/nothing", 404),
        ("/a//b", 404),
        ("/private/image", 401),
    ):
        answer = client.get(path, headers={"Origin": APP})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert {"ETag", "X-Request-ID", "X-Should-Retry", "Retry-After"} <= exposed
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_the_answers_own_vary_stays(client: Client) -> None:
    assert client.get("/private/image", auth=ANN).headers["Vary"] == "Authorization, Cookie, Prefer, Origin"


def test_a_preflight_says_what_an_allowed_origin_may_send(client: Client) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
    answer = client.options("/private/image/x", headers={"Origin": APP, **asked})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "If-Match"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    other = client.options("/image", headers={"Origin": "https://evil.example", **asked})
    assert not [name for name in other.headers if name.startswith("access-control")]


def test_a_preflight_allows_what_openais_client_sends_from_a_browser(client: Client) -> None:
    sent = (
        "api-key,authorization,content-type,http-referer,idempotency-key,openai-organization,openai-project,user-agent,"
        "x-client-request-id,x-stainless-arch,x-stainless-retry-count,x-stainless-something-new,x-title"
    )
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": f"{sent},x-evil, x-stainless-"}
    answer = client.options("/v1/images/generations", headers={"Origin": APP, **asked})
    assert answer.status_code == 204
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(sent.split(",")) <= set(allowed)
    assert not [name for name in allowed if name == "x-evil" or name.strip() != name]


class TestWithoutTheSettings:
    """An application that is embedded, and told nothing."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings()

    def test_any_host_is_answered(self, client: Client) -> None:
        assert client.get("/image", headers={"Host": "anything.example"}).status_code == 200

    def test_pages_of_other_sites_are_refused_all_the_same(self, client: Client) -> None:
        headers = {"Origin": "https://evil.example"}
        assert client.post("/image", json={"prompt": "a fox"}, headers=headers, auth=ANN).status_code == 403
        headers = {"Origin": "http://anything.example", "Host": "anything.example"}
        assert client.post("/image", json={"prompt": "a fox"}, headers=headers, auth=ANN).status_code == 200

    def test_nothing_is_said_of_other_origins(self, client: Client) -> None:
        answer = client.get("/image", headers={"Origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["Vary"] == "Prefer"
