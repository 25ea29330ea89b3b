"""Several workers on one socket."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.doubles.service import START_TIMEOUT, Service, running_service

CONNECTIONS = 40
FAIR = 0.4


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def workers_of(service: Service) -> list[int]:
    """Return the workers; another child is the resource tracker of multiprocessing."""
    children = children_of(service.process.pid)
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def sockets_of(pid: int) -> int:
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


@contextlib.contextmanager
def connections_to(service: Service, count: int) -> Iterator[None]:
    """Hold open connections that have been used."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        yield


def smaller_share(service: Service) -> float:
    """Return the share of new connections that the worker with fewer of them serves."""
    workers = workers_of(service)
    assert len(workers) == 2
    before = [sockets_of(pid) for pid in workers]
    with connections_to(service, CONNECTIONS):
        served = [sockets_of(pid) - less for pid, less in zip(workers, before, strict=True)]
    assert sum(served) == CONNECTIONS
    wait_until(lambda: [sockets_of(pid) for pid in workers] == before)
    return min(served) / CONNECTIONS


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path, {}, "--workers", "2") as service:
        wait_for_workers(service)
        yield service


def wait_for_workers(service: Service, other_than: int = 0) -> None:
    """Wait until two workers accept connections."""

    def are_two() -> bool:
        workers = workers_of(service)
        return len(workers) == 2 and other_than not in workers and all(map(has_joined, workers))

    wait_until(are_two)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline, "It takes too long."
        time.sleep(0.1)


def has_joined(pid: int) -> bool:
    """Whether the worker has locked its slot."""
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    # SQLite locks other ranges.
    return any(
        kind == "POSIX" and owner == str(pid) and end != "EOF" and int(start) % 4 == 0 and int(end) - int(start) == 3
        for kind, _, _, owner, _, start, end in (line.split()[-7:] for line in locks)
    )


def test_two_workers_share_the_connections(service: Service) -> None:
    assert smaller_share(service) >= FAIR
    assert smaller_share(service) >= FAIR


def test_a_worker_that_dies_takes_only_its_own_requests_along_and_is_replaced(service: Service) -> None:
    killed = workers_of(service)[0]
    stop = threading.Event()
    failures: list[Exception] = []
    answers: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(httpx.get(f"{service.url}/health/live", timeout=30).status_code)
            except httpx.TransportError as exc:
                failures.append(exc)
            # A busy loop would keep the new worker from starting.
            time.sleep(0.1)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.5)
        os.kill(killed, signal.SIGKILL)
        wait_for_workers(service, other_than=killed)
    finally:
        stop.set()
        for client in clients:
            client.join()

    assert set(answers) == {200}
    assert len(failures) <= len(clients)
    assert smaller_share(service) >= FAIR


def test_workers_end_when_their_supervisor_is_killed(service: Service) -> None:
    workers = workers_of(service)
    try:
        service.stop(signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))
    finally:
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    socket.create_server(("127.0.0.1", service.port)).close()
