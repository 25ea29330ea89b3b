"""Request and response bodies of images, independent of the domain's structs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pixyproxy.application.bulk import BulkResult
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError, GenerationError, PixyProxyException
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image, ImageChanges, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.reference import Reference
from pixyproxy.entrypoints.http.images.options import RequestOptions
from pixyproxy.entrypoints.http.paths import PRIVATE_PATH, PUBLIC_PATH
from pixyproxy.entrypoints.http.problems.problem_types import problem_type_of

TagText = Annotated[
    str,
    Meta(
        description="One line of 1 to 64 characters in NFC, without white space around it. One of them can be seen; new"
        " tags have no bidirectional controls and no U+200B, U+2060 or U+FEFF, and no tag has more than 30 combining"
        " marks in a row."
    ),
]
Guids = Annotated[
    list[UUID],
    Meta(
        description="Your images: 1 to 1,000 guids, no duplicates.", examples=[["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"]]
    ),
]


class CreationBody(RequestOptions, frozen=True, kw_only=True):
    """What to generate, and the tags of what comes out."""

    prompt: Annotated[
        str,
        Meta(
            description="What to draw: 1 to 32,000 characters after the white space around it is removed, no NUL,"
            " and one of them can be seen.",
            examples=["A lighthouse at dusk, in watercolour"],
        ),
    ]
    references: Annotated[
        list[UUID] | None,
        Meta(
            description="Up to 16 images of PixyProxy to draw from, in order: PNG, JPEG or WebP.",
            examples=[["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"]],
        ),
    ] = None
    mask: Annotated[
        UUID | None,
        Meta(
            description="An image of PixyProxy whose transparent parts mark what of the first reference may change: a"
            " PNG of the same size.",
            examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"],
        ),
    ] = None
    tags: Annotated[
        list[TagText],
        Meta(description="Words to find the image by: at most 32, no duplicates.", examples=[["lighthouse", "draft"]]),
    ] = msgspec.field(default_factory=list)

    def to_request(self) -> GenerationRequest:
        """Return the generation request."""
        options = {name: getattr(self, name) for name in RequestOptions.__struct_fields__}
        return GenerationRequest(
            prompt=self.prompt,
            references=tuple(map(Reference.to_image, self.references or ())),
            mask=None if self.mask is None else Reference.to_image(self.mask),
            **{name: value for name, value in options.items() if value is not None},
        )


class CreatePublicImage(CreationBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image to generate, its tags and its visibility."""

    batch_path: ClassVar[str] = f"{PUBLIC_PATH}/batch"

    visibility: Annotated[
        Visibility, Meta(description="`public`: anyone may read the image; `private`: only you may.")
    ] = Visibility.PUBLIC
    n: Annotated[
        Any, Meta(description="1, or absent: `…/image/batch` makes several images of one request.", examples=[1])
    ] = None

    def to_request(self) -> GenerationRequest:
        """Return the generation request; raise `DataValidationError` if it is for several images."""
        if self.n is not None and (type(self.n) is not int or self.n != 1):
            raise DataValidationError(
                "n", f"must be 1 here; POST {self.batch_path} makes several images of one request"
            )
        return super().to_request()


class CreatePrivateImage(CreatePublicImage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image to generate, its tags and its visibility."""

    batch_path = f"{PRIVATE_PATH}/batch"

    visibility: Annotated[
        Visibility, Meta(description="`private`: only you may read the image; `public`: anyone may.")
    ] = Visibility.PRIVATE


class CreatePublicBatch(CreationBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images to generate, their tags and their visibility."""

    visibility: Annotated[
        Visibility, Meta(description="`public`: anyone may read the images; `private`: only you may.")
    ] = Visibility.PUBLIC
    n: Annotated[int, Meta(description="How many images to generate: 1 to 10.", examples=[3])] = 1


class CreatePrivateBatch(CreatePublicBatch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images to generate, their tags and their visibility."""

    visibility: Annotated[
        Visibility, Meta(description="`private`: only you may read the images; `public`: anyone may.")
    ] = Visibility.PRIVATE


class ChangeImageBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes to an image (RFC 7396): absent fields stay as they are."""

    tags: Annotated[
        list[TagText] | UnsetType | None,
        Meta(description="All tags from now on: at most 32, no duplicates; null for none.", examples=[["final"]]),
    ] = UNSET
    visibility: Annotated[
        Visibility | UnsetType, Meta(description="`private` hides the image from others at once.")
    ] = UNSET
    filename: Annotated[
        str | UnsetType | None,
        Meta(
            description="1 to 255 ASCII characters, or 80 of any script, without control or invisible characters and"
            ' `" * / : < > ? \\ |`, and not beginning with `.` or `-`. It gets the extension of the'
            " content's format. Null: the name made from the prompt.",
            examples=["lighthouse.png"],
        ),
    ] = UNSET

    def to_changes(self) -> ImageChanges:
        """Return the domain's changes."""
        tags = [] if self.tags is None else self.tags
        return ImageChanges(tags=tags, visibility=self.visibility, filename=self.filename)


class TagImagesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags to add to and to remove from images; no tag may be in both lists."""

    guids: Guids
    add: Annotated[
        list[TagText],
        Meta(description="Tags that all of the images are to have: at most 32.", examples=[["final"]]),
    ] = []
    remove: Annotated[
        list[TagText],
        Meta(description="Tags that none of the images is to have: at most 32.", examples=[["draft"]]),
    ] = []


class SetVisibilityBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images to publish or hide."""

    guids: Guids
    visibility: Annotated[
        Visibility, Meta(description="`private`: only their author may read the images; `public`: anyone may.")
    ]


class DownloadImagesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images to download."""

    guids: Annotated[
        list[UUID],
        Meta(
            description="Your images, and public ones: 1 to 1,000 guids, no duplicates.",
            examples=[["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"]],
        ),
    ]


class DeleteImagesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images to delete for good."""

    guids: Guids


class GenerationProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no picture."""

    type: Annotated[
        str, Meta(description="The kind of problem.", examples=["urn:pixyproxy:problem:generation-timed-out"])
    ]
    title: Annotated[
        str, Meta(description="The kind of problem, for people.", examples=["The generation took too long"])
    ]
    status: Annotated[
        int, Meta(description="The HTTP status of the request that failed.", ge=400, le=599, examples=[504])
    ]
    detail: Annotated[str, Meta(description="What went wrong this time.", examples=["OpenAI did not answer in time."])]
    retryable: Annotated[bool, Meta(description="Whether the same prompt may succeed another time.", examples=[True])]
    maybe_billed: Annotated[bool, Meta(description="False only if the attempt surely cost nothing.", examples=[True])]
    field: Annotated[str | None, Meta(description="The field of the request to blame, if there is one.")]

    @classmethod
    def from_error(cls, error: GenerationError) -> Self:
        """Return the problem of a failed generation."""
        problem_type = problem_type_of(type(error))
        return cls(
            type=problem_type.type,
            title=problem_type.title,
            status=problem_type.status,
            detail=error.detail,
            retryable=error.is_retryable,
            maybe_billed=error.maybe_billed,
            field=error.field,
        )


class ImageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The details of an image that anyone may read who may see it; those of its content as soon as it exists."""

    guid: Annotated[UUID, Meta(description="The public id.", examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"])]
    filename: Annotated[
        str,
        Meta(
            description="Made from the prompt in ASCII and unique, unless its author has changed it.",
            examples=["a-lighthouse-at-dusk-0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e.png"],
        ),
    ]
    status: Annotated[
        ImageStatus,
        Meta(
            description="`pending`: nothing is bought yet; `generating`; `ready`: there is a picture; `failed`: there"
            " will be none; `unknown`: it may have been drawn and billed, and becomes `ready` if it turns up. Only the"
            " author sees images that are not ready."
        ),
    ]
    prompt: Annotated[str, Meta(description="What to draw.", examples=["A lighthouse at dusk, in watercolour"])]
    tags: Annotated[Sequence[str], Meta(description="In the order given.", examples=[["lighthouse", "draft"]])]
    author: Annotated[
        str | None, Meta(description="The user who requested it; null without a login.", examples=["ann"])
    ]
    visibility: Annotated[Visibility, Meta(description="Who may read it.")]
    created_at: Annotated[
        datetime, Meta(description="When it was requested, in UTC.", examples=["2026-11-21T10:00:00.123456Z"])
    ]
    updated_at: Annotated[
        datetime, Meta(description="When the record last changed, in UTC.", examples=["2026-11-21T10:00:21.654321Z"])
    ]
    media_type: Annotated[MediaType | None, Meta(description="The content's media type, read from its bytes.")]
    byte_size: Annotated[int | None, Meta(description="The content's size in bytes.", examples=[1_482_033])]
    sha256: Annotated[
        str | None,
        Meta(description="The content's SHA-256 in hexadecimal.", examples=["9f86d081884c7d659a2feaa0c55ad015" * 2]),
    ]
    width: Annotated[
        int | None,
        Meta(description="In pixels, of the picture as it is shown, turned by its EXIF data.", examples=[1024]),
    ]
    height: Annotated[
        int | None,
        Meta(description="In pixels, of the picture as it is shown, turned by its EXIF data.", examples=[1024]),
    ]
    model: Annotated[str, Meta(description="The model that draws it.", examples=["gpt-image-2"])]
    size: Annotated[
        str | None, Meta(description="The size that was asked for; null if none was.", examples=["1536x1024"])
    ]
    quality: Annotated[
        str | None, Meta(description="The quality that was asked for; null if none was.", examples=["high"])
    ]
    background: Annotated[
        str | None, Meta(description="The background that was asked for; null if none was.", examples=["transparent"])
    ]
    output_format: Annotated[
        str | None, Meta(description="The format that was asked for; null if none was.", examples=["webp"])
    ]
    batch: Annotated[
        UUID | None,
        Meta(
            description="Ties together the images of one request; null if the request was for one.",
            examples=["7d0e1c52-9a34-4a55-8a0f-2f1f6f0d5b11"],
        ),
    ]
    problem: Annotated[
        GenerationProblem | None, Meta(description="Why there is no picture, if the image failed or is unknown.")
    ]

    @classmethod
    def from_image(cls, image: Image) -> Self:
        """Return the details of an image in any state."""
        return cls._of(image)

    @classmethod
    def _of(cls, image: Image, **others: Any) -> Self:
        content, error, request = image.content, image.generation_error, image.request
        return cls(
            guid=image.guid,
            filename=image.filename,
            status=image.status,
            prompt=image.prompt,
            tags=image.tags,
            author=image.author,
            visibility=image.visibility,
            created_at=image.created_at,
            updated_at=image.updated_at,
            media_type=content.media_type if content else None,
            byte_size=content.byte_size if content else None,
            sha256=content.sha256 if content else None,
            width=content.width if content else None,
            height=content.height if content else None,
            model=image.model,
            size=request.size,
            quality=request.quality,
            background=request.background,
            output_format=request.output_format,
            batch=image.batch.guid if image.batch else None,
            problem=GenerationProblem.from_error(error) if error else None,
            **others,
        )


class ReferenceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that goes into the generation: an image by its `guid`, or an upload by its name, type and size."""

    guid: Annotated[
        UUID | None,
        Meta(
            description="Which image, even if it is gone; null for an upload.",
            examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"],
        ),
    ] = None
    filename: Annotated[str | None, Meta(description="The name of the upload.", examples=["harbour.png"])] = None
    media_type: Annotated[MediaType | None, Meta(description="The upload's media type, read from its bytes.")] = None
    byte_size: Annotated[int | None, Meta(description="The upload's size in bytes.", examples=[1_482_033])] = None

    @classmethod
    def from_reference(cls, reference: Reference) -> Self:
        """Return the details of a reference or mask."""
        if reference.upload is None:
            return cls(guid=reference.guid)
        content = reference.upload.content
        return cls(filename=reference.upload.filename, media_type=content.media_type, byte_size=content.byte_size)


class ResultDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator says about the picture, by its own names; null where it says nothing."""

    model: Annotated[str | None, Meta(description="The model that answered.", examples=["gpt-image-2-2026-04-21"])]
    size: Annotated[str | None, Meta(description="The size.", examples=["1536x1024"])]
    quality: Annotated[str | None, Meta(description="The quality.", examples=["high"])]
    background: Annotated[str | None, Meta(description="The background.", examples=["opaque"])]
    output_format: Annotated[str | None, Meta(description="The format.", examples=["png"])]
    revised_prompt: Annotated[
        str | None, Meta(description="What was drawn in place of the prompt.", examples=["A tall lighthouse at dusk"])
    ]
    usage: Annotated[
        Mapping[str, Any] | None, Meta(description="What it cost, in tokens.", examples=[{"total_tokens": 281}])
    ]
    request_id: Annotated[str | None, Meta(description="The generator's name for the attempt.", examples=["req_4f1"])]

    @classmethod
    def from_image(cls, image: Image) -> Self | None:
        """Return what came back for an image, None if nothing did."""
        if image.result is None and image.usage is None and image.generator_request_id is None:
            return None
        told = msgspec.structs.asdict(image.result or GenerationResult())
        return cls(**told, usage=_encodable(image.usage), request_id=image.generator_request_id)


def _encodable(usage: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the usage, or None for one with lone surrogates, which earlier releases kept."""
    try:
        msgspec.json.encode(usage)
    except UnicodeEncodeError:
        return None
    return usage


class SenderDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What the request said about who asks; null where it said nothing."""

    client: Annotated[str | None, Meta(description="The program.", examples=["OpenAI/Python 3.57.0"])]
    key: Annotated[str | None, Meta(description="The name of the API key.", examples=["chat"])]
    user: Annotated[str | None, Meta(description="The program's `user`.", examples=["ann@example.org"])]
    safety_identifier: Annotated[
        str | None, Meta(description="The program's `safety_identifier` of its user.", examples=["a5c3f1"])
    ]
    request_id: Annotated[str | None, Meta(description="The program's `X-Client-Request-Id`.", examples=["7f2c"])]
    model: Annotated[
        str | None, Meta(description="The id that was asked for, if it stands for `model`.", examples=["dall-e-3"])
    ]


class PrivateImageDetail(ImageDetail, frozen=True, kw_only=True):
    """All details of an image, for its author."""

    request: Annotated[RequestOptions, Meta(description="The options as they were asked for.")]
    references: Annotated[Sequence[ReferenceDetail], Meta(description="The pictures it is drawn from, in order.")]
    mask: Annotated[
        ReferenceDetail | None, Meta(description="The picture that marks what of the first reference may change.")
    ]
    result: Annotated[ResultDetail | None, Meta(description="What came back, if anything did.")]
    sender: Annotated[
        SenderDetail | None,
        Meta(description="Who asked for it, as an OpenAI-compatible client told; `q` finds it in lists of one's own."),
    ]

    @classmethod
    def from_image(cls, image: Image) -> Self:
        """Return all details of an image in any state."""
        mask = image.request.mask
        return cls._of(
            image,
            request=RequestOptions.of(image.request),
            references=[ReferenceDetail.from_reference(reference) for reference in image.request.references],
            mask=ReferenceDetail.from_reference(mask) if mask else None,
            result=ResultDetail.from_image(image),
            sender=SenderDetail(**msgspec.structs.asdict(image.sender)) if image.sender else None,
        )


def detail_of(image: Image, scope: ImageScope) -> ImageDetail:
    """Return the details of an image as the routes of `scope` show them.

    They depend on the record and the scope alone, not on the principal: their entity tag stands for them.
    """
    detail = PrivateImageDetail if scope is ImageScope.OWN else ImageDetail
    return detail.from_image(image)


class PartialDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event about a partial image."""

    guid: UUID
    position: int
    url: str


class EventName(StrEnum):
    """The states of an image, and what happens between them."""

    PENDING = ImageStatus.PENDING
    GENERATING = ImageStatus.GENERATING
    PARTIAL = "partial"
    READY = ImageStatus.READY
    FAILED = ImageStatus.FAILED
    UNKNOWN = ImageStatus.UNKNOWN


class ImageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the stream of an image, or of all images of one's own."""

    event: Annotated[EventName, Meta(description="The state that the image is in by now; `partial`: a partial image.")]
    data: Annotated[
        str,
        Meta(
            description="The image's details in JSON, as its route without `/events` shows them. For a partial: the"
            " `guid` of the image, its `position`, from 0, and the `url` of its bytes, a path on this host until the"
            " image is final."
        ),
    ]


class BulkProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why an image of a bulk request was left alone."""

    type: Annotated[str, Meta(description="The kind of problem.", examples=["urn:pixyproxy:problem:record-not-found"])]
    title: Annotated[str, Meta(description="The kind of problem, for people.", examples=["There is no such record"])]
    status: Annotated[
        int, Meta(description="The HTTP status that the image alone would have had.", ge=400, le=599, examples=[404])
    ]
    detail: Annotated[str, Meta(description="What is wrong this time.", examples=["There is no such image."])]

    @classmethod
    def from_error(cls, error: PixyProxyException) -> Self:
        """Return the problem of one image."""
        problem_type = problem_type_of(type(error))
        return cls(type=problem_type.type, title=problem_type.title, status=problem_type.status, detail=error.detail)


class BulkItem(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one image of a bulk request."""

    guid: Annotated[UUID, Meta(description="Which image.", examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"])]
    status: Annotated[
        int, Meta(description="200: changed; 204: deleted; else that of the problem.", ge=200, le=599, examples=[200])
    ]
    image: Annotated[PrivateImageDetail | None, Meta(description="The image as it is now, unless it is deleted.")]
    problem: Annotated[BulkProblem | None, Meta(description="Why nothing was done.")]

    @classmethod
    def from_result(cls, result: BulkResult) -> Self:
        """Return the result for one image."""
        problem = BulkProblem.from_error(result.error) if result.error else None
        image = PrivateImageDetail.from_image(result.image) if result.image else None
        status = problem.status if problem else 200 if image else 204
        return cls(guid=result.guid, status=status, image=image, problem=problem)


class TagDetail(msgspec.Struct, frozen=True):
    """A tag, and its number of images."""

    tag: Annotated[str, Meta(description="The tag.", examples=["lighthouse"])]
    images: Annotated[int, Meta(description="How many of the images that the list is about have it.", examples=[12])]
