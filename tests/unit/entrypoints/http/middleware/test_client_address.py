"""The client's address, as the server has put it into the scope."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pixyproxy.entrypoints.http.middleware.client_address import client_address
from pixyproxy.entrypoints.http.middleware.request_log import RequestLog


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("2001:DB8:0:0:0:0:0:1", 4711), "2001:db8::1"),
        (("::ffff:192.0.2.7", 4711), "192.0.2.7"),
        (("fe80::1%eth0", 4711), "fe80::1"),
        (["192.0.2.7", 4711], "192.0.2.7"),
        (("unknown", 0), None),
        (("", 0), None),
        (("192.0.2.7 level=error", 0), None),
        (("testclient", 50000), None),
        (None, None),
    ],
)
def test_the_address_is_an_ip_address_or_none(client: Any, expected: str | None) -> None:
    scope: Any = {"type": "http", "client": client}
    assert client_address(scope) == expected


def test_a_scope_without_a_client_has_no_address() -> None:
    scope: Any = {"type": "http"}
    assert client_address(scope) is None


@given(st.text())
def test_no_name_can_be_more_than_an_address(name: str) -> None:
    scope: Any = {"type": "http", "client": (name, 0)}
    address = client_address(scope)
    assert address is None or set(address) <= set("0123456789abcdef:.")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("127.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"198.51.100.1", b"192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("192.0.2.9", [b"198.51.100.1"], "192.0.2.9"),
        ("127.0.0.1", [], "127.0.0.1"),
    ],
)
async def test_both_lines_of_a_request_have_the_address_that_a_trusted_proxy_names(
    peer: str, forwarded_for: list[bytes], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    async def send(_message: Any) -> None:
        pass

    scope: Any = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/image",
        "headers": [(b"x-forwarded-for", value) for value in forwarded_for],
        "client": (peer, 4711),
        "scheme": "http",
        "state": {},
    }
    log: Any = RequestLog(app)
    with caplog.at_level("INFO"):
        await ProxyHeadersMiddleware(log, trusted_hosts="127.0.0.1")(scope, None, send)  # type: ignore[arg-type]

    assert [vars(record)["client"] for record in caplog.records] == [expected, expected]
