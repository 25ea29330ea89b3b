"""The number of passwords that are hashed at once."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import argon2
import pytest

from pixyproxy.adapters.argon2.password_hasher import NICENESS, Argon2PasswordHasher
from pixyproxy.domain.errors import OverloadedError
from pixyproxy.domain.user import Password, PasswordHash

PASSWORD = Password("correct horse")


class SlowArgon2:
    """Stands in for argon2's own hashing, which then comes back only when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.running = 0
        self.most_running = 0
        self.threads: set[int] = set()
        self.may_end = threading.Event()
        self._lock = threading.Lock()
        monkeypatch.setattr(argon2.PasswordHasher, "hash", self._hash)

    def _hash(self, *_: Any) -> str:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.threads.add(threading.get_ident())
        self.may_end.wait(10)
        with self._lock:
            self.running -= 1
        return "$argon2id$"


@pytest.fixture
def slow_argon2(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowArgon2]:
    slow_argon2 = SlowArgon2(monkeypatch)
    yield slow_argon2
    slow_argon2.may_end.set()


async def begun(count: int, hasher: Argon2PasswordHasher) -> list[asyncio.Task[PasswordHash]]:
    """Ask for this many hashes at once, and let each start if it can."""
    tasks = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(count)]
    await asyncio.sleep(0.05)
    return tasks


async def test_hashes_run_off_the_loop_and_no_more_at_once_than_allowed(slow_argon2: SlowArgon2) -> None:
    tasks = await begun(6, Argon2PasswordHasher(concurrency=2))
    slow_argon2.may_end.set()
    assert len(await asyncio.gather(*tasks)) == 6
    assert slow_argon2.most_running == 2
    assert threading.get_ident() not in slow_argon2.threads


async def test_a_full_queue_refuses_at_once(slow_argon2: SlowArgon2) -> None:
    hasher = Argon2PasswordHasher(concurrency=2, queue=3)
    tasks = await begun(5, hasher)
    assert not any(task.done() for task in tasks)
    with pytest.raises(OverloadedError) as caught:
        await hasher.hash(PASSWORD)
    assert caught.value.retry_after > 0
    with pytest.raises(OverloadedError):
        await hasher.verify(hasher.dummy_hash, PASSWORD)
    slow_argon2.may_end.set()
    assert len(await asyncio.gather(*tasks)) == 5
    assert await hasher.hash(PASSWORD)


async def test_a_cancelled_waiter_frees_its_place(slow_argon2: SlowArgon2) -> None:
    hasher = Argon2PasswordHasher(concurrency=1, queue=1)
    running, waiting = await begun(2, hasher)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    [another] = await begun(1, hasher)
    assert not another.done()
    slow_argon2.may_end.set()
    assert list(await asyncio.gather(running, another)) == ["$argon2id$"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the niceness of a thread")
async def test_hashing_threads_have_a_lower_priority() -> None:
    await Argon2PasswordHasher(concurrency=1).hash(Password("correct horse"))
    others = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    hashing = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("argon2")]
    assert hashing
    assert {os.getpriority(os.PRIO_PROCESS, id_ or 0) for id_ in hashing} == {min(19, others + NICENESS)}
