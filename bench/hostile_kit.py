"""The parts of `hostile.py`'s attacks.

A module `hostile_TOPIC.py` beside this one adds its own; `hostile.py` imports them all:

    @attack("15 MB of pipelined requests")
    def pipelining(target: Target) -> str:
        with target.connect() as client:
            ...
        return "the outcome, in a few words"

An attack is bounded in size and ends within `target.seconds`. It runs in a thread of the runner and may start others.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

MIB: Final = 1 << 20

# How many bytes are handed over at once.
_PIECE: Final = 64 * 1024


class Target(msgspec.Struct, frozen=True):
    """The service that is attacked, and how many `seconds` an attack may take; `log` returns its output."""

    port: int
    pid: int
    folder: Path
    login: tuple[str, str]
    seconds: float
    log: Callable[[], str]

    def connect(self, *, receive_buffer: int | None = None, timeout: float = 5.0) -> socket.socket:
        """Return a new connection; reading or writing without any progress raises `TimeoutError` after `timeout`."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(timeout)
        client.connect(("127.0.0.1", self.port))
        return client

    def processor_seconds(self) -> float:
        """Return how much processor time the service has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table: an attack.

    `environment` is the service's; `prepare` fills its folder before it starts; `descriptors` limits its open files.
    """

    name: str
    what: str
    run: Callable[[Target], str]
    environment: Mapping[str, str]
    prepare: Callable[[Path], None] | None
    descriptors: int | None


ATTACKS: Final[list[Attack]] = []


def attack(
    what: str,
    *,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] | None = None,
    descriptors: int | None = None,
) -> Callable[[Callable[[Target], str]], Callable[[Target], str]]:
    """Add a function to the lines of the table, under its own name."""

    def add(run: Callable[[Target], str]) -> Callable[[Target], str]:
        name = run.__name__.replace("_", "-")
        ATTACKS.append(
            Attack(
                name=name,
                what=what,
                run=run,
                environment=environment or {},
                prepare=prepare,
                descriptors=descriptors,
            )
        )
        return run

    return add


def pour(client: socket.socket, data: bytes, *, total: int, until: float) -> str:
    """Send `data` repeatedly, at most `total` bytes, without reading; return how far that went and the answer."""
    piece = data * max(1, _PIECE // len(data))
    sent = 0
    end = "sent all"
    client.settimeout(4)
    while sent < total:
        if time.monotonic() >= until:
            end = "time is over"
            break
        try:
            sent += client.send(piece[sent % len(piece) :])
        except TimeoutError:
            end = "not read on"
            break
        except OSError as exc:
            end = type(exc).__name__
            break
    return f"{sent / MIB:.1f} MiB, {end}, {first_line(client)}"


def first_line(client: socket.socket, timeout: float = 2.0) -> str:
    """Return the status of the first answer that has come."""
    client.settimeout(timeout)
    try:
        line = client.recv(64).partition(b"\r\n")[0].decode("latin-1")
    except TimeoutError:
        return "no answer"
    except OSError as exc:
        return type(exc).__name__
    return line.removeprefix("HTTP/1.1 ") or "closed"


@contextlib.contextmanager
def connections(target: Target, count: int, opening: bytes) -> Iterator[Sequence[socket.socket]]:
    """Open `count` connections and send `opening` on each."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(target.connect())
            client.sendall(opening)
            clients.append(client)
        yield clients


def count_open(clients: Sequence[socket.socket]) -> int:
    """Return how many of the connections the service has not closed; data on them is read and dropped."""
    return sum(not _is_closed(client) for client in clients)


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while client.recv(_PIECE):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
