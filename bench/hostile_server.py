"""Attacks on the server with one or a few connections."""

import asyncio
import base64
import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from embedded_library import fill, prepare
from hostile_kit import MIB, Target, attack, connections, count_open, first_line, pour

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility

_GET: Final = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
_POST: Final = b"POST /image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

_IMAGES: Final = 1000


@attack("60 MB of header lines")
def head_lines(target: Target) -> str:
    """Send a head without an end."""
    with target.connect() as client:
        client.sendall(_GET)
        return pour(client, b"x-line: aaaaaaaaaaaaaaaa\r\n", total=60 * MIB, until=_end(target))


@attack("60 MB in one header line")
def head_one_line(target: Target) -> str:
    """Send a header field without an end."""
    with target.connect() as client:
        client.sendall(_GET + b"x-line: ")
        return pour(client, b"a" * 1024, total=60 * MIB, until=_end(target))


@attack("60 MB of request target")
def head_target(target: Target) -> str:
    """Send a request line without an end."""
    with target.connect() as client:
        client.sendall(b"GET /")
        return pour(client, b"a" * 1024, total=60 * MIB, until=_end(target))


@attack("60 MB of trailers after a chunked body")
def trailers(target: Target) -> str:
    """Send a trailer section without an end."""
    with target.connect() as client:
        client.sendall(_POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        return pour(client, b"x-line: aaaaaaaaaaaaaaaa\r\n", total=60 * MIB, until=_end(target))


@attack("60 MB in one chunk extension")
def chunk_extension(target: Target) -> str:
    """Send a chunk's first line without an end."""
    with target.connect() as client:
        client.sendall(_POST + b"Transfer-Encoding: chunked\r\n\r\n1;")
        return pour(client, b"a" * 1024, total=60 * MIB, until=_end(target))


@attack("15 MB of pipelined requests, no answer read")
def pipelining(target: Target) -> str:
    """Send requests without an end."""
    with target.connect(receive_buffer=4096) as client:
        return pour(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", total=15 * MIB, until=_end(target))


@attack("15 MB of pipelined requests, all answers read")
def pipelining_and_reading(target: Target) -> str:
    """Send requests without an end, and read the answers."""
    requests, answers, end = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000, 0, _end(target)
    with target.connect() as client:
        client.setblocking(False)
        sent = 0
        while time.monotonic() < end and sent < 15 * MIB:
            with suppress(BlockingIOError):
                sent += client.send(requests[sent % len(requests) :])
            with suppress(BlockingIOError):
                answers += len(client.recv(MIB))
        return f"{sent / MIB:.1f} MiB, {answers / MIB:.1f} MiB of answers"


@attack("400 connections with half a head")
def silent_heads(target: Target) -> str:
    """Begin heads and fall silent."""
    with connections(target, 400, _GET) as clients:
        time.sleep(target.seconds)
        return f"{count_open(clients)} of 400 open after {target.seconds:.0f} s"


@attack("400 connections, a byte of the head each second")
def slow_heads(target: Target) -> str:
    """Send heads one byte at a time."""
    with connections(target, 400, _GET) as clients:
        end = _end(target)
        while time.monotonic() < end:
            for client in clients:
                with suppress(OSError):
                    client.send(b"x")
            time.sleep(1)
        return f"{count_open(clients)} of 400 open after {target.seconds:.0f} s"


@attack("400 connections that send nothing")
def silent_connections(target: Target) -> str:
    """Connect and fall silent."""
    with connections(target, 400, b"") as clients:
        time.sleep(target.seconds)
        return f"{count_open(clients)} of 400 open after {target.seconds:.0f} s"


@attack("400 POSTs with half of 512 KB")
def silent_bodies(target: Target) -> str:
    """Begin bodies and fall silent."""
    credentials = base64.b64encode(":".join(target.login).encode())
    head = _POST + b"Authorization: Basic %b\r\nContent-Length: 524288\r\n\r\n" % credentials
    with connections(target, 400, head + b"a" * 262_144) as clients:
        time.sleep(target.seconds)
        return f"{count_open(clients)} of 400 open after {target.seconds:.0f} s"


@attack("200 MB of body after a 401")
def body_behind_an_answer(target: Target) -> str:
    """Go on with a body that was refused."""
    with target.connect() as client:
        client.sendall(_POST + b"Content-Length: 209715200\r\n\r\n")
        return pour(client, b"a" * 65_536, total=200 * MIB, until=_end(target))


@attack("400 connections that go silent after a 401")
def silence_behind_an_answer(target: Target) -> str:
    """Send half a body that is refused, and fall silent."""
    with connections(target, 400, _POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 500) as clients:
        time.sleep(target.seconds)
        return f"{count_open(clients)} of 400 open after {target.seconds:.0f} s"


def _long_prompts(folder: Path) -> None:
    def images() -> list[tuple[Image, bytes]]:
        made = []
        for number in range(_IMAGES):
            guid, data = UUID(int=number + 1, version=4), b"picture"
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
            made.append(
                (
                    Image(
                        guid=guid,
                        filename="a.png",
                        # Each of its characters takes four bytes.
                        request=GenerationRequest(prompt="\N{FOX FACE}" * 32_000),
                        author=None,
                        visibility=Visibility.PUBLIC,
                        status=ImageStatus.READY,
                        model="gpt-image-2",
                        created_at=at,
                        updated_at=at,
                        content=ContentInfo(
                            media_type=MediaType.PNG,
                            byte_size=len(data),
                            sha256=hashlib.sha256(data).hexdigest(),
                            width=1,
                            height=1,
                        ),
                    ),
                    data,
                )
            )
        return made

    (folder / "data").mkdir()
    asyncio.run(prepare(folder / "data"))
    fill(folder / "data", images())


@attack(
    "a list of 1,000 images with prompts of 128 KB, 10 clients that read 2 KB in 10 s",
    prepare=_long_prompts,
    environment={"PIXYPROXY_SEND_TIMEOUT": "6"},
)
def slow_readers_of_a_list(target: Target) -> str:
    """Read long answers slowly."""
    end = _end(target)
    clients = [target.connect(receive_buffer=4096, timeout=30) for _ in range(10)]
    for client in clients:
        client.sendall(b"GET /image?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while time.monotonic() < end:
        for client in clients:
            client.setblocking(False)
            with suppress(OSError):
                client.recv(205)
        time.sleep(1)
    # A client that does not read does not see the end, either.
    dropped = target.log().count("connection dropped")
    for client in clients:
        client.close()
    return f"{dropped} of 10 dropped after {target.seconds:.0f} s"


@attack("200 connections to a process that may open 64 files", descriptors=64)
def descriptors(target: Target) -> str:
    """Take all descriptors, and let go of them again."""
    before, start = target.processor_seconds(), time.monotonic()
    with connections(target, 200, b""):
        time.sleep(min(3.0, target.seconds))
        share = (target.processor_seconds() - before) / (time.monotonic() - start)
    time.sleep(1)
    with target.connect() as client:
        client.sendall(_GET + b"\r\n")
        after = first_line(client)
    lines = [line for line in target.log().splitlines() if "ulimit -n" in line]
    return f"{share:.0%} of a processor, {len(lines)} lines in the log, then {after}"


def _end(target: Target) -> float:
    return time.monotonic() + target.seconds
