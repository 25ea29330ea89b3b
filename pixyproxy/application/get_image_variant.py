"""Use case: an image in another size, another format or both."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from pixyproxy.application.failures import Failures
from pixyproxy.application.makings import Makings
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.image import ContentKey, Image, ImageScope, MediaType
from pixyproxy.domain.ports import ContentReceipt, ContentStore, ImageRepository, StoredContent, VariantMaker
from pixyproxy.domain.user import Principal
from pixyproxy.domain.variant import Variant, VariantName, VariantPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class GetImageVariant:
    """Return the size and the SHA-256 of a variant of an image of those in `scope`, which is made if it is not there.

    The image is one that `GetImageContent.find` has found; `open` returns the bytes. However many ask at once, a
    variant is made once, and it is stored beside the content and deleted with it. Raises `DataValidationError` for a
    variant that `policy` does not allow, `OverloadedError` when too many are being made, `RecordNotFoundError` as
    `GetImageContent` does, and `ContentStoreError`, also for content that can't be made into anything: that is
    remembered in `failures`, so that it is not tried again for each request. SVGs, which may take long, have their own
    `drawings` and hold up no `makings` of bitmaps.
    """

    images: ImageRepository
    contents: ContentStore
    maker: VariantMaker
    policy: VariantPolicy = field(default_factory=VariantPolicy)
    makings: Makings[ContentReceipt] = field(default_factory=Makings)
    drawings: Makings[ContentReceipt] = field(default_factory=lambda: Makings(max_running=1))
    failures: Failures = field(default_factory=Failures)

    async def __call__(
        self, image: Image, variant: Variant, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> ContentReceipt:
        name = self._admit(image, variant, principal, scope)
        receipt = await self.contents.find_variant(image.content_key, name)
        if receipt is not None:
            return receipt
        self.failures.ensure_none(_content(image), _pixels(image, variant))
        makings = self.drawings if image.ready_content.media_type is MediaType.SVG else self.makings
        # That takes a while: the image may be deleted or hidden meanwhile.
        try:
            receipt = await makings.result((image.content_key, name), partial(self._make, image, variant, name))
        except ContentStoreError:
            (await self.images.get(image.guid)).ensure_readable_by(principal, scope)
            raise
        (await self.images.get(image.guid)).ensure_readable_by(principal, scope)
        return receipt

    async def open(
        self,
        image: Image,
        variant: Variant,
        receipt: ContentReceipt,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> StoredContent:
        """Return the bytes of the variant that `receipt` is about; `start` and `end` are those of `ContentStore.open`.

        Raises `ContentStoreError` if it has been made anew meanwhile, with other bytes.
        """
        name = self._admit(image, variant, principal, scope)
        try:
            content = await self.contents.open_variant(image.content_key, name, start=start, end=end)
        except ContentNotFoundError:
            # Somebody has tidied up since it was found.
            await self(image, variant, principal, scope)
            content = await self.contents.open_variant(image.content_key, name, start=start, end=end)
        if content.sha256 != receipt.sha256:
            raise ContentStoreError("The variant has been replaced while it was being asked for.")
        return content

    def _admit(self, image: Image, variant: Variant, principal: Principal, scope: ImageScope) -> VariantName:
        image.ensure_readable_by(principal, scope)
        self.policy.ensure_allowed(variant)
        return variant.name_for(image.ready_content.sha256)

    async def _make(self, image: Image, variant: Variant, name: VariantName) -> ContentReceipt:
        key = image.content_key
        # Who made it last may have ended while this one was being asked for.
        receipt = await self.contents.find_variant(key, name)
        if receipt is not None:
            return receipt
        # Another variant of it may have failed meanwhile.
        self.failures.ensure_none(_content(image), _pixels(image, variant))
        content = await self.contents.open(key)
        if content.byte_size != image.ready_content.byte_size:
            raise DamagedContentError(f"The content of image {image.guid} is damaged.")
        try:
            data = await self.maker.make(content, variant)
        except DamagedContentError as exc:
            self.failures.remember(_content(image), _pixels(image, variant), exc)
            raise
        try:
            receipt = await self.contents.put_variant(key, name, _chunks(data))
            await self.images.get(image.guid)
        except ContentStoreError:
            # It was not stored.
            raise
        except BaseException:
            # The image is deleted, and who deleted it may have been done with its variants before this one came; or
            # nobody knows, and a variant can be made again.
            with suppress(ContentStoreError):
                await self.contents.delete_variants(key)
            raise
        return receipt


def _content(image: Image) -> tuple[ContentKey, str]:
    """Return what tells the content from others, also from another one under the same key."""
    return image.content_key, image.ready_content.sha256


def _pixels(image: Image, variant: Variant) -> int:
    content = image.ready_content
    width, height = variant.size_of(content.width, content.height, is_scalable=content.media_type is MediaType.SVG)
    return width * height


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]
