"""Delivery of content over HTTP: conditional requests, ranges and variants."""

import base64
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol, Self
from uuid import UUID

import msgspec
from litestar.types import HTTPScope

from pixyproxy.application import GetImageContent, GetImageVariant, GetReference
from pixyproxy.domain.content import with_extension
from pixyproxy.domain.errors import DataValidationError, PreconditionFailedError
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ContentLinks, StoredContent
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import UPLOADS, Container
from pixyproxy.entrypoints.http.content.conditional import Validators, Verdict, conditions_of
from pixyproxy.entrypoints.http.content.content_disposition import content_disposition
from pixyproxy.entrypoints.http.content.content_response import ContentResponse
from pixyproxy.entrypoints.http.content.presigned import (
    PresignedDelivery,
    PresignedPicture,
    RedirectDelivery,
    Sign,
    XAccelDelivery,
)
from pixyproxy.entrypoints.http.content.ranges import ByteRange, parse_range
from pixyproxy.entrypoints.http.content.representations import LOGIN_HEADERS, REVALIDATED
from pixyproxy.entrypoints.http.content.variants import ORIGINAL, VariantQuery
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.middleware.head import is_head
from pixyproxy.entrypoints.http.parameters import query_parameter
from pixyproxy.entrypoints.http.query import QueryParameters
from pixyproxy.entrypoints.settings import DeliveryKind

# Pictures may not run, load or send anything; an SVG may have styles, and embedded bitmaps and fonts.
CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"
)

# nginx would evaluate these itself, before it knows the entity tag.
_JUDGED_BY_NGINX: Final = frozenset({"if-match", "if-unmodified-since"})

_DOWNLOADS: Final = ("", "true", "false")
DOWNLOAD_PARAMETER: Final = query_parameter(
    "download", "Whether a browser should save the picture instead of showing it.", enum=_DOWNLOADS
)


class _Open(Protocol):
    def __call__(self, *, start: int, end: int | None) -> Awaitable[StoredContent]: ...


class _Representation(msgspec.Struct, frozen=True):
    """An image's representation."""

    byte_size: int
    sha256: str
    media_type: str
    filename: str
    last_modified: datetime | None


class _Source(msgspec.Struct, frozen=True):
    """The bytes of a representation: what opens them, the folder of their file, and what signs a URL of them."""

    open: _Open
    folder: str = ""
    sign: Sign | None = None


class _Head(msgspec.Struct, frozen=True):
    """The headers of a representation: its validators, those of a 304, and those of an answer with bytes."""

    validators: Validators
    brief: Sequence[Header]
    whole: Sequence[Header]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDelivery:
    """Answers requests for the bytes of images, GET and HEAD, by RFC 9110.

    Caches may keep public pictures for `public_max_age` seconds. With `offload_path`, a web server in front gets the
    path of the file below it, and sends the bytes itself. With `links` and `presigned`, the store sends the bytes of
    images; those of references pass through the service.
    """

    get_image_content: GetImageContent
    get_image_variant: GetImageVariant
    get_reference: GetReference
    public_max_age: int
    offload_path: str | None
    send_timeout: float
    links: ContentLinks | None = None
    presigned: PresignedDelivery | None = None

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the delivery that the container's settings ask for."""
        settings = container.settings()
        presigned = _presigned(container)
        return cls(
            get_image_content=container.get_image_content(),
            get_image_variant=container.get_image_variant(),
            get_reference=container.get_reference(),
            public_max_age=settings.public_max_age,
            offload_path=settings.offload_path,
            send_timeout=settings.send_timeout,
            links=container.content_links() if presigned is not None else None,
            presigned=presigned,
        )

    async def answer(
        self,
        scope: HTTPScope,
        guid: UUID,
        principal: Principal,
        image_scope: ImageScope,
        variant: VariantQuery = ORIGINAL,
        *,
        is_download: bool = False,
    ) -> ContentResponse:
        """Return the answer to a request for an image in `image_scope`.

        Raises the errors of the use cases, `PreconditionFailedError`, and the `HTTPException` of a 416.
        """
        asked = conditions_of(scope)
        image = await self.get_image_content.find(guid, principal, image_scope)
        if variant.is_original:
            shown = _original(image)
            source = _Source(
                partial(self.get_image_content.open, image, principal, image_scope),
                sign=partial(self.links.content_link, image.content_key) if self.links else None,
            )
        else:
            shown, source = await self._variant(image, principal, image_scope, variant, asked.get("accept"))
        head = _head(
            shown,
            image_scope,
            self.public_max_age,
            follows_accept=variant.follows_accept,
            is_download=is_download,
            is_linked=principal.linked is not None,
        )
        return await self._answer(scope, shown, head, source, is_public=image_scope is ImageScope.PUBLIC)

    async def reference(
        self, scope: HTTPScope, guid: UUID, position: int | None, principal: Principal, *, is_download: bool = False
    ) -> ContentResponse:
        """Return the answer to a request for a reference, or for the mask, of an image of the principal's own."""
        found = await self.get_reference(guid, position, principal)
        content, filename = found.picture.content, found.picture.filename
        shown = _Representation(content.byte_size, content.sha256, content.media_type, filename, None)
        head = _head(
            shown, ImageScope.OWN, self.public_max_age, follows_accept=False, is_download=is_download, is_linked=False
        )
        folder = "" if found.reference.upload is None else f"{UPLOADS}/"
        return await self._answer(scope, shown, head, _Source(found.open, folder), is_public=False)

    async def _answer(
        self, scope: HTTPScope, shown: _Representation, head: _Head, source: _Source, *, is_public: bool
    ) -> ContentResponse:
        """Answer with a representation."""
        asked = conditions_of(scope)
        match head.validators.judge(asked):
            case Verdict.FAILED:
                raise PreconditionFailedError("The content is not the one that the request has named.")
            case Verdict.NOT_MODIFIED:
                return ContentResponse(status=HTTPStatus.NOT_MODIFIED, headers=head.brief)
        is_get = not is_head(scope)
        part = None
        if is_get and head.validators.allow_range(asked.get("if-range")):
            part = parse_range(asked.get("range"), shown.byte_size)
        if is_get:
            elsewhere = await self._elsewhere(asked, head, source, part, is_public=is_public)
            if elsewhere is not None:
                return elsewhere
        sent = part or ByteRange(0, shown.byte_size)
        # A HEAD asks whether there are bytes, and needs none of them.
        content = await source.open(start=sent.start, end=sent.end if is_get else sent.start)
        length = str(sent.byte_size).encode()
        headers = [*head.whole, (b"accept-ranges", b"bytes"), (b"content-length", length)]
        if part is not None:
            headers.append((b"content-range", f"bytes {part.start}-{part.end - 1}/{shown.byte_size}".encode()))
        return ContentResponse(
            status=HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT,
            headers=headers,
            content=content if is_get else None,
            start=sent.start,
            byte_size=sent.byte_size,
            send_timeout=self.send_timeout,
        )

    async def _elsewhere(
        self, asked: Mapping[str, str], head: _Head, source: _Source, part: ByteRange | None, *, is_public: bool
    ) -> ContentResponse | None:
        """Return the answer with which something else sends the bytes; None to send them."""
        if self.offload_path is not None and not _JUDGED_BY_NGINX & asked.keys():
            content = await source.open(start=0, end=None)
            if content.file is not None:
                place = f"{self.offload_path}{source.folder}{content.file.name}".encode()
                headers = [*head.whole, (b"x-accel-redirect", place), (b"content-length", b"0")]
                return ContentResponse(status=HTTPStatus.OK, headers=headers)
        if self.presigned is not None and source.sign is not None:
            picture = PresignedPicture(sign=source.sign, headers=head.whole, is_public=is_public, part=part)
            return await self.presigned.answer(asked, picture)
        return None

    async def _variant(
        self, image: Image, principal: Principal, scope: ImageScope, query: VariantQuery, accept: str | None
    ) -> tuple[_Representation, _Source]:
        variant = query.variant_for(image.ready_content.media_type, accept)
        digest = await self.get_image_variant(image, variant, principal, scope)
        shown = _Representation(
            byte_size=digest.byte_size,
            sha256=digest.sha256,
            media_type=variant.format.media_type,
            filename=with_extension(image.filename, variant.format.extension),
            # One URL may have several variants, and one may be drawn again with other bytes.
            last_modified=None,
        )
        opened = partial(self.get_image_variant.open, image, variant, digest, principal, scope)
        name = variant.name_for(image.ready_content.sha256)
        sign = partial(self.links.variant_link, image.content_key, name) if self.links else None
        return shown, _Source(opened, sign=sign)


def parse_download(parameters: QueryParameters) -> bool:
    """Return whether a query has `download`, other than `false`; raise `DataValidationError`."""
    *_, text = parameters.getall("download", ["false"])
    if text not in _DOWNLOADS:
        raise DataValidationError("download", "must be `true`, `false` or nothing")
    return text != "false"


def _presigned(container: Container) -> PresignedDelivery | None:
    settings, clock = container.settings(), container.clock()
    match settings.delivery_kind:
        case DeliveryKind.PROXY:
            return None
        case DeliveryKind.X_ACCEL:
            return XAccelDelivery(clock=clock, public_max_age=settings.public_max_age, path=settings.delivery_path)
        case DeliveryKind.REDIRECT:
            return RedirectDelivery(
                clock=clock, public_max_age=settings.public_max_age, redirects_private=settings.redirect_private
            )


def _original(image: Image) -> _Representation:
    content = image.ready_content
    # A record may have been written by hand, or by a version that did not mind the extension.
    filename = with_extension(image.filename, content.media_type.extension)
    return _Representation(content.byte_size, content.sha256, content.media_type, filename, image.created_at)


def _head(
    shown: _Representation,
    scope: ImageScope,
    public_max_age: int,
    *,
    follows_accept: bool,
    is_download: bool,
    is_linked: bool,
) -> _Head:
    validators = Validators(f'"{shown.sha256}"', shown.last_modified)
    brief = [
        (b"etag", validators.entity_tag.encode()),
        *_caching(scope, public_max_age, follows_accept=follows_accept),
        # A browser sends a login for any site that shows the picture; a link was handed out by the author.
        (
            b"cross-origin-resource-policy",
            b"cross-origin" if scope is ImageScope.PUBLIC or is_linked else b"same-origin",
        ),
    ]
    if validators.http_date is not None:
        brief.append((b"last-modified", validators.http_date.encode()))
    return _Head(validators, brief, [*brief, *_description(shown, is_download=is_download)])


def _caching(scope: ImageScope, public_max_age: int, *, follows_accept: bool) -> Sequence[Header]:
    """Return the caching headers.

    A public image can become private or be deleted at any time, so no cache may keep it for long.
    """
    if scope is not ImageScope.PUBLIC:
        policy, differing = f"private, {REVALIDATED}", [LOGIN_HEADERS]
    elif public_max_age:
        policy, differing = f"public, max-age={public_max_age}, must-revalidate", []
    else:
        policy, differing = f"public, {REVALIDATED}", []
    if follows_accept:
        differing.append("Accept")
    vary = [(b"vary", ", ".join(differing).encode())] if differing else []
    return [(b"cache-control", policy.encode()), *vary]


def _description(shown: _Representation, *, is_download: bool) -> Sequence[Header]:
    """Return the headers that describe the bytes, as a picture and nothing else."""
    digest = base64.b64encode(bytes.fromhex(shown.sha256)).decode()
    disposition = content_disposition(shown.filename, is_download=is_download)
    return [
        (b"content-type", shown.media_type.encode()),
        (b"content-disposition", disposition.encode()),
        (b"repr-digest", f"sha-256=:{digest}:".encode()),
        (b"content-security-policy", CONTENT_SECURITY_POLICY),
        (b"x-content-type-options", b"nosniff"),
    ]
