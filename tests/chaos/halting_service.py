"""The real service in its own process, whose generations halt at a named step until they are released.

A prompt chooses the step: ``a red fox {{halt stored}}``. The file `halted` in the service's folder lists the prompts
that have reached their step; creating the file `released` lets them go on. So one crash can hit many images, each at an
exact step.
"""

import asyncio
import math
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from uuid import UUID

import uvicorn
from dependency_injector import providers

# So that a process that is forked off has it already; the adapter imports it when the first image is asked for.
import pixyproxy.adapters.openai.endpoint  # noqa: F401
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.content import ContentKey, content_key_of, image_of_partial
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import (
    NO_PICTURES,
    ContentDigest,
    GeneratedImage,
    ImageGenerator,
    InputPictures,
    OnPartial,
    ignore_partial,
)
from pixyproxy.entrypoints.cli.serve import GRACE_SECONDS, stop_on_signals
from pixyproxy.entrypoints.container import PARTIALS, Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.log import configure_logging
from pixyproxy.entrypoints.settings import Settings, load_settings

HALTED: Final = "halted"
RELEASED: Final = "released"

DELETING: Final = "deleting"
"""Where a deletion can halt: the record is gone, and the bytes are there."""

_DIRECTIVE: Final = re.compile(r"\{\{halt ([a-z-]+)\}\}")


class Step(StrEnum):
    """Where a generation can halt, in the order of its life."""

    UNWRITTEN = "unwritten"
    """Nothing is written down."""
    WAITING = "waiting"
    """The image waits in the queue; no process has claimed it."""
    PENDING = "pending"
    """A process has claimed the image; the free space is not checked yet."""
    CHECKED = "checked"
    """There is room for it; it is written down as pending."""
    GENERATING = "generating"
    """It is written down as generating; the generator was not called."""
    PARTIAL_HALF_STORED = "partial-half-stored"
    """Half of the bytes of the first partial image are in the temporary file."""
    PARTIAL_STORED = "partial-stored"
    """The first partial image can be fetched; the generator is still at work."""
    ANSWERED = "answered"
    """The whole answer is there, and nothing of it is on the disk."""
    HALF_STORED = "half-stored"
    """Half of the bytes are in the temporary file."""
    STORED = "stored"
    """The bytes are durable; the image is written down as generating."""
    READY = "ready"
    """The image is written down as ready; its partial images are there, and the client was not answered."""


PARTIAL_STEPS: Final = frozenset({Step.PARTIAL_HALF_STORED, Step.PARTIAL_STORED})
"""Where only a generation with partial images can halt."""

# More than a test keeps waiting.
_WAITING_MAX_COUNT: Final = 16

# Halting is no reason to give a partial image up.
_PARTIAL_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Halts:
    """Where generations halt; `prompts` are those of the images that this process has seen, by content key."""

    folder: Path
    prompts: dict[ContentKey, str] = field(default_factory=dict)
    _waiting: set[ContentKey] = field(default_factory=set)

    def keeps_waiting(self, key: ContentKey) -> bool:
        """Whether the image is to stay in the queue until it is let go."""
        prompt = self.prompts[key]
        if not self._is_to_halt(Step.WAITING, prompt):
            return False
        if key not in self._waiting:
            self._waiting.add(key)
            self._write_down(prompt)
        return True

    async def reach(self, step: str, prompt: str) -> None:
        """Return when the prompt does not ask to halt at this step, or is let go."""
        if not self._is_to_halt(step, prompt):
            return
        self._write_down(prompt)
        while self._is_to_halt(step, prompt):  # noqa: ASYNC110 -- it is another process that lets go
            await asyncio.sleep(0.01)

    def _is_to_halt(self, step: str, prompt: str) -> bool:
        match = _DIRECTIVE.search(prompt)
        return match is not None and match[1] == step and not (self.folder / RELEASED).exists()

    def _write_down(self, prompt: str) -> None:
        with (self.folder / HALTED).open("a") as halted:
            halted.write(f"{prompt}\n")


@dataclass(frozen=True, kw_only=True)
class HaltingImageRepository(MySQLImageRepository):
    """Halts before and after an image is written down, in the queue, and after its state has changed."""

    halts: Halts

    async def add_batch(self, guid: UUID, images: Sequence[Image], *, claim: Claim | None = None) -> Sequence[Image]:
        await self.halts.reach(Step.UNWRITTEN, images[0].prompt)
        self.halts.prompts.update({image.content_key: image.prompt for image in images})
        return await super().add_batch(guid, images, claim=claim)

    async def get(self, guid: UUID) -> Image:
        image = await super().get(guid)
        self.halts.prompts[image.content_key] = image.prompt
        return image

    async def list_next(self, *, since: datetime, models: Collection[str] | None = None, limit: int) -> Sequence[UUID]:
        guids = await super().list_next(since=since, models=models, limit=limit + _WAITING_MAX_COUNT)
        for guid in guids:
            if content_key_of(guid) not in self.halts.prompts:
                with suppress(RecordNotFoundError):
                    await self.get(guid)
        return [guid for guid in guids if not self.halts.keeps_waiting(content_key_of(guid))][:limit]

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        await super().update(image, expected=expected)
        if image.status is ImageStatus.READY:
            await self.halts.reach(Step.READY, image.prompt)

    async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
        if image.status is ImageStatus.GENERATING:
            await self.halts.reach(Step.CHECKED, image.prompt)
        await super().update_leased(image, expected=expected, owner=owner)
        if image.status is ImageStatus.GENERATING:
            await self.halts.reach(Step.GENERATING, image.prompt)


class HaltingContentStore(FilesystemContentStore):
    """Halts before the check of free space, in the middle of a content, after it, and before its deletion."""

    def __init__(self, root: Path, halts: Halts) -> None:
        super().__init__(root)
        self._halts = halts

    async def check(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        # The task of a generation is named after its image.
        prompt = self._halts.prompts.get(ContentKey(task.get_name().removeprefix("generation ")))
        if prompt is not None:
            await self._halts.reach(Step.PENDING, prompt)
        await super().check()

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        prompt = self._halts.prompts[key]
        digest = await super().put(key, halves(chunks, partial(self._halts.reach, Step.HALF_STORED, prompt)))
        await self._halts.reach(Step.STORED, prompt)
        return digest

    async def delete(self, key: ContentKey) -> None:
        if key in self._halts.prompts:
            await self._halts.reach(DELETING, self._halts.prompts[key])
        await super().delete(key)


class HaltingPartialStore(FilesystemContentStore):
    """Halts in the middle of a partial image, and after it."""

    def __init__(self, root: Path, halts: Halts) -> None:
        super().__init__(root)
        self._halts = halts

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        guid = image_of_partial(key)
        assert guid is not None
        prompt = self._halts.prompts[content_key_of(guid)]
        digest = await super().put(key, halves(chunks, partial(self._halts.reach, Step.PARTIAL_HALF_STORED, prompt)))
        await self._halts.reach(Step.PARTIAL_STORED, prompt)
        return digest


async def halves(chunks: AsyncIterable[bytes], halt: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    """Yield each chunk in two halves, and call `halt` between them."""
    async for chunk in chunks:
        middle = len(chunk) // 2
        yield chunk[:middle]
        await halt()
        yield chunk[middle:]


@dataclass(frozen=True, kw_only=True)
class HaltingImageGenerator(ImageGenerator):
    """Halts when the answer of another generator is there."""

    generator: ImageGenerator
    halts: Halts

    @property
    def is_repeatable(self) -> bool:
        return self.generator.is_repeatable

    def capabilities(self) -> Capabilities:
        return self.generator.capabilities()

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,
        on_partial: OnPartial = ignore_partial,
    ) -> GeneratedImage:
        generated = await self.generator.generate(request, pictures=pictures, on_partial=on_partial)
        await self.halts.reach(Step.ANSWERED, request.prompt)
        return generated

    async def close(self) -> None:
        await self.generator.close()


def halting_container(settings: Settings, halts: Halts) -> Container:
    """Return the container that the service would have, with adapters that halt."""
    container = Container(settings=settings)
    container.images.override(providers.Object(HaltingImageRepository(database=container.database(), halts=halts)))
    container.contents.override(providers.Object(HaltingContentStore(Path(settings.content_path), halts)))
    partials = HaltingPartialStore(Path(settings.content_path, PARTIALS), halts)
    container.partial_contents.override(providers.Object(partials))
    container.partial_images.add_kwargs(seconds=_PARTIAL_SECONDS)
    container.generator.override(providers.Object(HaltingImageGenerator(generator=container.generator(), halts=halts)))
    return container


def serve(folder: Path, environment: Mapping[str, str], output: Connection) -> None:
    """Serve as `pixyproxy serve` does, with `environment` alone, `folder` for the halts, and `output` for the log."""
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    settings = load_settings(environment)
    configure_logging(settings.log_format)
    container = halting_container(settings, Halts(folder=folder))
    app = create_app(settings, container)
    app.on_startup.append(partial(stop_on_signals, container, settings.shutdown_timeout, settings.drain_delay))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout) + GRACE_SECONDS,
    )
