"""Use case: generate an image and keep it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import ContentInfo, Image, ImageStatus, Visibility
from pixyproxy.domain.ports import Clock, ContentStore, GuidSource, ImageGenerator, ImageRepository
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage:
    """Write down what is about to be bought, generate it, store the content, and only then show the image.

    Takes the prompt and tags as the client wrote them and returns the ready image. Raises `DataValidationError` for
    bad input, a `GenerationError` when no image came out, and the errors of the repository and the content store. A
    failed image stays as a record with the reason; it is never shown.
    """

    images: ImageRepository
    contents: ContentStore
    generator: ImageGenerator
    clock: Clock
    guids: GuidSource

    async def __call__(
        self,
        *,
        prompt: str,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PUBLIC,
        principal: Principal,
    ) -> Image:
        image = await self.images.add(
            Image.requested(
                guid=self.guids.new(),
                prompt=prompt,
                tags=tags,
                visibility=visibility,
                principal=principal,
                model=self.generator.model,
                at=self.clock.now(),
            )
        )
        try:
            # What can't be kept must not be bought.
            await self.contents.check()
            generated = await self.generator.generate(image.prompt)
            receipt = await self.contents.put(image.content_key, generated.chunks())
        except Exception as exc:
            await self._record_failure(image, exc)
            raise
        content = ContentInfo(
            media_type=generated.media_type,
            byte_size=receipt.byte_size,
            sha256=receipt.sha256,
            width=generated.width,
            height=generated.height,
        )
        ready = image.completed(content, generated.usage, at=self.clock.now())
        await self.images.update(ready, expected=ImageStatus.PENDING)
        return ready

    async def _record_failure(self, image: Image, error: Exception) -> None:
        reason = error.detail if isinstance(error, PixyProxyException) else f"internal error: {type(error).__name__}"
        # The client must hear why the generation failed, also when that can't be recorded.
        with suppress(PixyProxyException):
            await self.images.update(image.failed(reason, at=self.clock.now()), expected=ImageStatus.PENDING)
