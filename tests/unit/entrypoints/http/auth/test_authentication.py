"""Authentication: which routes look at credentials, and in which order."""

from typing import Any
from uuid import uuid4

import pytest
from litestar import Litestar, get
from litestar.testing import TestClient

from pixyproxy.domain.errors import AuthenticationError, PixyProxyException
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, Authenticator, Connection, Login, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.errors import handle_error
from tests.unit.entrypoints.http.conftest import Client

WRONG = ("ann", "wrong horse")
GUID = uuid4()


class HeaderAuthenticator(Authenticator):
    """Believes a header; `asked` counts how often."""

    def __init__(self, header: str) -> None:
        self.header = header
        self.asked = 0

    async def authenticate(self, connection: Connection) -> Login | None:
        self.asked += 1
        name = connection.headers.get(self.header)
        if name == "stranger":
            raise AuthenticationError("There is no such user.")
        return None if name is None else Login(Principal(name=UserName(name)))


def client_of(*middleware: Any) -> TestClient[Litestar]:
    @get("/", middleware=middleware)
    async def who(request: APIRequest) -> str:
        return "anonymous" if request.user == ANONYMOUS else str(request.user.name)

    async def with_request_id(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["request_id"] = "1"
        await handler(scope, receive, send)

    app = Litestar([who], exception_handlers={PixyProxyException: handle_error}, openapi_config=None)
    handler, app.asgi_handler = app.asgi_handler, with_request_id
    return TestClient(app)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "anonymous"),
        ({"first": "ann"}, "ann"),
        ({"second": "bob"}, "bob"),
        ({"first": "ann", "second": "bob"}, "ann"),
        ({"first": "ann", "second": "stranger"}, "ann"),
    ],
)
def test_the_principal_is_the_first_that_an_authenticator_returns(headers: dict[str, str], name: str) -> None:
    authenticators = HeaderAuthenticator("first"), HeaderAuthenticator("second")
    assert client_of(authentication(*authenticators)).get("/", headers=headers).text == name
    # Litestar copies a handler's objects; an authenticator that counts wrong logins must not be copied.
    assert authenticators[0].asked == 1


def test_credentials_that_are_not_valid_are_refused_though_no_login_is_needed() -> None:
    client = client_of(authentication(HeaderAuthenticator("first")))
    assert client.get("/", headers={"first": "stranger"}).status_code == 401


def test_a_login_is_needed_where_the_route_says_so() -> None:
    client = client_of(authentication(HeaderAuthenticator("first")), require_login)
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"first": "ann"}).text == "ann"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/schema", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/image", 200),
        ("OPTIONS", "/image", 204),
        ("GET", "/tag", 200),
        ("GET", f"/image/{GUID}/content", 404),
        ("GET", f"/image/{GUID}/content/?width=64", 404),
        ("GET", f"/image/{GUID}", 401),
        ("GET", f"/image/{GUID}/events", 401),
        ("POST", "/image", 401),
        ("GET", "/private/image", 401),
        ("OPTIONS", "/private/image", 401),
        ("GET", "/private/tag", 401),
        ("GET", f"/private/image/{GUID}/content", 401),
        ("POST", f"/private/image/{GUID}/link", 401),
    ],
)
def test_only_routes_that_use_a_login_refuse_a_wrong_one(client: Client, method: str, path: str, status: int) -> None:
    assert client.request(method, path, auth=WRONG).status_code == status
