"""Logging in to the gallery and out of it, as any client does."""

import asyncio
import logging
import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import unquote
from uuid import UUID

import pytest
from dependency_injector import providers
from httpx import Response
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from pixyproxy.adapters.memory.session_store import InMemorySessionStore
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.session import Session
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.gallery.login import OWN_IMAGES, next_of
from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
JSON = SAME_SITE | {"Accept": "application/json"}
COOKIE = re.compile(r"pixyproxy=([0-9A-Za-z_-]{43}); Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")


class FailingSessionStore(InMemorySessionStore):
    """A database that can't be written to any more once `is_read_only`, and answers nothing once `is_away`."""

    is_read_only = False
    is_away = False

    async def find(self, digest: str) -> Session | None:
        if self.is_away:
            raise DBConnectionError("The database can't be reached.")
        return await super().find(digest)

    async def add(self, session: Session) -> None:
        self._ensure_writable()
        await super().add(session)

    async def end(self, guid: UUID) -> None:
        self._ensure_writable()
        await super().end(guid)

    def _ensure_writable(self) -> None:
        if self.is_read_only:
            raise DBConnectionError("The database can't be written to.")


@pytest.fixture
def client(settings: Settings, container: Container) -> Iterator[Client]:
    """A client with an address that follows no redirects and, unlike a browser, keeps no cookies."""
    app = create_app(settings, container)
    handler = app.asgi_handler

    async def with_address(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = ("203.0.113.7", 1234)
        await handler(scope, receive, send)

    app.asgi_handler = with_address
    with TestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield client


def log_in(client: Client, *login: str, headers: dict[str, str] | None = None, **fields: str) -> Response:
    """Send the login form."""
    name, password = login or ANN
    answer = client.post(
        "/gallery/login", data={"name": name, "password": password, **fields}, headers=headers or SAME_SITE
    )
    client.cookies.clear()
    return answer


def token_in(answer: Response) -> str:
    found = COOKIE.fullmatch(answer.headers["Set-Cookie"])
    assert found
    return found[1]


def message_in(page: str) -> str:
    found = re.search(r'<p class="refused" role="alert">(.*?)</p>', page, re.DOTALL)
    assert found
    return unescape(found[1])


def test_the_login_page_has_a_form_and_sets_no_cookie(client: Client) -> None:
    answer = client.get("/gallery/login")
    assert answer.status_code == 200
    assert 'action="/gallery/login"' in answer.text
    assert message_in(answer.text) == ""
    assert "Set-Cookie" not in answer.headers


def test_a_login_sets_the_cookie_and_leads_to_ones_own_images(client: Client) -> None:
    answer = log_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery?scope=mine")
    cookie = {"Cookie": f"pixyproxy={token_in(answer)}"}
    assert client.get("/gallery?scope=mine", headers=cookie).status_code == 200
    assert client.get("/private/image", headers=cookie).status_code == 200


def test_the_token_is_new_each_time_and_the_one_before_ends(client: Client) -> None:
    first = token_in(log_in(client))
    headers = SAME_SITE | {"Cookie": f"pixyproxy={first}"}
    second = token_in(log_in(client, headers=headers))
    assert second != first
    assert client.get("/private/image", headers={"Cookie": f"pixyproxy={first}"}).status_code == 401
    assert client.get("/private/image", headers={"Cookie": f"pixyproxy={second}"}).status_code == 200


def test_a_planted_cookie_is_not_adopted(client: Client, container: Container) -> None:
    planted = "A" * 43
    token = token_in(log_in(client, headers=SAME_SITE | {"Cookie": f"pixyproxy={planted}"}))
    assert token != planted
    assert client.get("/private/image", headers={"Cookie": f"pixyproxy={planted}"}).status_code == 401
    assert len(asyncio.run(container.sessions().list())) == 1


@pytest.mark.parametrize(
    "login",
    [("ann", "wrong horse"), ("stranger", "correct horse"), ("", ""), ("a:b", "correct horse"), ("ann", "x" * 2_000)],
)
def test_a_wrong_login_keeps_the_name_and_never_the_password(client: Client, login: tuple[str, str]) -> None:
    answer = log_in(client, *login)
    assert answer.status_code == 422
    assert message_in(answer.text) == "The user name or the password is wrong."
    assert f'name="name" value="{login[0]}"' in answer.text
    assert not login[1] or login[1] not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert "WWW-Authenticate" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_name_full_of_html_is_shown_as_it_was_typed(client: Client) -> None:
    name = "\"><script>alert('1')</script>&amp;🦊"
    answer = log_in(client, name, "wrong horse")
    assert "<script>alert" not in answer.text
    found = re.search(r'name="name" value="([^"]*)"', answer.text)
    assert found
    assert unescape(found[1]) == name


def test_missing_fields_are_a_wrong_login(client: Client) -> None:
    for data in ({}, {"name": "ann"}, {"password": "correct horse"}):
        assert client.post("/gallery/login", data=data, headers=SAME_SITE).status_code in {415, 422}


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_only_a_form_is_a_login(client: Client, content_type: str) -> None:
    headers = SAME_SITE | {"Content-Type": content_type}
    answer = client.post("/gallery/login", content=b"name=ann&password=correct+horse", headers=headers)
    assert answer.status_code == 415
    assert "Set-Cookie" not in answer.headers


def test_twenty_wrong_logins_are_refused_with_the_seconds_to_wait(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="pixyproxy.requests"):
        answers = [log_in(client, "ann", "wrong horse") for _ in range(20)]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [422] * 10 + [429] * 10
    wait = answers[-1].headers["Retry-After"]
    message = f"Too many wrong logins with this user name. Try again in {wait} seconds."
    assert message_in(answers[-1].text) == message
    refused = [record for record in caplog.records if record.message == "login refused"]
    assert [vars(record)["problem"] for record in refused] == ["AuthenticationError"] * 10 + ["TooManyLoginsError"] * 10
    assert {vars(record)["user"] for record in refused} == {"'ann'"}
    assert log_in(client, *BOB).status_code == 303


def test_a_page_that_logs_in_again_in_place_gets_json(client: Client) -> None:
    right = log_in(client, headers=JSON)
    assert (right.status_code, right.json()) == (200, {"user": "ann"})
    assert COOKIE.fullmatch(right.headers["Set-Cookie"])
    wrong = log_in(client, "ann", "wrong horse", headers=JSON)
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (422, "application/problem+json")
    assert wrong.json()["status"] == 422
    assert wrong.json()["detail"] == "The user name or the password is wrong."
    assert "WWW-Authenticate" not in wrong.headers


def test_another_site_can_not_log_its_visitors_in(client: Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Accept": "text/html"}):
        answer = log_in(client, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_a_logout_ends_the_session_and_deletes_the_cookie(client: Client, container: Container) -> None:
    cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
    answer = client.post("/gallery/logout", headers=SAME_SITE | cookie)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery")
    assert answer.headers["Set-Cookie"] == "pixyproxy=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert client.get("/private/image", headers=cookie).status_code == 401
    assert asyncio.run(container.sessions().list()) == []
    assert client.post("/gallery/logout", headers=SAME_SITE | cookie).status_code == 303
    assert client.post("/gallery/logout", headers=SAME_SITE).status_code == 303


def test_a_link_does_not_log_anybody_out(client: Client) -> None:
    cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
    assert client.get("/gallery/logout", headers=cookie).status_code in {404, 405}
    assert client.post("/gallery/logout", headers=cookie | {"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/private/image", headers=cookie).status_code == 200


class TestWithAFailingDatabase:
    @pytest.fixture
    def sessions(self, container: Container) -> FailingSessionStore:
        sessions = FailingSessionStore()
        container.sessions.override(providers.Object(sessions))
        return sessions

    def test_the_login_page_says_why_one_can_not_log_in(self, sessions: FailingSessionStore, client: Client) -> None:
        sessions.is_read_only = True
        answer = log_in(client)
        assert answer.status_code == 503
        assert message_in(answer.text) == "You can’t log in at the moment. The database can't be written to."
        assert "Set-Cookie" not in answer.headers

    def test_reading_goes_on_with_a_session(self, sessions: FailingSessionStore, client: Client) -> None:
        cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
        sessions.is_read_only = True
        assert client.get("/gallery?scope=mine", headers=cookie).status_code == 200

    def test_a_logout_logs_the_browser_out_at_least(self, sessions: FailingSessionStore, client: Client) -> None:
        cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
        sessions.is_read_only = True
        answer = client.post("/gallery/logout", headers=SAME_SITE | cookie)
        assert answer.status_code == 503
        assert "The database can&#39;t be written to." in answer.text
        assert answer.headers["Set-Cookie"].startswith("pixyproxy=; ")

    def test_so_does_one_while_the_database_is_away(self, sessions: FailingSessionStore, client: Client) -> None:
        cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
        sessions.is_away = True
        answer = client.post("/gallery/logout", headers=SAME_SITE | cookie)
        assert answer.status_code == 503
        assert answer.headers["Set-Cookie"].startswith("pixyproxy=; ")


@pytest.mark.parametrize(
    "text",
    [
        "/gallery",
        "/gallery/new",
        "/gallery/image/0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11?scope=mine&q=a%20fox",
        "/gallery?q=//evil.example\\&tag=a#x",
    ],
)
def test_a_page_of_the_gallery_may_be_next(client: Client, text: str) -> None:
    assert next_of(text) == text
    answer = log_in(client, next=text)
    assert answer.headers["Location"].startswith(text.partition("?")[0])


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "/",
        "/schema",
        "/private/image",
        "//evil.example/gallery",
        "/gallery//evil.example",
        "/gallery/../private/image",
        "/gallery/%2e%2e/private/image",
        "/gallery/..",
        "/gallery\\evil.example",
        "/\\evil.example",
        "https://evil.example/gallery",
        "javascript:alert(1)",
        "/galleryx",
        "/gallery@evil.example",
        "/gallery.evil.example",
        "/gallery/new\n",
        "/gallery?a\r\nSet-Cookie: x=y",
        " /gallery",
        "/gallery?é",
        "/gallery?" + "a" * 5_000,
    ],
)
def test_nothing_else_may_be_next(client: Client, text: str | None) -> None:
    assert next_of(text) == OWN_IMAGES
    answer = log_in(client, next=text or "")
    assert answer.headers["Location"] == OWN_IMAGES
    shown = client.get("/gallery/login", params={} if text is None else {"next": text})
    assert f'name="next" type="hidden" value="{OWN_IMAGES}"' in shown.text


def test_a_visitor_is_led_to_the_login_and_back(client: Client) -> None:
    answer = client.get("/gallery?scope=mine&q=fox")
    assert answer.status_code == 303
    page = client.get(answer.headers["Location"]).text
    found = re.search(r'name="next" type="hidden" value="([^"]*)"', page)
    assert found
    back = log_in(client, next=unescape(found[1]))
    assert back.headers["Location"] == "/gallery?scope=mine&q=fox"


@pytest.mark.parametrize("action", ["image/{guid}/share", "image/{guid}/again", "download"])
def test_after_a_form_that_needed_a_login_the_login_leads_to_a_page(client: Client, action: str) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    path = f"/gallery/{action.format(guid=guid)}"
    refused = client.post(path, data={"guid": guid}, headers=SAME_SITE)
    assert refused.status_code == 401
    link = re.search(r'href="/gallery/login\?next=([^"]+)"', refused.text)
    assert link

    answer = client.get(unquote(link[1]), auth=ANN, follow_redirects=True)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_user_who_is_logged_in_is_led_past_the_login(client: Client) -> None:
    cookie = {"Cookie": f"pixyproxy={token_in(log_in(client))}"}
    answer = client.get("/gallery/login?next=/gallery/new", headers=cookie)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery/new")


class TestBelowAPrefix:
    """Behind a proxy, with https."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(public_url="https://pixy.example/p")

    def test_addresses_have_the_prefix_and_the_cookie_is_a_hosts(self, client: Client) -> None:
        assert 'action="/p/gallery/login"' in client.get("/p/gallery/login").text
        answer = log_in(client, next="/gallery/new")
        assert answer.headers["Location"] == "/p/gallery/new"
        assert answer.headers["Set-Cookie"].startswith("__Host-pixyproxy=")
        assert answer.headers["Set-Cookie"].endswith("; Path=/; Secure; Max-Age=2592000; HttpOnly; SameSite=Lax")
        name, _, token = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
        assert client.get("/p/private/image", headers={"Cookie": f"{name}={token}"}).status_code == 200
        assert client.get("/p/private/image", headers={"Cookie": f"pixyproxy={token}"}).status_code == 401
