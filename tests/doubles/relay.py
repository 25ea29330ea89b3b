"""A relay of TCP connections, which holds or breaks them when told to."""

import contextlib
import socket
import struct
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Self

_PIECE: Final = 65_536


class Relay:
    """Relays connections of clients to a `port` of the loopback interface. A context manager."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._flowing = Event()
        self._flowing.set()
        self.is_holding = False
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def hold(self) -> None:
        """Pass on nothing more that the service sends, until connections are cut; `is_holding` tells when it sends."""
        self._flowing.clear()

    def cut(self) -> None:
        """Break off the connections that there are, on both sides; later ones are relayed."""
        with self._lock:
            for connection in self._open:
                # With RST, as a machine in between does that has forgotten the connection.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._open.clear()
        self._flowing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                service = socket.socket()
                # So that soon no more of a held answer can be sent.
                service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
                service.connect(("127.0.0.1", self._target))
                with self._lock:
                    self._open |= {client, service}
                Thread(target=self._pump, args=(client, service, False), daemon=True).start()
                Thread(target=self._pump, args=(service, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if is_answer and not self._flowing.is_set():
                    self.is_holding = True
                    self._flowing.wait()
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
