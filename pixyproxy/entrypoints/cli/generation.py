"""Creating images for `pixyproxy generate`, and showing how far they are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pixyproxy.domain.errors import DBConnectionError, PixyProxyException
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import PartialImage
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.housekeeping import recovery

_CHUNK_SIZE: Final = 1 << 20
_PAUSE: Final = 0.5


class GenerationProgress:
    """A bar for each image, with its state and its partial images; shown on terminals only."""

    def __init__(self, terminal: Console) -> None:
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)
        self._tasks: dict[UUID, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def show(self, image: Image) -> None:
        """Show the state of an image."""
        name = f"image {image.batch.position + 1} of {image.batch.size}" if image.batch else "image"
        description = f"{name}: {image.status}"
        if image.guid not in self._tasks:
            # Without partial images there is no progress to measure.
            steps = image.request.partial_images + 1 if image.request.partial_images else None
            self._tasks[image.guid] = self._progress.add_task(description, total=steps)
        task = self._tasks[image.guid]
        self._progress.update(task, description=description)
        if image.status.is_final:
            self._progress.update(task, total=1, completed=1)

    def show_partial(self, image: Image, position: int) -> None:
        """Show that an image has a partial image more."""
        if image.guid in self._tasks:
            self._progress.update(self._tasks[image.guid], completed=position + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCreation:
    """Creates the images of one request as an operator asks for them.

    Files among the pictures become uploads. Writes partial images into `partials_folder` if there is one.
    """

    container: Container
    progress: GenerationProgress
    partials_folder: Path | None = None

    async def __call__(
        self,
        request: GenerationRequest,
        count: int,
        *,
        references: Sequence[Path | UUID],
        mask: Path | UUID | None,
        tags: Sequence[str],
        visibility: Visibility,
        principal: Principal,
    ) -> Sequence[Image]:
        """Return the images in order when all have ended, or after the longest wait of the settings.

        Raises a `PixyProxyException` if nothing was begun; then nothing is kept of the uploads.
        """
        store_upload = self.container.store_upload()
        uploads: list[Upload] = []

        async def reference_to(picture: Path | UUID, field: str) -> Reference:
            if isinstance(picture, UUID):
                return Reference.to_image(picture)
            uploads.append(await store_upload(_chunks_of(picture), filename=picture.name, field=field))
            return Reference.to_upload(uploads[-1])

        try:
            request = msgspec.structs.replace(
                request,
                references=tuple(
                    [await reference_to(picture, f"references[{number}]") for number, picture in enumerate(references)]
                ),
                mask=None if mask is None else await reference_to(mask, "mask"),
            )
            begun = await self._begin(request, count, tags, visibility, principal)
        except BaseException:
            await store_upload.release(uploads)
            with suppress(PixyProxyException):
                await self.container.sweep_uploads()()
            raise
        await store_upload.release(uploads)
        # An image of a process that has crashed may hold the last place of the limit, and no service may be running.
        async with recovery(self.container.recover_images(), every=self.container.settings().lease / 3):
            return await asyncio.gather(*(self._ended(image) for image in begun))

    async def _begin(
        self,
        request: GenerationRequest,
        count: int,
        tags: Sequence[str],
        visibility: Visibility,
        principal: Principal,
    ) -> Sequence[Image]:
        if count == 1:
            created = await self.container.create_image()(
                request, tags=tags, visibility=visibility, principal=principal, wait=0, on_partial=self._receive
            )
            return [created.image]
        batch = await self.container.create_batch()(
            request, count, tags=tags, visibility=visibility, principal=principal, wait=0, on_partial=self._receive
        )
        images: Sequence[Image] = batch.images
        return images

    async def _ended(self, begun: Image) -> Image:
        image = begun
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self.container.settings().max_wait
        while True:
            try:
                changes = self.container.generations().follow(self.container.images(), begun.guid, ends_at - clock())
                async for image in changes:
                    self.progress.show(image)
            except DBConnectionError:
                # The generation goes on meanwhile.
                if clock() >= ends_at:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return image

    async def _receive(self, image: Image, position: int, partial: PartialImage) -> None:
        self.progress.show_partial(image, position)
        if self.partials_folder is not None:
            path = self.partials_folder / f"{image.guid}-{position + 1}{partial.media_type.extension}"
            try:
                await asyncio.to_thread(path.write_bytes, partial.data)
            except OSError as exc:
                self.progress.print(f"Can't write {path}: {exc.strerror}.")


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_SIZE):
                yield chunk
    except OSError as exc:
        raise click.ClickException(f"can't read {path}: {exc.strerror}.") from exc
