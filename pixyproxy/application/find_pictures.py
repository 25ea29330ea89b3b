"""Use case: find the pictures that go into a generation."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pixyproxy.domain.content import ContentInfo, ContentKey, MediaType, with_extension
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    DamagedContentError,
    DamagedRecordError,
    DataValidationError,
    RecordNotFoundError,
    ReferenceGoneError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import (
    ContentInspector,
    ContentStore,
    ImageRepository,
    InputPicture,
    InputPictures,
    StoredContent,
)
from pixyproxy.domain.reference import REFERENCE_MEDIA_TYPES, Reference
from pixyproxy.domain.user import Principal


class FoundPicture(InputPicture, frozen=True, kw_only=True):
    """A picture in its store; `open_part` opens a part of it as `ContentStore.open` does."""

    open_part: Callable[..., Awaitable[StoredContent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPictures:
    """Return the references and the mask of a request, as far as the principal may read them.

    Raises `ReferenceGoneError` for one that is gone, or that the principal may not read any more, and
    `ContentStoreError`.
    """

    images: ImageRepository
    contents: ContentStore
    upload_contents: ContentStore
    inspector: ContentInspector
    # A decoded mask takes hundreds of megabytes.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, request: GenerationRequest, principal: Principal) -> InputPictures:
        pictures: list[InputPicture] = []
        for name, reference in _named(request):
            try:
                picture = await self.find(reference, principal)
                stored = await picture.open()
            except (RecordNotFoundError, ContentNotFoundError, DamagedRecordError) as exc:
                raise ReferenceGoneError(f"{name} is gone; nothing was bought.", maybe_billed=False) from exc
            if stored.byte_size != picture.content.byte_size:
                raise ReferenceGoneError(f"{name} is damaged; nothing was bought.", maybe_billed=False)
            pictures.append(picture)
        if request.mask is None:
            return InputPictures(references=pictures)
        *references, mask = pictures
        return InputPictures(references=references, mask=mask)

    async def ensure_usable(
        self, request: GenerationRequest, principal: Principal, *, mask_may_be_opaque: bool = False
    ) -> None:
        """Check the pictures of a new request.

        Raises `RecordNotFoundError`, which names the field, for an image that does not exist or that the principal may
        not read, and `DataValidationError` for a picture of another format, and for a mask that is no PNG in the size
        of the first reference or, unless `mask_may_be_opaque`, has no transparency.
        """
        infos: list[ContentInfo] = []
        for name, reference in _named(request):
            try:
                content = (await self.find(reference, principal)).content
            except RecordNotFoundError as exc:
                raise RecordNotFoundError(f"{name}: {exc.detail}") from exc
            if content.media_type not in REFERENCE_MEDIA_TYPES:
                raise DataValidationError(name, f"must be a PNG, JPEG or WebP, not {content.media_type.name}")
            infos.append(content)
        if request.mask is not None:
            _ensure_mask_fits(infos[-1], infos[0])
            if not mask_may_be_opaque:
                await self._ensure_transparency(request.mask, principal)

    async def find(self, reference: Reference, principal: Principal) -> FoundPicture:
        """Return one picture; raise `RecordNotFoundError` for an image that the principal may not read."""
        if reference.upload is not None:
            upload = reference.upload
            return _picture(upload.filename, upload.content, self.upload_contents, upload.key)
        if reference.guid is None:
            raise DataValidationError("references", "must be the guid of an image, or an upload")
        image = await self.images.get(reference.guid)
        _ensure_readable(image, principal)
        return _picture(image.filename, image.ready_content, self.contents, image.content_key)

    async def _ensure_transparency(self, mask: Reference, principal: Principal) -> None:
        try:
            async with self.turn:
                found = await self.inspector.inspect_input(await (await self.find(mask, principal)).open())
        except DamagedContentError as exc:
            raise DataValidationError("mask", f"can't be used: {exc.detail}") from exc
        if not found.has_alpha:
            raise DataValidationError("mask", "must have transparency, which marks what may change")


def _named(request: GenerationRequest) -> Sequence[tuple[str, Reference]]:
    """Return the pictures of a request with the names of their fields, the mask last."""
    named = [(f"references[{number}]", reference) for number, reference in enumerate(request.references)]
    return named if request.mask is None else [*named, ("mask", request.mask)]


def _ensure_mask_fits(content: ContentInfo, first: ContentInfo) -> None:
    if content.media_type is not MediaType.PNG:
        raise DataValidationError("mask", f"must be a PNG, not {content.media_type.name}")
    if (content.width, content.height) != (first.width, first.height):
        raise DataValidationError(
            "mask",
            f"must be as large as the first reference, {first.width}x{first.height},"
            f" not {content.width}x{content.height}",
        )


def _ensure_readable(image: Image, principal: Principal) -> None:
    if not image.is_readable_by(principal, ImageScope.OWN):
        image.ensure_readable_by(principal, ImageScope.PUBLIC)


def _picture(filename: str, content: ContentInfo, contents: ContentStore, key: ContentKey) -> FoundPicture:
    return FoundPicture(
        filename=with_extension(filename, content.media_type.extension),
        content=content,
        open=partial(contents.open, key),
        open_part=partial(contents.open, key),
    )
