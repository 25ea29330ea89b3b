"""Sessions as logins: the cookie, the sites whose pages may use it, and the challenges."""

import asyncio
import json
from collections.abc import Iterator
from uuid import UUID

import pytest
from litestar.testing import TestClient
from litestar.types import Scope

from pixyproxy.application.open_session import OpenedSession
from pixyproxy.domain.session import SessionToken, make_session_token
from pixyproxy.domain.user import Principal, parse_user_name
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.session_cookie import login_cookie, no_cookie, token_of
from pixyproxy.entrypoints.settings import GallerySwitch, Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.serving import HeldGenerator, events, serving

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
FOX = {"prompt": "a fox"}
BASIC = 'Basic realm="pixyproxy", charset="UTF-8"'
SESSION = 'Session realm="pixyproxy"'
APP = "https://app.example"
PRINCIPAL = Principal(name=parse_user_name(ANN[0]))


def scope(scheme: str = "http", origin: str | None = None, prefix: str = "", *cookies: str) -> Scope:
    """Return the scope of a request, as the middleware leaves it."""
    state = {"prefix": prefix} | ({} if origin is None else {"public_origin": origin})
    headers = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    return {"type": "http", "scheme": scheme, "headers": headers, "state": state}  # type: ignore[return-value]


TOKEN = make_session_token(bytes(32))


@pytest.mark.parametrize(
    ("request_scope", "cookie"),
    [
        (scope("http"), f"pixyproxy={TOKEN}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"),
        (scope("http", prefix="/p"), f"pixyproxy={TOKEN}; Path=/p; Max-Age=60; HttpOnly; SameSite=Lax"),
        (scope("https"), f"__Host-pixyproxy={TOKEN}; Path=/; Secure; Max-Age=60; HttpOnly; SameSite=Lax"),
        (
            scope("http", "https://pixy.example", "/p"),
            f"__Host-pixyproxy={TOKEN}; Path=/; Secure; Max-Age=60; HttpOnly; SameSite=Lax",
        ),
        (scope("https", "http://pixy.example"), f"pixyproxy={TOKEN}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"),
    ],
    ids=["http", "http below a prefix", "https", "https in front", "http in front"],
)
def test_the_cookie_is_as_strict_as_the_address_allows(request_scope: Scope, cookie: str) -> None:
    assert login_cookie(request_scope, TOKEN, 60) == cookie


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_that_deletes_differs_in_value_and_age_alone(scheme: str) -> None:
    assert no_cookie(scope(scheme)) == login_cookie(scope(scheme), SessionToken(""), 0)


@pytest.mark.parametrize(
    ("scheme", "cookies", "token"),
    [
        ("http", ("pixyproxy=abc",), "abc"),
        ("http", ("a=b; pixyproxy=abc; c=d",), "abc"),
        ("http", ("a=b;pixyproxy = abc ",), "abc"),
        ("http", ("a=b", "pixyproxy=abc"), "abc"),
        ("http", ("pixyproxy=first; pixyproxy=second",), "first"),
        ("http", ("pixyproxy=",), ""),
        ("http", ("pixyproxy",), ""),
        ("http", ("pixyproxy=a=b",), "a=b"),
        ("http", ("pixyproxy=\xff",), "\xff"),
        ("https", ("__Host-pixyproxy=abc",), "abc"),
        ("http", (), None),
        ("http", ("",), None),
        ("http", ("Pixyproxy=abc; xpixyproxy=abc; pixyproxy2=abc",), None),
        # A page on http or of a neighbouring host can plant one, and no other can plant one with the prefix.
        ("https", ("pixyproxy=abc",), None),
        ("http", ("__Host-pixyproxy=abc",), None),
    ],
)
def test_the_token_is_that_of_the_cookie_that_this_address_has(
    scheme: str, cookies: tuple[str, ...], token: str | None
) -> None:
    assert token_of(scope(scheme, None, "", *cookies)) == token


@pytest.fixture
def settings() -> Settings:
    return Settings(cors_origins=APP)


@pytest.fixture
def opened(container: Container) -> OpenedSession:
    return asyncio.run(container.open_session()(*ANN))


@pytest.fixture
def cookie(opened: OpenedSession) -> dict[str, str]:
    """The header of Ann's browser."""
    return {"Cookie": f"pixyproxy={opened.token}"}


def test_a_session_is_a_login_wherever_a_password_is(client: Client, cookie: dict[str, str]) -> None:
    own = cookie | SAME_SITE
    made = client.post("/private/image", json=FOX, headers=own)
    assert made.status_code == 200
    path = f"/private/image/{made.json()['guid']}"
    assert made.json()["author"] == ANN[0]
    assert client.get("/private/image", headers=cookie).json()[0]["guid"] == made.json()["guid"]
    assert client.get(f"{path}/content", headers=cookie).status_code == 200
    assert client.patch(path, json={"tags": ["fox"]}, headers=own).status_code == 200
    assert client.get("/private/tag", headers=cookie).json() == [{"tag": "fox", "images": 1}]
    assert client.get("/private/key", headers=cookie).status_code == 200
    assert client.post("/image", json=FOX, headers=own).status_code == 200
    assert client.get("/v1/models", headers=cookie).status_code == 200
    assert client.delete(path, headers=own).status_code == 204


@pytest.mark.parametrize("value", ["", "x", "chosen-by-an-attacker", make_session_token(b"unknown!" * 4), "é" * 43])
def test_a_cookie_without_a_session_is_anonymous_and_no_error(client: Client, value: str) -> None:
    headers = {b"Cookie": f"pixyproxy={value}".encode()}
    assert client.get("/image", headers=headers).status_code == 200
    guid = client.post("/image", json=FOX, auth=ANN).json()["guid"]
    for path in (f"/image/{guid}", f"/image/{guid}/content", f"/image/{guid}?x=1"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    assert client.get("/private/image", headers=headers).status_code == 401


@pytest.mark.parametrize(("page_user", "status"), [("ann", 200), ("bob", 401), ("", 401), ("Ann", 401)])
def test_what_the_page_of_another_user_sends_is_not_sent_as_this_one(
    client: Client, cookie: dict[str, str], page_user: str, status: int
) -> None:
    headers = cookie | SAME_SITE | {"X-Page-User": page_user}

    assert client.post("/private/image", json=FOX, headers=headers).status_code == status


def test_a_page_names_its_user_as_a_browser_encodes_it(client: Client, container: Container) -> None:
    asyncio.run(container.add_user()("Ünï & (co)!", ANN[1]))
    opened = asyncio.run(container.open_session()("Ünï & (co)!", ANN[1]))
    headers = {"Cookie": f"pixyproxy={opened.token}", "X-Page-User": "%C3%9Cn%C3%AF%20%26%20(co)!"}

    assert client.get("/private/image", headers=headers).status_code == 200


def test_an_authorization_takes_precedence_over_the_cookie(
    client: Client, container: Container, cookie: dict[str, str]
) -> None:
    made = client.post("/private/image", json=FOX, headers=cookie | SAME_SITE).json()
    path = f"/private/image/{made['guid']}"
    assert client.get(path, headers=cookie, auth=BOB).status_code == 404
    secret = asyncio.run(container.create_key()(PRINCIPAL, name="studio")).secret
    bearer = cookie | {"Authorization": f"Bearer {secret}"}
    assert client.get(path, headers=bearer).status_code == 200
    assert client.get("/private/key", headers=bearer).status_code == 403
    for wrong in ("Bearer pixy_", "Basic eDp5", "Digest x", ""):
        answer = client.get(path, headers=cookie | {"Authorization": wrong})
        assert answer.status_code == 401, wrong


def test_a_session_that_ends_is_a_401_at_once(
    client: Client, container: Container, opened: OpenedSession, cookie: dict[str, str]
) -> None:
    assert client.get("/private/image", headers=cookie).status_code == 200
    asyncio.run(container.end_session()(opened.token))
    assert client.get("/private/image", headers=cookie).status_code == 401
    assert client.post("/image", json=FOX, headers=cookie | SAME_SITE).status_code == 401


def test_only_the_author_with_a_session_sees_a_public_image_on_its_way() -> None:
    async def look() -> None:
        async with serving(generator=HeldGenerator()) as served:
            made = (await served.post(FOX, prefer="respond-async")).json()
            for user, status in ((ANN, 200), (BOB, 404)):
                opened = await served.container.open_session()(*user)
                cookie = {"Cookie": f"pixyproxy={opened.token}"}
                answer = await served.client.get(f"/image/{made['guid']}", headers=cookie)
                assert answer.status_code == status
            assert (await served.get(f"/image/{made['guid']}")).status_code == 404

    asyncio.run(look())


def test_details_for_anybody_are_the_same_with_a_session(client: Client, cookie: dict[str, str]) -> None:
    guid = client.post("/image", json=FOX, auth=ANN).json()["guid"]
    answers = [client.get(f"/image/{guid}", headers=headers) for headers in ({}, cookie)]
    assert answers[0].content == answers[1].content
    ignored = {"x-request-id"}
    without, with_session = ({n: v for n, v in answer.headers.items() if n not in ignored} for answer in answers)
    assert without == with_session


async def test_a_stream_of_events_ends_with_its_session() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        opened = await served.container.open_session()(*ANN)
        made = (await served.post(FOX, path="/private/image", prefer="respond-async")).json()
        url = f"/private/image/{made['guid']}/events"
        watching = asyncio.create_task(served.client.get(url, headers={"Cookie": f"pixyproxy={opened.token}"}))
        await generator.is_drawing.wait()
        await served.container.end_session()(opened.token)
        answer = await asyncio.wait_for(watching, 10)
        assert "ready" not in [name for name, _ in events(answer.text)]


UNSAFE = [
    ("POST", "/image"),
    ("POST", "/private/image"),
    ("POST", "/private/image/bulk/delete"),
    ("PATCH", f"/private/image/{UUID(int=1)}"),
    ("DELETE", f"/private/image/{UUID(int=1)}"),
    ("POST", "/private/key"),
    ("POST", "/v1/images/generations"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver.local"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.local:81"},
        # Pages that may use passwords may not use sessions.
        {"Origin": APP},
        {"Sec-Fetch-Site": "cross-site", "Origin": APP},
    ],
    ids=str,
)
@pytest.mark.parametrize("value", ["valid", "anything"])
def test_an_unsafe_request_with_the_cookie_must_come_from_a_page_of_the_service(
    client: Client, container: Container, cookie: dict[str, str], headers: dict[str, str], value: str
) -> None:
    sent = headers | (cookie if value == "valid" else {"Cookie": "pixyproxy=anything"})
    for method, path in UNSAFE:
        answer = client.request(method, path, json=FOX, headers=sent)
        assert answer.status_code == 403, path
        assert "Only a page of this service may do this." in json.dumps(answer.json())
    assert asyncio.run(container.images().count()) == 0


@pytest.mark.parametrize(
    "headers",
    [
        SAME_SITE,
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://testserver.local"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"},
    ],
    ids=str,
)
def test_a_page_of_the_service_may_use_the_session(
    client: Client, cookie: dict[str, str], headers: dict[str, str]
) -> None:
    assert client.post("/image", json=FOX, headers=cookie | headers).status_code == 200


def test_with_the_cookie_beside_it_a_password_is_checked_as_before(client: Client, cookie: dict[str, str]) -> None:
    assert client.post("/image", json=FOX, headers=cookie, auth=ANN).status_code == 200
    assert client.post("/image", json=FOX, headers=cookie | {"Origin": APP}, auth=ANN).status_code == 200
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/image", json=FOX, headers=cookie | foreign, auth=ANN).status_code == 403


def test_with_the_cookie_beside_it_a_key_is_exempt_as_before(
    client: Client, container: Container, cookie: dict[str, str]
) -> None:
    secret = asyncio.run(container.create_key()(PRINCIPAL, name="studio")).secret
    sent = cookie | {"Authorization": f"Bearer {secret}", "Origin": "https://evil.example"}
    assert client.post("/image", json=FOX, headers=sent).status_code == 200


def test_an_unsafe_request_for_the_gallery_must_name_its_site_without_a_cookie_too(client: Client) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": APP}):
        assert client.post("/gallery/login", data={"name": "x"}, headers=headers).status_code == 403
    assert client.post("/galleryx", headers={}).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "challenge"),
    [
        ("/private/image", {}, BASIC),
        ("/private/image", {"Sec-Fetch-Mode": "navigate"}, BASIC),
        ("/private/image", {"Sec-Fetch-Mode": "cors"}, SESSION),
        ("/private/image", {"Sec-Fetch-Mode": "no-cors"}, SESSION),
        ("/private/image", {"Sec-Fetch-Mode": "same-origin"}, SESSION),
        ("/private/image", {"Cookie": "pixyproxy=over"}, SESSION),
        ("/private/image", {"Cookie": "pixyproxy=over", "Sec-Fetch-Mode": "navigate"}, SESSION),
        ("/private/image", {"Cookie": "other=1"}, BASIC),
        ("/private/image", {"Sec-Fetch-Mode": "cors", "Authorization": "Basic eDp5"}, SESSION),
        ("/private/image", {"Authorization": "Basic eDp5"}, BASIC),
        (
            "/private/image",
            {"Sec-Fetch-Mode": "cors", "Authorization": "Bearer pixy_"},
            'Bearer realm="pixyproxy", error="invalid_token"',
        ),
        (f"/private/image/{UUID(int=1)}/content", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, SESSION),
        (f"/private/image/{UUID(int=1)}/events", {"Sec-Fetch-Mode": "cors"}, SESSION),
        ("/v1/models", {"Cookie": "pixyproxy=over"}, 'Bearer realm="pixyproxy"'),
    ],
)
def test_pages_are_not_challenged_for_a_password(
    client: Client, path: str, headers: dict[str, str], challenge: str
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers.get_list("WWW-Authenticate") == [challenge]


class TestWithoutTheGallery:
    """A service that has no sessions."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(gallery=GallerySwitch.OFF, cors_origins=APP)

    @pytest.fixture
    def client(self, settings: Settings, container: Container) -> Iterator[Client]:
        with TestClient(create_app(settings, container)) as client:
            yield client

    def test_the_cookie_is_not_looked_at(self, client: Client, cookie: dict[str, str]) -> None:
        answer = client.get("/private/image", headers=cookie)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == BASIC
        assert client.get("/private/image", headers={"Sec-Fetch-Mode": "cors"}).headers["WWW-Authenticate"] == BASIC
        assert client.post("/image", json=FOX, headers=cookie).status_code == 401
        assert client.post("/image", json=FOX, headers=cookie, auth=ANN).status_code == 200

    def test_there_is_no_gallery(self, client: Client) -> None:
        for path in ("/gallery", "/gallery/login", "/gallery/static/0/gallery.js"):
            assert client.get(path).status_code == 404
        for path in ("/gallery/login", "/gallery/logout"):
            assert client.post(path, headers=SAME_SITE).status_code == 404
        assert client.get("/", headers={"Accept": "text/html"}, follow_redirects=False).headers["Location"] == "/schema"
