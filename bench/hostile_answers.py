"""Attacks by an upstream's answer: each is 60 MB, or expands to more, and ends with a picture."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx
from hostile_kit import Target, attack

from tests.doubles.service import free_port

_KEY: Final = "sk-stand-in-0123456789"
_PORT: Final = free_port()
_ENVIRONMENT: Final = {"OPENAI_API_KEY": _KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{_PORT}/v1"}

_ANSWERS: Final = {
    "arrays": ("60 MB of empty arrays in an answer", "heap arrays 57"),
    "texts": ("60 MB of empty texts in an answer", "heap texts 57"),
    "nested": ("60 MB of nested arrays in an answer", "heap nested 57"),
    "deep": ("30 million arrays in one another in an answer", "heap deep 57"),
    "names": ("60 MB of pictures without content in an answer", "heap names 57"),
    "no-names": ("60 MB of pictures that are null in an answer", "heap names-without-text 57"),
    "escaped": ("a picture after 60 MB of escaped line breaks", "heap escaped 57"),
    "percent": ("a picture after 60 MB of percent-encoded spaces", "heap percent 57"),
    "gzip-bomb": ("an answer in gzip that becomes 1 GB", "bomb gzip 1024"),
    "br-bomb": ("an answer in Brotli that becomes 1 GB", "bomb br 1024"),
    "large": ("a picture of 20 MB", "big 20000000"),
}


@contextmanager
def _upstream() -> Iterator[None]:
    command = [sys.executable, "-m", "tests.doubles.openai_server", "--port", str(_PORT), "--api-key", _KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own module
        assert process.stdout is not None  # noqa: S101
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


def _answered(behaviour: str) -> Callable[[Target], str]:
    def run(target: Target) -> str:
        with _upstream():
            answer = httpx.post(
                f"http://127.0.0.1:{target.port}/image",
                json={"prompt": f"a red fox [[{behaviour}]]"},
                auth=target.login,
                timeout=600,
            )
        problem = "" if answer.is_success else f", {answer.json().get('detail', '')[:60]}"
        return f"status {answer.status_code}{problem}"

    return run


for _name, (_what, _behaviour) in _ANSWERS.items():
    _run = _answered(_behaviour)
    _run.__name__ = f"answer_{_name}"
    attack(_what, environment=_ENVIRONMENT)(_run)
