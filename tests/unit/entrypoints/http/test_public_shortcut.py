"""Which requests are answered without Litestar."""

from typing import Any

import httpx
import pytest

from pixyproxy.entrypoints.http.public_shortcut import PublicShortcut
from tests.unit.entrypoints.http.conftest import ANN, Client


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that the shortcut has answered."""
    paths: list[str] = []
    original = PublicShortcut._answer

    async def answer(shortcut: PublicShortcut, scope: Any) -> Any:
        given = await original(shortcut, scope)
        if given is not shortcut._app:
            paths.append(scope["path"])
        return given

    monkeypatch.setattr(PublicShortcut, "_answer", answer)
    return paths


@pytest.mark.parametrize(
    ("path", "is_short"),
    [
        ("/image/{}", True),
        ("/image/{}/", False),
        ("/image/{}?other=1", False),
        ("/private/image/{}", False),
        ("/image/{}/content", True),
        ("/image/{}/content?width=64&format=webp", True),
        ("/image/{}/content?other=1", True),
        ("/image/{}/content/", False),
        ("/image/{}/content?download", False),
        ("/image/{}/content?width=64&download=false", False),
        ("/private/image/{}/content?width=64", False),
    ],
)
def test_plain_requests_for_public_images_take_the_shortcut(
    client: Client, taken: list[str], path: str, is_short: bool
) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    taken.clear()
    auth = ANN if path.startswith("/private") else httpx.USE_CLIENT_DEFAULT
    assert client.get(path.format(guid), auth=auth).status_code == 200
    assert len(taken) == is_short


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}, {"If-Match": '"other"'}, {"Accept": "text/html"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ["ready", "unknown"])
def test_the_shortcut_answers_details_like_litestar(
    client: Client, taken: list[str], headers: dict[str, str], method: str, name: str
) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    if name == "unknown":
        guid = "00000000-0000-4000-8000-000000000000"
    taken.clear()

    def answer(path: str) -> tuple[int, dict[str, str], dict[str, object]]:
        response = client.request(method, path, headers={**headers, "X-Request-ID": "abc"})
        body = response.json() if response.content else {}
        return response.status_code, dict(response.headers), {**body, "instance": None}

    short, through_litestar = answer(f"/image/{guid}"), answer(f"/image/{guid}?other=1")
    assert short == through_litestar
    assert taken == [f"/image/{guid}"]


def test_a_login_takes_the_way_through_litestar(client: Client, taken: list[str]) -> None:
    guid = client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    assert client.get(f"/image/{guid}", auth=ANN).status_code == 200
    assert client.get(f"/image/{guid}", headers={"Authorization": "Basic nonsense"}).status_code == 401
    assert taken == []
