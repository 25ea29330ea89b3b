"""Rules for every request, under servers that fill the scope in other ways."""

from typing import Any

import pytest

from pixyproxy.entrypoints.http.middleware.request_log import RequestLog
from pixyproxy.entrypoints.http.middleware.request_rules import RequestRules

HOST = (b"host", b"x")


async def status_of(**differing: Any) -> int:
    """Return the status with which a request is answered; 200 if it gets through to the application."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/image",
        "query_string": b"",
        "headers": [HOST],
        "state": {},
        **differing,
    }
    await RequestLog(RequestRules(app))(scope, None, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("differing", "status"),
    [
        ({}, 200),
        ({"raw_path": None}, 200),
        ({"raw_path": b"/image"}, 200),
        # Litestar's test client, for one.
        ({"raw_path": b"/image?q=%2F", "query_string": b"q=%2F"}, 200),
        ({"raw_path": b"/image?q=a//b/../c", "query_string": b"q=a//b/../c"}, 200),
        ({"path": "/image/", "raw_path": b"/image/"}, 200),
        ({"path": "/.well-known/a..b", "raw_path": b"/.well-known/a..b"}, 200),
        ({"path": "/a/image", "raw_path": b"/a/image", "root_path": "/a"}, 200),
        ({"path": "//image"}, 404),
        ({"path": "/private/image", "raw_path": b"/pixy//private/image"}, 404),
        ({"path": "/private/image", "raw_path": b"/private%2Fimage"}, 404),
        ({"path": "/image/../private/image"}, 404),
        ({"headers": []}, 400),
        ({"headers": [], "http_version": "1.0"}, 200),
        ({"headers": [], "http_version": "2"}, 200),
        ({"headers": [HOST, HOST], "http_version": "2"}, 400),
        ({"headers": [HOST, (b"authorization", b"a"), (b"authorization", b"a")]}, 400),
        ({"headers": [HOST, (b"content-type", b"application/json"), (b"content-type", b"text/plain")]}, 400),
        ({"headers": [HOST, (b"content-encoding", b"gzip")]}, 415),
        ({"headers": [HOST, (b"content-encoding", b" Identity ")]}, 200),
        ({"headers": [HOST, (b"content-encoding", b"identity"), (b"content-encoding", b"gzip")]}, 415),
    ],
)
async def test_a_request_is_judged_by_what_the_server_says_of_it(differing: dict[str, Any], status: int) -> None:
    assert await status_of(**differing) == status
