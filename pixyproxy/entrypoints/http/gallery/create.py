"""Creating images: the form, and trying again what has failed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from pixyproxy.application import CreateBatch, CreateImage, ListModels
from pixyproxy.domain.errors import GenerationError, PixyProxyException, RecordNotFoundError, UnauthorizedError
from pixyproxy.domain.generation_request import PROMPT_MAX_LENGTH
from pixyproxy.domain.idempotency import parse_idempotency_key
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import GuidSource
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.form_parts import FormParts, form_max_size
from pixyproxy.entrypoints.http.gallery.accept import is_for_program
from pixyproxy.entrypoints.http.gallery.drafts import Choices, Draft, guids_in
from pixyproxy.entrypoints.http.gallery.look import ImageViews
from pixyproxy.entrypoints.http.images.forms import CreationForm, Forms, FormUploads, releasing_uploads
from pixyproxy.entrypoints.http.images.schemas import CreatePrivateBatch
from pixyproxy.entrypoints.http.json_request import converted_to
from pixyproxy.entrypoints.http.parameters import Guid
from pixyproxy.entrypoints.http.paths import GALLERY_PATH, PRIVATE_PATH
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL, problem_response

_OWN_LIST: Final = f"{GALLERY_PATH}?scope=mine"
_SHOW_OPTIONS: Final = "show_options"


class ShownReference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference in the form: an image by its `guid`, or an upload of an earlier image, which `content_url` has."""

    name: str
    content_url: str
    preview_url: str
    guid: str = ""
    mask_url: str = ""


@dataclass(slots=True)
class TypedForm:
    """A form that was sent: all that was typed into it, also when its files can't be used."""

    creation: CreationForm
    pairs: list[tuple[str, str]] = field(default_factory=list)
    refusal: PixyProxyException | None = None
    is_begun: bool = False

    async def read(self, parts: FormParts) -> None:
        """Take all parts; raise the first error of a file after the texts."""
        self.is_begun = True
        async for part in parts:
            if part.filename is None:
                await self._read_text(parts, part)
            elif self.refusal is None:
                try:
                    await self.creation.store(part)
                except PixyProxyException as exc:
                    self.refusal = exc
        if self.refusal is not None:
            raise self.refusal

    async def read_texts(self, parts: FormParts) -> None:
        """Take the texts only, of a form that is refused."""
        self.is_begun = True
        async for part in parts:
            if part.filename is None:
                await self._read_text(parts, part)

    async def _read_text(self, parts: FormParts, part: Any) -> None:
        text = await parts.text(part, part.name)
        self.pairs.append((part.name, text))
        if part.name == "references" and self.refusal is None:
            # The places of uploads come after them.
            self.creation.values.setdefault("references", []).append(text)

    @property
    def draft(self) -> Draft:
        """What was typed."""
        return Draft.of(self.pairs)

    @property
    def wants_options(self) -> bool:
        """Whether it was sent only to see the options of another model."""
        return any(name == _SHOW_OPTIONS for name, _ in self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creations:
    """Shows the form for new images, and creates them."""

    views: ImageViews
    forms: Forms
    list_models: ListModels
    create_image: CreateImage
    create_batch: CreateBatch
    guids: GuidSource

    @classmethod
    def of(cls, container: Container, views: ImageViews) -> Self:
        """Return the one of the container."""
        return cls(
            views=views,
            forms=Forms.of(container),
            list_models=container.list_models(),
            create_image=container.create_image(),
            create_batch=container.create_batch(),
            guids=container.guids(),
        )

    async def form(self, request: APIRequest) -> Response[Any]:
        """Answer with the form; raise `UnauthorizedError` without a login, and `RecordNotFoundError`."""
        _ensure_login(request)
        query = request.query_params
        draft, earlier = Draft.of(query.multi_items()), query.get("from")
        references: list[ShownReference] = []
        if earlier is not None:
            image = await self._image(request, earlier)
            is_own = request.user.may_manage(image.author)
            again = Draft.of_image(image, is_own=is_own)
            draft = msgspec.structs.replace(draft, texts={**again.texts, **draft.texts})
            references = await self._references_of(request, image) if is_own else []
        references += await self._references(request, [*draft.references, *query.getall("reference", [])])
        return await self._page(request, draft, references)

    async def options(self, request: APIRequest) -> Response[Any]:
        """Answer with the options of a model alone."""
        draft = Draft.of(request.query_params.multi_items())
        choices = Choices.of(await self.list_models(), draft)
        return self.views.renderer.page(request, "_options.html", draft=draft, choices=choices, errors={})

    async def create(self, request: APIRequest) -> Response[Any]:
        """Create what a form describes, and lead to it; a form that is refused is shown again."""
        typed = TypedForm(self.forms.begun(request))
        try:
            await self._read(typed, request)
            if typed.wants_options:
                references = await self._references(request, typed.draft.references)
                return await self._page(request, typed.draft, references)
            created = await self._create(typed, request)
        except (PixyProxyException, HTTPException) as exc:
            if isinstance(exc, GenerationError) and exc.guid is not None:
                return _see(f"{GALLERY_PATH}/image/{exc.guid}")
            return await self._refused(request, typed.draft, exc)
        return _see(f"{GALLERY_PATH}/image/{created[0].guid}" if len(created) == 1 else _OWN_LIST)

    async def again(self, request: APIRequest, guid: UUID) -> Response[Any]:
        """Create an image once more from the same request; however often it is sent, it buys one."""
        _ensure_login(request)
        image = await self.views.get_image(guid, request.user, ImageScope.OWN)
        log_administrator_access(request.scope, image.author, guid)
        try:
            await self.create_image(
                image.request,
                tags=image.tags,
                visibility=image.visibility,
                principal=request.user,
                idempotency_key=parse_idempotency_key(f"again-{guid}"),
                wait=0,
            )
        except GenerationError as exc:
            # It has failed again, which its own tile tells.
            if exc.guid is None:
                raise
        if is_for_program(request):
            return Response(None, status_code=204)
        return _see(_OWN_LIST)

    async def _read(self, typed: TypedForm, request: APIRequest) -> None:
        try:
            await self.forms.read_by(typed.read, request)
        except PixyProxyException:
            if not typed.is_begun:
                await typed.read_texts(FormParts(request=request, max_size=form_max_size(0, 0)))
            raise

    async def _create(self, typed: TypedForm, request: APIRequest) -> Sequence[Image]:
        draft, form, uploads = typed.draft, typed.creation, FormUploads.of(request.scope)
        form.values.clear()
        for name, text in draft.fields(Choices.of(await self.list_models(), draft).model):
            form.add(name, text)
        body: CreatePrivateBatch = converted_to(CreatePrivateBatch, {"prompt": "", **form.values})
        key = draft.request_key([upload.content.sha256 for upload in uploads.all])
        common: Any = {
            "tags": body.tags,
            "visibility": body.visibility,
            "principal": request.user,
            "idempotency_key": parse_idempotency_key(key),
            "wait": 0,
        }
        wanted = uploads.added_to(body.to_request())
        if body.n == 1:
            return [(await self.create_image(wanted, **common)).image]
        return (await self.create_batch(wanted, body.n, **common)).images

    async def _refused(self, request: APIRequest, draft: Draft, exc: Exception) -> Response[Any]:
        answer = problem_response(request, exc, has_key=True)
        references = await self._references(request, draft.references)
        return await self._page(
            request,
            draft,
            references,
            status=answer.content.status,
            headers={**answer.headers, "Cache-Control": "private, no-cache"},
            problem=answer.content,
            errors={error.field.partition("[")[0]: error.detail for error in answer.content.errors},
        )

    async def _page(
        self,
        request: APIRequest,
        draft: Draft,
        references: Sequence[ShownReference],
        *,
        status: int = HTTPStatus.OK,
        **context: Any,
    ) -> Response[Any]:
        return self.views.renderer.page(
            request,
            "new.html",
            status=status,
            **{
                "draft": draft,
                "key": draft.key or str(self.guids.new()),
                "choices": Choices.of(await self.list_models(), draft),
                "references": references,
                "prompt_max_length": PROMPT_MAX_LENGTH,
                "problem": None,
                "errors": {},
                **context,
            },
        )

    async def _image(self, request: APIRequest, text: str) -> Image:
        for guid in guids_in([text]):
            return await self.views.find(request, guid)
        raise RecordNotFoundError("There is no such image.")

    async def _references(self, request: APIRequest, texts: Sequence[str]) -> list[ShownReference]:
        """Return the images that can be read of those that are named."""
        found = []
        for guid in guids_in(texts)[:REFERENCES_MAX_COUNT]:
            try:
                image = await self.views.find(request, guid)
            except PixyProxyException:
                continue
            if image.content is not None:
                shown = self.views.shown(request, image)
                found.append(
                    ShownReference(
                        name=shown.alt,
                        content_url=shown.content_url,
                        preview_url=shown.thumbnail_url,
                        guid=shown.guid,
                    )
                )
        return found

    async def _references_of(self, request: APIRequest, image: Image) -> list[ShownReference]:
        """Return the references of one's own image, with the mask beside the first."""
        base = f"{self.views.shown(request, image).prefix}{PRIVATE_PATH}/{image.guid}/reference"
        found: list[ShownReference] = []
        for position, reference in enumerate(image.request.references):
            if reference.upload is None:
                found += await self._references(request, [str(reference.guid)])
            else:
                url = f"{base}/{position}/content"
                found.append(ShownReference(name=reference.upload.filename, content_url=url, preview_url=url))
        if found and image.request.mask is not None:
            found[0] = msgspec.structs.replace(found[0], mask_url=f"{base}/mask/content")
        return found


def _ensure_login(request: APIRequest) -> None:
    if request.user.is_anonymous:
        raise UnauthorizedError("Creating an image needs a login.")


def _see(path: str) -> Redirect:
    return Redirect(path, status_code=303)


def create_routes(creations: Creations) -> Sequence[HTTPRouteHandler]:
    """Return the routes of the form and of trying again."""

    @get("/new")
    async def show_form(request: APIRequest) -> Response[Any]:
        """Show the form for new images."""
        return await creations.form(request)

    @get("/new/options")
    async def show_options(request: APIRequest) -> Response[Any]:
        """Show the options of a model."""
        return await creations.options(request)

    @post("/new", status_code=303, opt=MAY_BILL, middleware=[releasing_uploads(creations.forms)])
    async def create(request: APIRequest) -> Response[Any]:
        """Create the images of a form."""
        return await creations.create(request)

    @get("/image/{guid:str}/again")
    async def leave_trying_again(guid: Guid) -> Response[Any]:
        """Lead to the image: browsers open this after a login."""
        return _see(f"{GALLERY_PATH}/image/{guid}")

    @post("/image/{guid:str}/again", status_code=303, opt=MAY_BILL)
    async def create_again(guid: Guid, request: APIRequest) -> Response[Any]:
        """Create an image once more."""
        return await creations.again(request, guid)

    return [show_form, show_options, create, leave_trying_again, create_again]
