"""Clients that create, change and read images, and write down what they are told."""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.cluster.ledger import Creation, Ledger, Request
from tests.cluster.world import AUTHORS, PASSWORD

CLIENTS: Final = 8
CREATE: Final = "POST"
PROMISE: Final = "POST async"
CHANGE: Final = "PATCH"
DETAILS: Final = "details"
LIST: Final = "list"
CONTENT: Final = "content"
READS: Final = (DETAILS, LIST, CONTENT)
WRITES: Final = (CREATE, PROMISE, CHANGE)

_SHARES: Final = {DETAILS: 30, CONTENT: 25, LIST: 15, CHANGE: 12, CREATE: 9, PROMISE: 9}
_TIMEOUT: Final = 90.0
_BROKEN: Final[Mapping[type[httpx.TransportError], str]] = {
    httpx.ConnectError: "connection refused",
    httpx.ReadTimeout: "time-out",
}
# People think, and programs work, between two requests.
_PAUSE: Final = 0.03
_PAUSE_AFTER_ERROR: Final = 0.2
_numbers = count(1)


class Client:
    """A client of one author's, which repeats nothing that fails; a context manager.

    It knows of the images that it has asked for itself, and changes no others. `problem` is the last response that was
    none of success, if it had any.
    """

    def __init__(self, url: str, author: str, ledger: Ledger) -> None:
        self.author = author
        self.ledger = ledger
        self._http = httpx.Client(
            base_url=url,
            auth=(author, PASSWORD),
            timeout=_TIMEOUT,
            verify=False,  # noqa: S501 -- no TLS on the loopback interface
        )
        self._random = random.Random(f"{author} {next(_numbers)}")  # noqa: S311 -- the mix of requests
        self._own: list[Creation] = []
        self.problem: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def play(self, is_over: Event) -> None:
        """Send one request after the other until it is over."""
        self.create(waits=True)
        while not is_over.is_set():
            succeeds = self._act()
            is_over.wait(_PAUSE if succeeds else _PAUSE_AFTER_ERROR)

    def create(self, *, waits: bool, directive: str = "") -> bool:
        """Ask for an image and wait for it, or for the promise of one; return whether there is either."""
        number = next(_numbers)
        creation = Creation(author=self.author, prompt=f"fox {number} {directive}".strip(), key=f"key-{number}")
        self.ledger.creations.append(creation)
        self._own.append(creation)
        return self.send(creation, waits=waits) is not None

    def send(self, creation: Creation, *, waits: bool) -> httpx.Response | None:
        """Send the POST of a creation, which may have been sent before; return its response if that is good."""
        kind = CREATE if waits else PROMISE
        headers = {"Idempotency-Key": f'"{creation.key}"', **({} if waits else {"Prefer": "respond-async"})}
        response = self.request(kind, "POST", "/image", json={"prompt": creation.prompt}, headers=headers)
        if response is None:
            creation.guid = creation.guid or self.problem.get("guid", "")
        else:
            creation.guid = response.json()["guid"]
            creation.is_confirmed |= response.status_code == httpx.codes.OK
            creation.is_promised |= response.status_code == httpx.codes.ACCEPTED
        return response

    def request(self, kind: str, method: str, path: str, **how: Any) -> httpx.Response | None:
        """Send a request and write it down; return its response if that is good."""
        began_at = time.monotonic()
        try:
            response = self._http.request(method, path, **how)
        except httpx.TransportError as exc:
            self.problem = {}
            self._write_down(kind, began_at, _BROKEN.get(type(exc), "connection broken"))
            return None
        if response.is_success:
            self._write_down(kind, began_at)
            return response
        self.problem = _problem(response)
        self._write_down(kind, began_at, f"{response.status_code} {self.kind_of_problem}".strip())
        return None

    @property
    def kind_of_problem(self) -> str:
        """The type of the last problem, without what all types have in common."""
        return str(self.problem.get("type", "")).rpartition(":")[2]

    def _write_down(self, kind: str, began_at: float, error: str = "") -> None:
        request = Request(kind=kind, began_at=began_at, ended_at=time.monotonic(), error=error)
        self.ledger.requests.append(request)

    def _act(self) -> bool:
        (kind,) = self._random.choices(list(_SHARES), list(_SHARES.values()))
        ready = [creation for creation in self._own if creation.is_confirmed]
        if kind in {CREATE, PROMISE} or not ready:
            return self.create(waits=kind != PROMISE)
        if kind == LIST:
            return self.request(LIST, "GET", "/image?limit=20") is not None
        if kind == CHANGE:
            return self._change(self._random.choice(ready))
        if kind == CONTENT:
            return self._view(self._random.choice(ready))
        known = [creation for creation in self._own if creation.guid]
        return self._look_at(self._random.choice(known)) is not None

    def _look_at(self, creation: Creation) -> httpx.Response | None:
        response = self.request(DETAILS, "GET", f"/private/image/{creation.guid}")
        if response is not None and response.json()["status"] == "ready":
            creation.is_confirmed = True
        return response

    def _view(self, creation: Creation) -> bool:
        response = self.request(CONTENT, "GET", f"/image/{creation.guid}/content")
        if response is None:
            return False
        if hashlib.sha256(response.content).hexdigest() != creation.sha256:
            self._write_down(CONTENT, time.monotonic(), "wrong bytes")
        return True

    def _change(self, creation: Creation) -> bool:
        details = self._look_at(creation)
        if details is None:
            return False
        tag = f"tag-{next(_numbers)}"
        creation.tags.append(tag)
        changed = self.request(
            CHANGE,
            "PATCH",
            f"/private/image/{creation.guid}",
            json={"tags": [tag]},
            headers={"If-Match": details.headers["ETag"]},
        )
        if changed is not None:
            creation.tags = [tag]
        return changed is not None


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    """Return the problem that PixyProxy describes, or nothing if the response is nginx's."""
    try:
        problem: Mapping[str, Any] = response.json()
    except json.JSONDecodeError:
        return {}
    return problem


@contextmanager
def playing(url: str, ledger: Ledger) -> Iterator[None]:
    """Have all clients play while the caller does something."""
    is_over = Event()

    def play(number: int) -> None:
        # The last author is for what events need.
        with Client(url, AUTHORS[number % (len(AUTHORS) - 1)], ledger) as client:
            client.play(is_over)

    with ThreadPoolExecutor(CLIENTS) as pool:
        ledger.began_at = time.monotonic()
        plays = [pool.submit(play, number) for number in range(CLIENTS)]
        try:
            yield
        finally:
            ledger.ended_at = time.monotonic()
            is_over.set()
        for each in plays:
            each.result()
