"""Password hashes by argon2id."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import InvalidHashError, VerificationError

from pixyproxy.domain.errors import OverloadedError
from pixyproxy.domain.ports import PasswordHasher
from pixyproxy.domain.user import Password, PasswordHash

# OWASP's password storage cheat sheet: argon2id with 19 MiB of memory, two iterations and one degree of parallelism.
MEMORY_KIB = 19 * 1024
ITERATIONS = 2
PARALLELISM = 1
SALT_LENGTH = 16
HASH_LENGTH = 32

RETRY_AFTER = 2.0

# The niceness of hashing beside requests without a hash; measured by bench/hostile_logins.py.
NICENESS: Final = 5

T = TypeVar("T")


class Argon2PasswordHasher(PasswordHasher):
    """Hashes in worker threads, at most `concurrency` at once, because each hash takes 19 MiB and a core.

    Queues at most `queue` more and then raises `OverloadedError`, so that a flood of wrong passwords does not delay
    everyone.
    """

    def __init__(self, *, concurrency: int = 2, queue: int = 32) -> None:
        self._argon2 = Argon2(
            time_cost=ITERATIONS,
            memory_cost=MEMORY_KIB,
            parallelism=PARALLELISM,
            hash_len=HASH_LENGTH,
            salt_len=SALT_LENGTH,
            type=Type.ID,
        )
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="argon2", initializer=_step_back)
        self._slots = asyncio.Semaphore(concurrency)
        self._places = concurrency + queue

    async def hash(self, password: Password) -> PasswordHash:
        async with self._place():
            return PasswordHash(await self._in_thread(self._argon2.hash, password))

    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        async with self._place():
            try:
                return await self._in_thread(self._argon2.verify, password_hash, password)
            except (VerificationError, InvalidHashError, UnicodeEncodeError):
                # argon2 has no error of its own for a hash that is not ASCII.
                return False

    async def _in_thread(self, work: Callable[[str, str], T] | Callable[[str], T], *args: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if not self._places:
            raise OverloadedError("Too many passwords are being checked at once.", retry_after=RETRY_AFTER)
        self._places -= 1
        try:
            async with self._slots:
                yield
        finally:
            self._places += 1

    @property
    def dummy_hash(self) -> PasswordHash:
        salt, digest = (base64.b64encode(bytes(n)).decode().rstrip("=") for n in (SALT_LENGTH, HASH_LENGTH))
        return PasswordHash(f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={PARALLELISM}${salt}${digest}")


def _step_back() -> None:
    """Let the other threads of the process go first when cores are scarce.

    On Linux each thread has its own niceness (setpriority(2), BUGS); elsewhere the whole process has one.
    """
    if sys.platform == "linux":
        os.nice(NICENESS)
