"""A relay in front of an S3 server that counts the requests, and a server that lies."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

_HEAD = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (/\S*) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PIECE = 65_536

Respond = Callable[[str, str, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class CountingRelay:
    """Relays the requests to a `port` of the loopback interface; `counts` has how many of each method there were.

    A listing is counted as LIST. A context manager from `relaying`.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.counts: Counter[str] = Counter()
        self.url = ""

    def taken(self) -> dict[str, int]:
        """Return the counts so far, and count anew."""
        counts, self.counts = self.counts, Counter()
        return dict(counts)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(_pump(server_reader, writer))
        try:
            while data := await reader.read(_PIECE):
                for method, path in _HEAD.findall(data):
                    self.counts["LIST" if b"list-type=2" in path else method.decode()] += 1
                server_writer.write(data)
                await server_writer.drain()
        finally:
            back.cancel()
            server_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def relaying(port: int) -> AsyncIterator[CountingRelay]:
    """Run a relay to a port."""
    relay = CountingRelay(port)
    async with _serving(relay.serve) as relay.url:
        yield relay


@asynccontextmanager
async def lying(respond: Respond) -> AsyncIterator[str]:
    """Run a server that answers each request as `respond` does, which gets its method and path, and give its URL.

    It may write what it wants; the connection is closed behind it.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if found := _LENGTH.search(head):
            await reader.readexactly(int(found[1]))
        method, path, _ = head.decode("latin-1").split(" ", 2)
        await respond(method, path, writer)
        await writer.drain()

    async with _serving(serve) as url:
        yield url


@asynccontextmanager
async def _serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve each connection on a port of the loopback interface, and end those that there are at the end."""
    running: set[asyncio.Task[None]] = set()

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(work(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
