"""The running service as clients of its API below /v1 see it, and the stand-in from which it buys."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.clients.program import ANSWER_SECONDS, Client, Programs
from tests.doubles.openai_server import KEY
from tests.doubles.service import Service, running_service


@dataclass(frozen=True, slots=True)
class Upstream:
    """The stand-in in a process of its own."""

    url: str

    def billed(self, prompt: str) -> int:
        """Return how often images of this prompt were billed."""
        times: int = self._account()["times_billed"].get(prompt, 0)
        return times

    def waiting(self, gate: str) -> int:
        """Return how many answers are held at a gate."""
        count: int = self._account()["waiting"].get(gate, 0)
        return count

    def open(self, gate: str) -> None:
        """Release the answers that are held at a gate, and hold no later ones."""
        httpx.post(f"{self._origin}/stand-in/open/{gate}").raise_for_status()

    @property
    def _origin(self) -> str:
        return self.url.removesuffix("/v1")

    def _account(self) -> dict[str, Any]:
        account: dict[str, Any] = httpx.get(f"{self._origin}/stand-in").raise_for_status().json()
        return account


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A service, one of its keys, the URL under which clients reach it, and whether it buys what it answers."""

    service: Service
    programs: Programs
    key: str
    base_url: str
    is_buying: bool

    def at(self, origin: str) -> "Endpoint":
        """Return the endpoint as it is reached at another origin."""
        return replace(self, base_url=f"{origin}/v1")

    def begin(
        self, client: Client, call: str, *, connection: Mapping[str, Any] | None = None, **arguments: Any
    ) -> Future[Any]:
        """Let a client make a call, and return what will have its result; `connection` replaces its settings."""
        known = {"base_url": self.base_url, "api_key": self.key, **(connection or {})}
        return client.among(self.programs).begin(call, connection=known, **client.always, **arguments)

    def ask(self, client: Client, call: str, **arguments: Any) -> Any:
        """Let a client make a call, and return its result; raise `CallError`."""
        return self.begin(client, call, **arguments).result(ANSWER_SECONDS)

    def images(self, word: str) -> list[dict[str, Any]]:
        """Return the details of the user's images whose prompts have this word, the newest first."""
        answer = httpx.get(
            f"{self.service.url}/private/image", params={"q": word}, headers={"Authorization": f"Bearer {self.key}"}
        )
        images: list[dict[str, Any]] = answer.raise_for_status().json()
        return images

    def posts(self) -> int:
        """Return how many POSTs have come in below /v1 so far."""
        lines = [json.loads(line) for line in self.service.output.splitlines() if line.startswith("{")]
        started = [line for line in lines if line.get("event") == "request started" and line["method"] == "POST"]
        return sum(line["path"].startswith("/v1/") for line in started)


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Start the stand-in, and stop it at the end."""
    command = [sys.executable, "-m", "tests.doubles.openai_server", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Upstream(process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL="))
        finally:
            process.terminate()


@contextlib.contextmanager
def running_endpoint(folder: Path, programs: Programs, environment: Mapping[str, str]) -> Iterator[Endpoint]:
    """Start a service in `folder` with a key of its first user's, and stop it at the end."""
    with running_service(folder, {"PIXYPROXY_LOG_FORMAT": "json", **environment}) as service:
        yield Endpoint(
            service=service,
            programs=programs,
            key=make_key(service),
            base_url=f"{service.url}/v1",
            is_buying="OPENAI_API_KEY" in environment,
        )


def make_key(service: Service) -> str:
    """Make a key of the first user's, and return its text."""
    answer = httpx.post(f"{service.url}/private/key", json={"name": "clients"}, auth=service.login, timeout=30)
    key: str = answer.raise_for_status().json()["key"]
    return key


def until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    """Return when the condition holds; fail if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.02)


def a_word() -> str:
    """Return a word that no other prompt has."""
    return f"fox{uuid4().hex}"
