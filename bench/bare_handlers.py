"""Minimal Litestar handlers: the baseline of `delivery.py`."""

import msgspec
from litestar import Litestar, get


class Hello(msgspec.Struct):
    """A small answer."""

    hello: str


_CONTENT = bytes(50_000)


@get("/hello", sync_to_thread=False)
def hello() -> Hello:
    """Return a small struct."""
    return Hello("world")


@get("/bytes", media_type="image/png", sync_to_thread=False)
def content() -> bytes:
    """Return bytes that are in memory already."""
    return _CONTENT


app = Litestar([hello, content], openapi_config=None, logging_config=None)
