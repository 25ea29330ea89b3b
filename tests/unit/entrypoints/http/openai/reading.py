"""The reading of requests by itself: bodies in, what they ask for or the error out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from dependency_injector import providers
from litestar import Request

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.openai.capabilities import capabilities_of
from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest, ImagesRequests
from pixyproxy.entrypoints.settings import GeneratorKind, Settings
from tests.contents import keys_in
from tests.doubles.container import in_memory_container

JSON = "application/json"
OPENAI = Settings(generator=GeneratorKind.OPENAI, openai_api_key="a-key")


class Reading:
    """Requests to be read, in a container without a database or a generator."""

    def __init__(self, container: Container, settings: Settings) -> None:
        self.container = container
        self.requests = ImagesRequests.of(container, settings)
        self.principal: Principal = ANONYMOUS
        self.key: APIKey | None = None
        self.received = 0

    async def generation(self, body: object, **options: Any) -> ImagesRequest:
        """Read a request for pictures from a prompt."""
        return await self.requests.generation(self.request(body, **options))

    async def edit(self, body: object, **options: Any) -> ImagesRequest:
        """Read a request for pictures from pictures, and release them as the middleware does."""
        request = self.request(body, **options)
        try:
            return await self.requests.edit(request)
        except BaseException:
            await self.requests.forms.release(request.scope, was_refused=True)
            raise

    def request(
        self,
        body: object,
        *,
        content_type: str | None = JSON,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        chunks: Iterable[bytes] | None = None,
        is_whole: bool = True,
    ) -> Request[Any, Any, Any]:
        """Return a request with this body, bytes or what is to be JSON; without Content-Length if it is in `chunks`."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        pieces = iter([content] if chunks is None else chunks)
        named = {"content-type": content_type, **(headers or {})}
        if chunks is None:
            named["content-length"] = str(len(content))

        async def receive() -> Any:
            await asyncio.sleep(0)
            piece = next(pieces, None)
            if piece is None and not is_whole:
                return {"type": "http.disconnect"}
            self.received += len(piece or b"")
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        scope: Any = {
            "type": "http",
            "method": "POST",
            "path": "/v1/images/generations",
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), text.encode("latin-1")) for name, text in named.items() if text is not None
            ],
            "state": {},
            "user": self.principal,
            "auth": self.key,
        }
        self.scope = scope
        return Request(scope, receive)

    async def kept(self) -> Sequence[str]:
        """Return the keys of all stored uploads."""
        return await keys_in(self.container.upload_contents())


@asynccontextmanager
async def reading(settings: Settings | None = None, **adapters: object) -> AsyncIterator[Reading]:
    """Yield the reading of requests, with adapters in memory, some of them replaced."""
    settings = settings or OPENAI
    container = in_memory_container(settings)
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    user = await container.add_user()("ann", "correct horse")
    read = Reading(container, settings)
    read.principal = Principal(name=user.name)
    yield read


def about(error: DataValidationError) -> str:
    """Return what an error says, and the field that it is about."""
    return f"{error.field} {error.detail}"


class OpenAILike(InMemoryImageGenerator):
    """Takes what OpenAI's models take, and draws as the in-memory generator does."""

    def __init__(self, default: str = "gpt-image-2") -> None:
        super().__init__()
        self._capabilities = capabilities_of(default, list(MODELS), {}, allow_any=False)

    def capabilities(self) -> Capabilities:
        return self._capabilities
