"""Use case: get an image in another size or format."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from pixyproxy.application.failures import Failures
from pixyproxy.application.single_flight import SingleFlight
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import (
    ContentDigest,
    ContentStore,
    ImageRepository,
    StoredContent,
    VariantMaker,
    VariantStore,
    chunks_of,
)
from pixyproxy.domain.user import Principal
from pixyproxy.domain.variant import Variant, VariantName, VariantPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class GetImageVariant:
    """Return the size and the SHA-256 of a variant; make the variant if it does not exist.

    Takes an image from `GetImageContent.find`; `open` returns the bytes. Concurrent requests share one run, and the
    variant is stored beside the content and deleted with it. Raises `DataValidationError` for a variant that `policy`
    does not allow, `OverloadedError` when too many are queued, `RecordNotFoundError` as `GetImageContent` does, and
    `ContentStoreError`, also for content that can't be converted: `failures` remembers it, so that it is not tried for
    each request. SVGs can take long: they use `drawing_flight`, apart from the bitmaps' `variant_flight`.
    """

    images: ImageRepository
    contents: ContentStore
    variants: VariantStore
    maker: VariantMaker
    policy: VariantPolicy = field(default_factory=VariantPolicy)
    variant_flight: SingleFlight[ContentDigest] = field(default_factory=SingleFlight)
    drawing_flight: SingleFlight[ContentDigest] = field(default_factory=lambda: SingleFlight(max_running=1))
    failures: Failures = field(default_factory=Failures)

    async def __call__(
        self, image: Image, variant: Variant, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> ContentDigest:
        name = self._admit(image, variant, principal, scope)
        digest = await self.variants.find_variant(image.content_key, name)
        if digest is not None:
            return digest
        self.failures.ensure_none(_content(image), _pixels(image, variant))
        # Drawing takes a while: the image may be deleted or hidden meanwhile.
        try:
            digest = await self._made(image, variant, name)
        except ContentStoreError:
            (await self.images.get(image.guid)).ensure_readable_by(principal, scope)
            raise
        (await self.images.get(image.guid)).ensure_readable_by(principal, scope)
        return digest

    async def prepare(self, image: Image, variant: Variant) -> None:
        """Make the variant of a ready image if it does not exist, once all variants that were requested are made.

        Raises `RecordNotFoundError` if the image is deleted meanwhile, and otherwise as a request for it does.
        """
        await self._flight(image).idle()
        await self._made(image, variant, variant.name_for(image.ready_content.sha256))

    async def open(
        self,
        image: Image,
        variant: Variant,
        digest: ContentDigest,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> StoredContent:
        """Return the bytes of the variant with `digest`; `start` and `end` are those of `ContentStore.open`.

        Raises `ContentStoreError` if the variant was replaced meanwhile.
        """
        name = self._admit(image, variant, principal, scope)
        try:
            content = await self.variants.open_variant(image.content_key, name, start=start, end=end)
        except ContentNotFoundError:
            # It was removed after it was found.
            await self(image, variant, principal, scope)
            content = await self.variants.open_variant(image.content_key, name, start=start, end=end)
        if content.sha256 != digest.sha256:
            raise ContentStoreError("The variant has been replaced while it was being asked for.")
        return content

    def _admit(self, image: Image, variant: Variant, principal: Principal, scope: ImageScope) -> VariantName:
        image.ensure_readable_by(principal, scope)
        self.policy.ensure_allowed(variant)
        return variant.name_for(image.ready_content.sha256)

    def _flight(self, image: Image) -> SingleFlight[ContentDigest]:
        return self.drawing_flight if image.ready_content.media_type is MediaType.SVG else self.variant_flight

    async def _made(self, image: Image, variant: Variant, name: VariantName) -> ContentDigest:
        key = (image.content_key, name)
        return await self._flight(image).result(key, partial(self._make, image, variant, name))

    async def _make(self, image: Image, variant: Variant, name: VariantName) -> ContentDigest:
        key = image.content_key
        # Another run may have stored it since the lookup.
        digest = await self.variants.find_variant(key, name)
        if digest is not None:
            return digest
        # Another variant of the content may have failed meanwhile.
        self.failures.ensure_none(_content(image), _pixels(image, variant))
        content = await self.contents.open(key)
        if content.byte_size != image.ready_content.byte_size:
            raise DamagedContentError(f"The content of image {image.guid} is damaged.")
        try:
            data = await self.maker.make(content, variant)
        except DamagedContentError as exc:
            self.failures.put(_content(image), _pixels(image, variant), exc)
            raise
        try:
            digest = await self.variants.put_variant(key, name, chunks_of(data))
            await self.images.get(image.guid)
        except ContentStoreError:
            # It was not stored.
            raise
        except BaseException:
            # The image is deleted, and its deletion may have removed the variants before this one was stored. If not
            # even that is certain: a variant can be made again.
            with suppress(ContentStoreError):
                await self.variants.delete_variants(key)
            raise
        return digest


def _content(image: Image) -> tuple[ContentKey, str]:
    """Return a key for the content, which also changes when the content is replaced."""
    return image.content_key, image.ready_content.sha256


def _pixels(image: Image, variant: Variant) -> int:
    content = image.ready_content
    width, height = variant.size_of(content.width, content.height, is_scalable=content.media_type is MediaType.SVG)
    return width * height
