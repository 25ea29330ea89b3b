"""The HTTP application in the test's own event loop, with parts that can be held and that can fail."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from dependency_injector import providers
from httpx import USE_CLIENT_DEFAULT, ASGITransport, AsyncClient, BasicAuth, Response
from httpx._client import UseClientDefault
from litestar import Litestar

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import GeneratedImage
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Login

# Requests that a test leaves open are broken off at its end.
IMPATIENT = Settings(shutdown_timeout=0.0, patience=0.0, max_wait=10.0)
SOON = 10.0


class HeldGenerator(InMemoryImageGenerator):
    """Draws nothing until it is told to `go_on`; `is_drawing` says that it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.is_drawing = asyncio.Event()
        self._may_go_on = asyncio.Event()

    def go_on(self) -> None:
        """Let all prompts be drawn, those of now and those to come."""
        self._may_go_on.set()

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        self.is_drawing.set()
        self.requests.append(request)
        await self._may_go_on.wait()
        self.requests.remove(request)
        return await super().generate(request)


class FailingImageRepository(InMemoryImageRepository):
    """Loses the database when an image has become one of the states in `fails_for`."""

    def __init__(self, *fails_for: ImageStatus) -> None:
        super().__init__()
        self.fails_for = set(fails_for)

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        if image.status in self.fails_for:
            raise DBConnectionError("The database does not answer.")
        await super().update(image, expected=expected)


class Served:
    """A running application, and helpers for its clients."""

    def __init__(self, app: Litestar, container: Container, client: AsyncClient) -> None:
        self.app = app
        self.container = container
        self.client = client
        self._later: list[asyncio.Task[Response]] = []

    @property
    def requests(self) -> list[GenerationRequest]:
        """The requests that the generator received."""
        requests: list[GenerationRequest] = self.container.generator().requests
        return requests

    async def get(self, path: str, auth: Login | None = None) -> Response:
        """Send a GET."""
        return await self.client.get(path, auth=_basic(auth))

    async def post(
        self,
        body: object = None,
        *,
        path: str = "/image",
        auth: Login | None = ANN,
        key: str | None = None,
        prefer: str | None = None,
    ) -> Response:
        """Ask for an image."""
        headers = {"Idempotency-Key": key, "Prefer": prefer}
        return await self.client.post(
            path,
            json={"prompt": "a red fox"} if body is None else body,
            auth=_basic(auth),
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def post_later(self, body: object = None, **options: Any) -> asyncio.Task[Response]:
        """Ask for an image and do not wait for the answer."""
        task = asyncio.create_task(self.post(body, **options))
        self._later.append(task)
        return task

    async def ready(self, guid: str | UUID) -> Image:
        """Return the stored image as soon as its status is final."""
        async with asyncio.timeout(SOON):
            *_, image = [
                image async for image in self.container.generations().follow(self.container.images(), UUID(str(guid)))
            ]
        return image

    async def stored(self, guid: str | UUID) -> Image:
        """Return the image as it is stored."""
        image: Image = await self.container.images().get(UUID(str(guid)))
        return image

    async def all_stored(self) -> list[Image]:
        """Return all images that were written down."""
        return list(await self.container.images().scan(limit=1000))

    async def close(self) -> None:
        """Cancel the requests that are still running."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)


class Stream:
    """A GET whose response is read piece by piece, by a client that may leave; `auth` is a login or an API key."""

    def __init__(self, served: Served, path: str, auth: Login | str = ANN) -> None:
        self._served = served
        self._path = path
        self._auth = auth
        self._has_left = asyncio.Event()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def piece(self) -> str:
        """Return the next piece as soon as it is there."""
        async with asyncio.timeout(SOON):
            return (await self._pieces.get()).decode()

    async def leave(self) -> None:
        """Go away, and return when the application is done."""
        self._has_left.set()
        await self.end()

    async def end(self) -> None:
        """Return when the application has ended the response."""
        await asyncio.wait_for(self._task, SOON)

    async def _run(self) -> None:
        auth = self._auth
        header = f"Bearer {auth}" if isinstance(auth, str) else f"Basic {b64encode(':'.join(auth).encode()).decode()}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"testserver"), (b"authorization", header.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "state": {},
        }
        await self._served.app(scope, self._receive, self._send)  # type: ignore[arg-type]

    async def _receive(self) -> dict[str, Any]:
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message.get("body"):
            await self._pieces.put(message["body"])
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # As in servers: after the end there is nothing to receive.
            self._has_left.set()


@asynccontextmanager
async def serving(settings: Settings = IMPATIENT, **adapters: object) -> AsyncIterator[Served]:
    """Run the application on in-memory adapters, some of them replaced, with two users."""
    container = in_memory_container(settings)
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    for name, password in (ANN, BOB):
        await container.add_user()(name, password)
    app = create_app(settings, container)
    transport = ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with app.lifespan(), AsyncClient(transport=transport, base_url="http://testserver") as client:
        served = Served(app, container, client)
        try:
            yield served
        finally:
            await served.close()


def with_settings(**changes: object) -> Settings:
    """Return impatient settings with changes."""
    return msgspec.structs.replace(IMPATIENT, **changes)


def events(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the names and the data of the events of a stream, in their order."""
    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), msgspec.json.decode(data.removeprefix("data: "))) for name, data in blocks]


def _basic(auth: Login | None) -> BasicAuth | UseClientDefault:
    return USE_CLIENT_DEFAULT if auth is None else BasicAuth(*auth)
