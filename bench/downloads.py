"""Clients of `delivery.py`: many downloads at once, fast or slow, and a probe of their effect on other requests."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final, Self

PIECE: Final = 1024 * 1024


class Connection:
    """A connection that is kept, to a server on the loopback."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(120)
        self._socket.connect(("127.0.0.1", port))
        self._buffer = memoryview(bytearray(PIECE))

    def close(self) -> None:
        """Close it, also in the middle of a response."""
        self._socket.close()

    def get(self, path: str) -> int:
        """Get something to its end; return its size."""
        return sum(self.receive(path))

    def receive(self, path: str, piece: int = PIECE) -> Iterator[int]:
        """Get something, and yield the size of each piece that has come."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            count = self._socket.recv_into(self._buffer[:4096])
            if not count:
                raise ConnectionError("closed before the end of the head")
            head += self._buffer[:count]
        head, _, body = head.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        if " 200 " not in f"{status} ":
            raise ConnectionError(status)
        headers = dict(field.lower().split(": ", 1) for field in fields)
        left = int(headers["content-length"]) - len(body)
        yield len(body)
        while left:
            count = self._socket.recv_into(self._buffer[: min(piece, left)])
            if not count:
                raise ConnectionError("closed before the end of the body")
            left -= count
            yield count


def probe(port: int, path: str, *, seconds: float, interval: float = 0.005) -> Sequence[float]:
    """Get something small again and again, once in an interval; return how many seconds each answer took."""
    times = []
    with closing(Connection(port)) as connection:
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            connection.get(path)
            times.append(time.perf_counter() - start)
            # Skip the requests that were due meanwhile: a long one counts once.
            due = max(due + interval, time.perf_counter())
    return times


class Downloads:
    """A number of concurrent downloads, repeated, in threads; a context manager.

    `next_path` returns the path of the next download. With `bytes_per_second` each reads slowly.
    """

    def __init__(
        self, port: int, next_path: Callable[[], str], *, at_once: int, bytes_per_second: int | None = None
    ) -> None:
        self._port = port
        self._next_path = next_path
        self._pace = bytes_per_second
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(at_once)]
        self.finished = 0
        self.received = 0
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        # The probe, and the database, are not to wait for the processor that they share with us.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        buffer = None if self._pace is None else 2 * self._pace
        with closing(Connection(self._port, receive_buffer=buffer)) as connection:
            try:
                while not self._is_over.is_set():
                    self._download(connection)
            except OSError as exc:
                self.problems.append(f"{type(exc).__name__}: {exc}")

    def _download(self, connection: Connection) -> None:
        start, received = time.perf_counter(), 0
        for count in connection.receive(self._next_path(), PIECE if self._pace is None else self._pace // 4):
            received += count
            self.received += count
            if self._is_over.is_set():
                return
            if self._pace is not None:
                self._is_over.wait(max(0.0, start + received / self._pace - time.perf_counter()))
        self.finished += 1


def main() -> None:
    """Probe, and print."""
    port, path, seconds = sys.argv[1:]
    print(json.dumps(probe(int(port), path, seconds=float(seconds))))


if __name__ == "__main__":
    main()
