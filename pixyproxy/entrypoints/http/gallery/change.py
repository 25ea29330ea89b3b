"""Changing, deleting and sharing an image by forms, without JavaScript."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.datastructures import FormMultiDict
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from pixyproxy.application import ChangeImage, DeleteImage
from pixyproxy.domain.errors import (
    BadRequestError,
    DataValidationError,
    OperationNotAllowedError,
    PixyProxyException,
    PreconditionFailedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.ports.bundles import ImagePorts
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access_to
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.content.signed_links import SignedLinkMaker
from pixyproxy.entrypoints.http.content.variants import ORIGINAL
from pixyproxy.entrypoints.http.gallery.look import ImageViews
from pixyproxy.entrypoints.http.gallery.queries import parse_gallery_query
from pixyproxy.entrypoints.http.gallery.views import Editable
from pixyproxy.entrypoints.http.middleware.path_prefix import public_address
from pixyproxy.entrypoints.http.parameters import Guid
from pixyproxy.entrypoints.http.paths import GALLERY_PATH
from pixyproxy.entrypoints.http.problems.handler import problem_response
from pixyproxy.entrypoints.settings import Settings

_LIFETIMES: Final = {"3600": 3_600, "86400": 86_400, "604800": 604_800}


class TypedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed into the form of an image that was `seen` in one state.

    `filename` is None for an image without a file.
    """

    seen: Editable
    tags: Sequence[str]
    visibility: str
    filename: str | None

    @classmethod
    def parse(cls, form: FormMultiDict) -> Self:
        """Read the form; raise `BadRequestError` for one that the page can't have sent."""
        texts = {name: form.getall(name, []) for name in ("seen", "visibility", "filename", "tag")}
        if not all(isinstance(text, str) for values in texts.values() for text in values):
            raise BadRequestError("The form must have no files.")
        try:
            seen = msgspec.json.decode(_last(texts["seen"]) or "", type=Editable)
        except msgspec.MsgspecError:
            raise BadRequestError("The form must tell what of the image was seen.") from None
        return cls(
            seen=seen,
            tags=list(dict.fromkeys(tag.strip() for tag in texts["tag"] if tag.strip())),
            visibility=_last(texts["visibility"]) or seen.visibility,
            filename=_last(texts["filename"]),
        )

    def to_changes(self) -> ImageChanges:
        """Return what differs from what was seen; an empty file name is the automatic one."""
        try:
            visibility = Visibility(self.visibility)
        except ValueError:
            raise DataValidationError("visibility", "must be public or private") from None
        changes = ImageChanges()
        if self.tags != self.seen.tags:
            changes = msgspec.structs.replace(changes, tags=self.tags)
        if visibility != self.seen.visibility:
            changes = msgspec.structs.replace(changes, visibility=visibility)
        if self.filename not in {None, self.seen.filename}:
            changes = msgspec.structs.replace(changes, filename=(self.filename or "").strip() or None)
        return changes

    def merged_with(self, image: Image) -> Self:
        """Return the same changes to what is there now."""
        seen, now = self.seen, Editable.of(image)
        kept = [tag for tag in now.tags if tag not in seen.tags or tag in self.tags]
        added = [tag for tag in self.tags if tag not in seen.tags and tag not in kept]
        return msgspec.structs.replace(
            self,
            seen=now,
            tags=kept + added,
            visibility=now.visibility if self.visibility == seen.visibility else self.visibility,
            filename=now.filename if self.filename == seen.filename else self.filename,
        )


def _last(texts: Sequence[str]) -> str | None:
    return texts[-1] if texts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForms:
    """Does what the forms of an image's page send."""

    views: ImageViews
    images: ImagePorts
    change_image: ChangeImage
    delete_image: DeleteImage
    signed_links: SignedLinkMaker
    settings: Settings

    async def change(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Change the image; if that fails, or others have changed it, show it again with what was typed."""
        await self._ensure_login(request, guid)
        typed = TypedChange.parse(await request.form())
        try:
            await self.change_image(guid, request.user, typed.to_changes(), versions=[typed.seen.version])
        except PreconditionFailedError as exc:
            merged = typed.merged_with(await self.images.get(guid))
            if merged.to_changes() != ImageChanges():
                return await self._again(request, guid, exc, typed=merged, own=typed)
        except (RecordNotFoundError, OperationNotAllowedError):
            raise
        except PixyProxyException as exc:
            return await self._again(request, guid, exc, typed=typed)
        return Redirect(_image_path(request, guid), status_code=303)

    async def _again(self, request: APIRequest, guid: UUID, exc: Exception, **context: Any) -> Response[Any]:
        answer = problem_response(request, exc)
        headers = {"Cache-Control": "no-store", **answer.headers}
        return await self.views.image(
            request, guid, status=answer.content.status, headers=headers, refusal=answer.content, **context
        )

    async def confirm(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Ask whether to delete the image."""
        _ensure_user(request)
        image = await self.views.find(request, guid)
        image.ensure_changeable_by(request.user)
        query = parse_gallery_query(request.query_params)
        shown = self.views.shown(request, image, query.query())
        return self.views.renderer.page(request, "delete.html", shown=shown)

    async def delete(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Delete the image and lead to the list; so does a second click on the button."""
        await self._ensure_login(request, guid)
        # An image that is not there is what the user wants.
        with suppress(RecordNotFoundError):
            await self.delete_image(guid, request.user)
        return Redirect(parse_gallery_query(request.query_params).path(), status_code=303)

    async def share(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Show the image with a link that opens it without a login."""
        await self._ensure_login(request, guid)
        form = await request.form()
        lifetime = _LIFETIMES.get(str(form.get("lifetime")))
        if lifetime is None:
            raise DataValidationError("lifetime", f"must be one of {', '.join(_LIFETIMES)}")
        address = public_address(request, self.settings.public_address)
        link = await self.signed_links.make(guid, request.user, ORIGINAL, lifetime=lifetime, address=address)
        # The link is a credential.
        return await self.views.image(request, guid, headers={"Cache-Control": "no-store"}, link=link)

    async def _ensure_login(self, request: APIRequest, guid: UUID) -> None:
        _ensure_user(request)
        await log_administrator_access_to(request.scope, self.images, [guid])


def _ensure_user(request: APIRequest) -> None:
    if request.user.is_anonymous:
        raise UnauthorizedError("Changing an image needs a login.")


def _image_path(request: APIRequest, guid: UUID) -> str:
    query = parse_gallery_query(request.query_params).query()
    return f"{GALLERY_PATH}/image/{guid}{query and f'?{query}'}"


def change_routes(views: ImageViews, container: Container, settings: Settings) -> Sequence[HTTPRouteHandler]:
    """Return the routes of the forms that change, delete and share an image."""
    forms = ImageForms(
        views=views,
        images=container.images(),
        change_image=container.change_image(),
        delete_image=container.delete_image(),
        signed_links=SignedLinkMaker.of(container),
        settings=settings,
    )

    @post("/image/{guid:str}")
    async def change_shown_image(guid: Guid, request: APIRequest) -> Response[Any]:
        """Change the tags, the visibility and the file name of an image."""
        return await forms.change(request, guid)

    @get("/image/{guid:str}/delete")
    async def confirm_deletion(guid: Guid, request: APIRequest) -> Response[Any]:
        """Ask whether to delete an image."""
        return await forms.confirm(request, guid)

    @post("/image/{guid:str}/delete")
    async def delete_shown_image(guid: Guid, request: APIRequest) -> Response[Any]:
        """Delete an image."""
        return await forms.delete(request, guid)

    @get("/image/{guid:str}/share")
    async def leave_sharing(guid: Guid, request: APIRequest) -> Response[Any]:
        """Lead to the image: browsers open this after a login, or again from their address bar."""
        return Redirect(_image_path(request, guid), status_code=303)

    @post("/image/{guid:str}/share")
    async def share_image(guid: Guid, request: APIRequest) -> Response[Any]:
        """Make a link to an image."""
        return await forms.share(request, guid)

    return [change_shown_image, confirm_deletion, delete_shown_image, leave_sharing, share_image]
