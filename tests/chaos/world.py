"""The real parts that a service needs, all under the control of the test."""

import asyncio
import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx

from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.chaos.halting_service import HALTED, RELEASED, serve
from tests.doubles.mariadb import Rows, ThrowawayServer
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.service import START_TIMEOUT, clean_environment, free_port

AUTHORS: Final = ("ann", "ben", "eve")
PASSWORD: Final = "correct horse battery staple"
PICTURE_SIZE: Final = "256x256"

# A kill must not undo what the database has promised, which the options of other tests allow for the sake of speed.
DURABLE: Final = ("--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=1")
DATABASE: Final = "pixyproxy_chaos"
DISK_SIZE: Final = 64 << 20

SETTINGS: Final = {
    "PIXYPROXY_GENERATOR": "openai",
    "PIXYPROXY_OPENAI_SIZE": PICTURE_SIZE,
    "PIXYPROXY_OPENAI_TIMEOUT": "3",
    "PIXYPROXY_LEASE": "1.5",
    "PIXYPROXY_PATIENCE": "1.5",
    "PIXYPROXY_MAX_GENERATIONS": "64",
    "PIXYPROXY_MAX_WAIT": "20",
    "PIXYPROXY_SHUTDOWN_TIMEOUT": "0.5",
    "PIXYPROXY_LOG_FORMAT": "json",
}

# A service takes two seconds of CPU to import, so that each is forked off a process that has done it already.
_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([serve.__module__])


class Service:
    """A service in a process of its own, with generations that halt; `output` is its output so far."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = bytearray()
        reader, writer = _processes.Pipe(duplex=False)
        self._process = _processes.Process(
            target=serve, args=(folder, {**environment, "PIXYPROXY_PORT": str(self.port)}, writer), daemon=True
        )
        self._process.start()
        writer.close()
        # Through a pipe, because the log must not stop when no file may grow any more.
        self._reading = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reading.start()

    @property
    def output(self) -> str:
        return self._output.decode()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    async def wait_until_live(self) -> None:
        """Return when the service answers; fail with its output when it ends or takes too long."""
        ends_at = time.monotonic() + START_TIMEOUT
        async with httpx.AsyncClient(base_url=self.url, timeout=5) as client:
            while time.monotonic() < ends_at and self.is_running:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/health/live")).is_success:
                        return
                await asyncio.sleep(0.02)
        raise AssertionError(f"the service did not start:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.is_running:
            os.kill(self.pid, number)

    def freeze(self) -> None:
        """Let the process do nothing, and not even notice that time goes by, until `thaw`."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.send(signal.SIGCONT)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends the process and wait for the end."""
        self.send(number)
        await asyncio.to_thread(self._process.join, 20)
        assert not self.is_running, f"the service does not end:\n{self.output}"
        self._reading.join()
        self._process.close()

    def _read(self, reader: "multiprocessing.connection.Connection") -> None:
        with reader:
            while piece := os.read(reader.fileno(), 65_536):
                self._output += piece


class Disk(Protocol):
    """The disk for contents, which can be full."""

    folder: Path

    @abstractmethod
    def fill(self, services: Sequence[Service]) -> None:
        """Let the services find no more room."""

    @abstractmethod
    def free(self, services: Sequence[Service]) -> None:
        """Let the services find room again."""


class RealDisk(Disk):
    """A small file system of its own, which a large file fills to the last block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, services: Sequence[Service]) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self, services: Sequence[Service]) -> None:
        self._ballast.unlink(missing_ok=True)


class Quota(Disk):
    """A folder and a limit on the size of files, for want of the right to mount a file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, services: Sequence[Service]) -> None:
        self._limit(services, 0)

    def free(self, services: Sequence[Service]) -> None:
        self._limit(services, resource.RLIM_INFINITY)

    def _limit(self, services: Sequence[Service], size: int) -> None:
        for service in services:
            if service.is_running:
                resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def disk_at(folder: Path) -> Iterator[Disk]:
    """Give a disk below `folder`: a real one where this process may mount it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "pixyproxy-chaos", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield Quota(folder)
        return
    try:
        yield RealDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass(frozen=True, kw_only=True)
class World:
    """A database server, a stand-in OpenAI, a disk, and the services that share them."""

    folder: Path
    database: ThrowawayServer
    openai: OpenAIServer
    disk: Disk
    environment: Mapping[str, str]
    services: list[Service]

    @property
    def content_folder(self) -> Path:
        return self.disk.folder / "images"

    def contents(self) -> Sequence[Path]:
        """Return the files of all contents."""
        return sorted(self.content_folder.glob("??/??/*"))

    def partials(self) -> Sequence[str]:
        """Return the names of all partial images."""
        return sorted(path.name for path in (self.content_folder / "partials").glob("??/??/*"))

    def uploads(self) -> Sequence[str]:
        """Return the names of all uploads."""
        return sorted(path.name for path in (self.content_folder / "uploads").glob("??/??/*"))

    async def start(self, **settings: str) -> Service:
        """Start one more service and return it when it answers."""
        service = Service(self.folder, {**self.environment, **settings})
        self.services.append(service)
        await service.wait_until_live()
        return service

    async def end(self, service: Service, number: signal.Signals = signal.SIGKILL) -> None:
        """End a service."""
        await service.end(number)
        self.services.remove(service)

    async def query(self, sql: str) -> Rows:
        """Ask the database, not the service."""
        return await asyncio.to_thread(self.database.execute, sql, database=DATABASE)

    async def until(self, condition: str, *, seconds: float = 15) -> None:
        """Return when the SQL condition holds for all images."""
        ends_at = time.monotonic() + seconds
        while await self.query(f"SELECT 1 FROM images WHERE NOT ({condition}) LIMIT 1"):  # noqa: S608
            assert time.monotonic() < ends_at, await self.query("SELECT prompt, status FROM images")
            await asyncio.sleep(0.05)

    def hold(self) -> None:
        """Let generations halt from now on."""
        for name in (HALTED, RELEASED):
            (self.folder / name).unlink(missing_ok=True)

    def release(self) -> None:
        """Release the halted generations, and halt no more."""
        (self.folder / RELEASED).touch()

    def halted(self) -> Counter[str]:
        """Return the prompts that have come to the step at which they halt, each with its number of images."""
        path = self.folder / HALTED
        return Counter(path.read_text().splitlines() if path.exists() else ())

    async def doctor(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `pixyproxy doctor`."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "pixyproxy", "doctor", *arguments],
            cwd=self.folder,
            env=clean_environment(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )


@asynccontextmanager
async def running_world(folder: Path) -> AsyncIterator[World]:
    """Give a world without services, with the users `AUTHORS`, and take it down at the end."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(ThrowawayServer(*DURABLE))
        database.execute(f"CREATE DATABASE {DATABASE}")
        disk = stack.enter_context(disk_at(folder / "disk"))
        openai = await stack.enter_async_context(OpenAIServer())
        environment = {
            **SETTINGS,
            "PIXYPROXY_DATABASE_URL": database.url(DATABASE),
            "PIXYPROXY_CONTENT_URL": f"file:{disk.folder / 'images'}",
            "OPENAI_API_KEY": str(openai.api_key),
            "OPENAI_BASE_URL": openai.base_url,
        }
        await _prepare(environment)
        world = World(
            folder=folder,
            database=database,
            openai=openai,
            disk=disk,
            environment=environment,
            services=[],
        )
        try:
            yield world
        finally:
            for service in list(world.services):
                await world.end(service)


async def _prepare(environment: Mapping[str, str]) -> None:
    async with opened(Container(settings=load_settings(environment))) as container:
        await container.schema().upgrade()
        for author in AUTHORS:
            await container.add_user()(author, PASSWORD)
