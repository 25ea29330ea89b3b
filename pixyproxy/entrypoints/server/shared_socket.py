"""Workers that share one listening socket, and its connections evenly.

The worker that the kernel wakes first would take most connections of a shared socket. Here a worker that has more
connections than another one waits for `HEAD_START` seconds before it takes the next, unless the other one has taken it.

The connections wait in one queue, so one worker can die or stop without losing those of its share; with a socket and a
queue for each worker (`SO_REUSEPORT`) it would, and the kernel would deal the connections by chance.
"""

import asyncio
import fcntl
import mmap
import os
import socket
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from multiprocessing.reduction import DupFd
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

HEAD_START: Final = 0.01

# Seconds to wait after an error, such as too many open files; asyncio waits as long.
_PAUSE: Final = 1.0

# More than there are workers, even while each of them is being replaced.
_SLOTS: Final = 1024
_SIZE: Final = 4
_ABSENT: Final = (1 << 31) - 1


class Tally:
    """The number of open connections of each worker, in memory that the workers share.

    Each worker locks a slot of its own. The kernel unlocks the slot of a worker that dies, for the worker that replaces
    it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._slot: int | None = None
        if descriptor is not None:
            self._descriptor = descriptor
        else:
            with tempfile.TemporaryFile() as file:
                self._descriptor = os.dup(file.fileno())
            os.pwrite(self._descriptor, _ABSENT.to_bytes(_SIZE, "little") * _SLOTS, 0)
        self._counts = memoryview(mmap.mmap(self._descriptor, _SLOTS * _SIZE)).cast("i")

    def __reduce__(self) -> tuple[Callable[..., "Tally"], tuple[Any]]:
        """Give the descriptor to the process that is being started."""
        return _tally_of, (DupFd(self._descriptor),)

    def join(self) -> None:
        """Take a free slot."""
        for slot in range(_SLOTS):
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SIZE, slot * _SIZE)
            except OSError:
                continue
            self._slot = slot
            self._counts[slot] = 0
            return

    def leave(self) -> None:
        """Leave the connections to the others."""
        if self._slot is not None:
            self._counts[self._slot] = _ABSENT

    def has_more(self, connections: int) -> bool:
        """Note how many connections this worker has; return whether another one has fewer."""
        if self._slot is None:
            return False
        self._counts[self._slot] = connections
        return connections > min(self._counts)


def _tally_of(descriptor: Any) -> Tally:
    return Tally(descriptor.detach())


class SharedSocketServer:
    """Accepts connections of a listening socket that other processes share."""

    def __init__(
        self, listener: socket.socket, protocol_factory: Callable[[], HttpToolsProtocol], tally: Tally
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol_factory = protocol_factory
        self._tally = tally
        # All protocols of a server have the same set.
        self._connections: Collection[Any] = protocol_factory().connections
        self._handshakes: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None
        tally.join()
        self._resume()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._on_connection)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, then)

    def _on_connection(self) -> None:
        if self._tally.has_more(len(self._connections) + len(self._handshakes)):
            self._wait(HEAD_START, self._take_one)
        else:
            self._accept()

    def _take_one(self) -> None:
        self._resume()
        self._accept()

    def _accept(self) -> None:
        """Accept a connection, if there is one."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            self._wait(_PAUSE, self._resume)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol_factory, connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def close(self) -> None:
        """Accept no more connections."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        self._tally.leave()

    async def wait_closed(self) -> None:
        """Return at once: uvicorn has waited for the connections."""


class _Loop(uvloop.Loop):
    """uvloop's event loop, with a `SharedSocketServer` for a socket that it is given."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    async def create_server(  # type: ignore[override]  # uvicorn calls it with a socket
        self, protocol_factory: Any, *_: Any, sock: socket.socket, backlog: int, **__: Any
    ) -> SharedSocketServer:
        """Serve the socket."""
        sock.listen(backlog)
        sock.setblocking(False)
        return SharedSocketServer(sock, protocol_factory, self._tally)


class SharedSocketConfig(uvicorn.Config):
    """uvicorn's configuration for several workers; each of them gets a copy."""

    def __init__(self, app: str, **options: Any) -> None:
        super().__init__(app, **options)
        self._tally = Tally()

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Return the loop of a worker."""
        return partial(_Loop, self._tally)


def run_workers(app: str, **options: Any) -> None:
    """Run the application in several processes until SIGTERM or SIGINT; replace those that die."""
    config = SharedSocketConfig(app, **options)
    with config.bind_socket() as listener:
        Multiprocess(config, sockets=[listener]).run()
