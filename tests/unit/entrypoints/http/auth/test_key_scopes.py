"""What the scopes of a key allow."""

from collections.abc import Callable
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest
from litestar import HttpMethod, Litestar, route
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from pixyproxy.domain.api_key import APIKey, KeyScope
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.user import Principal, UserName
from pixyproxy.entrypoints.http.auth.authentication import (
    APIRequest,
    Authenticator,
    Connection,
    Login,
    authentication,
)
from pixyproxy.entrypoints.http.auth.key_scopes import PASSWORD_ONLY
from pixyproxy.entrypoints.http.errors import handle_error
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL
from tests.factories import ImageFactory

METHODS = [HttpMethod.GET, HttpMethod.HEAD, HttpMethod.OPTIONS, HttpMethod.POST, HttpMethod.PATCH, HttpMethod.DELETE]
NEEDED = {"GET": KeyScope.READ, "HEAD": KeyScope.READ, "OPTIONS": KeyScope.READ}
EVERY_SELECTION = [list(scopes) for size in (1, 2, 3) for scopes in combinations(KeyScope, size)]


class Accepting(Authenticator):
    """Accepts all requests with one login."""

    def __init__(self, login: Login) -> None:
        self.login = login

    async def authenticate(self, connection: Connection) -> Login:
        return self.login


def a_key(*scopes: KeyScope) -> APIKey:
    return APIKey(
        guid=uuid4(),
        name="studio",
        user=UserName("ann"),
        prefix="pixy_01234",
        digest="0" * 64,
        scopes=scopes,
        created_at=ImageFactory.created_at(),
    )


def client_of(key: APIKey | None, opt: dict[str, Any]) -> TestClient[Litestar]:
    login = Login(Principal(name=UserName("ann")), key)

    @route("/", http_method=METHODS, status_code=200, opt=opt, middleware=[authentication(Accepting(login))])
    async def handler(request: APIRequest) -> str:
        return str(request.auth and request.auth.guid)

    async def with_request_id(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["request_id"] = "1"
        await inner(scope, receive, send)

    app = Litestar([handler], exception_handlers={PixyProxyException: handle_error}, openapi_config=None)
    inner: Callable[..., Any]
    inner, app.asgi_handler = app.asgi_handler, with_request_id
    return TestClient(app)


@pytest.mark.parametrize("scopes", EVERY_SELECTION)
@pytest.mark.parametrize("opt", [{}, MAY_BILL, {"unknown": True}])
def test_reading_creating_and_all_else_need_a_scope_each(scopes: list[KeyScope], opt: dict[str, Any]) -> None:
    client = client_of(a_key(*scopes), opt)
    other = KeyScope.CREATE if opt == MAY_BILL else KeyScope.MANAGE
    for method in METHODS:
        answer = client.request(method, "/")
        needed = NEEDED.get(method, other)
        assert answer.status_code == (200 if needed in scopes else 403), method
        if answer.status_code == 403 and method != "HEAD":
            assert answer.json()["detail"] == f"This needs an API key with the scope {needed}."


@pytest.mark.parametrize("method", METHODS)
def test_no_key_may_do_what_needs_a_password(method: HttpMethod) -> None:
    assert client_of(a_key(*KeyScope), PASSWORD_ONLY).request(method, "/").status_code == 403
    assert client_of(None, PASSWORD_ONLY).request(method, "/").status_code == 200


def test_the_key_of_a_request_is_known_to_its_handler() -> None:
    key = a_key(KeyScope.READ)
    assert client_of(key, {}).get("/").text == str(key.guid)
    assert client_of(None, {}).get("/").text == "None"
