"""Creations as `multipart/form-data` (RFC 7578): the fields of the JSON body as text, and pictures as files."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application import AdmitUploads, StoreUpload, SweepUploads
from pixyproxy.domain.errors import DataValidationError, PixyProxyException
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT, Reference, Upload
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.body_chunks import too_slow
from pixyproxy.entrypoints.http.form_parts import FORM_MEDIA_TYPE, FormPart, FormParts, form_max_size, number_in
from pixyproxy.entrypoints.http.json_request import StrictJSONRequest, json_in

_FILES: Final = "reference"
_MASK: Final = "mask"
_LISTS: Final = frozenset({"references", "tags"})
_NUMBERS: Final = frozenset({"output_compression", "partial_images", "n"})
_NAME_SHOWN: Final = 100

_STATE: Final = "pixyproxy_uploads"


class FormUploads(msgspec.Struct):
    """The uploads of one request: references by their position among all of its references, and the mask."""

    references: dict[int, Upload] = msgspec.field(default_factory=dict)
    mask: Upload | None = None

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return those of a request, none at first."""
        state: dict[str, Any] = scope["state"]
        uploads: Self = state.setdefault(_STATE, cls())
        return uploads

    @property
    def all(self) -> Sequence[Upload]:
        """All of them."""
        return [*self.references.values(), *([self.mask] if self.mask else [])]

    def added_to(self, request: GenerationRequest) -> GenerationRequest:
        """Return the request with its uploads in their places."""
        references = list(request.references)
        for position, upload in sorted(self.references.items()):
            references.insert(position, Reference.to_upload(upload))
        mask = request.mask if self.mask is None else Reference.to_upload(self.mask)
        return msgspec.structs.replace(request, references=tuple(references), mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Reads creations from forms, a chunk at a time, and stores their files."""

    admit_uploads: AdmitUploads
    store_upload: StoreUpload
    sweep_uploads: SweepUploads
    seconds: float

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the one of the container."""
        return cls(
            admit_uploads=container.admit_uploads(),
            store_upload=container.store_upload(),
            sweep_uploads=container.sweep_uploads(),
            seconds=container.settings().upload_timeout,
        )

    async def read(self, request: APIRequest) -> Mapping[str, Any]:
        """Return the fields of a form as those of a JSON body, and store its files as the request's `FormUploads`.

        Raises what `read_by` raises, and the errors of `StoreUpload`.
        """
        form = self.begun(request)
        await self.read_by(form.read, request)
        return form.values

    def begun(self, request: APIRequest) -> "CreationForm":
        """Return the form of a request, of which nothing is read yet."""
        return CreationForm(self.store_upload, FormUploads.of(request.scope))

    async def read_by(self, take: Callable[[FormParts], Awaitable[None]], request: APIRequest) -> None:
        """Let `take` have the parts of a form.

        Checks login, room in the queue and space before it reads the body. Raises `BadRequestError` for a malformed
        form, `HTTPException` for one that is too large or takes too long, and the errors of `AdmitUploads`.
        """
        await self.admit_uploads(request.user)
        parts = FormParts(request=request, max_size=form_max_size(REFERENCES_MAX_COUNT + 1, self.store_upload.max_size))
        try:
            async with asyncio.timeout(self.seconds):
                await take(parts)
        except TimeoutError:
            raise too_slow(self.seconds) from None

    async def release(self, scope: Scope, *, was_refused: bool) -> None:
        """End the holds of a request's uploads; delete the unused ones if it was refused."""
        uploads = FormUploads.of(scope).all
        if not uploads:
            return
        scope["state"][_STATE] = FormUploads()
        await self.store_upload.release(uploads)
        if was_refused:
            # Otherwise housekeeping does it.
            with suppress(PixyProxyException):
                await self.sweep_uploads()


def releasing_uploads(forms: Forms) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that releases the uploads of each request before its response.

    A request may be refused after its body was read. It is a function for the reason that `authentication` is one.
    """

    def middleware(app: ASGIApp) -> ASGIApp:
        async def released(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_released(message: Any) -> None:
                if message["type"] == "http.response.start":
                    await forms.release(scope, was_refused=message["status"] >= HTTPStatus.BAD_REQUEST)
                await send(message)

            try:
                await app(scope, receive, send_released)
            except BaseException:
                await forms.release(scope, was_refused=True)
                raise

        return released

    return middleware


class CreationRequest(StrictJSONRequest):
    """A creation: a JSON body, or a form with the same fields and with files.

    A form on another site could make a logged-in browser send it without asking first; `ForeignRequests` refuses it.
    """

    media_types: ClassVar[Sequence[str]] = ["application/json", FORM_MEDIA_TYPE]
    forms: ClassVar[Forms]

    @classmethod
    def with_forms(cls, forms: Forms) -> type[Self]:
        """Return the class of requests whose forms are read by `forms`."""
        return type(cls.__name__, (cls,), {"forms": forms})

    @property
    def _is_form(self) -> bool:
        return self.content_type[0] == FORM_MEDIA_TYPE

    async def body(self) -> bytes:
        # Litestar asks for it to see whether there is one.
        return FORM_MEDIA_TYPE.encode() if self._is_form else await super().body()

    async def json(self) -> Any:
        return self.converted(await self.forms.read(self)) if self._is_form else await super().json()


@dataclass(slots=True)
class CreationForm:
    """One form on its way in; `values` are its fields as those of a JSON body."""

    store_upload: StoreUpload
    uploads: FormUploads
    values: dict[str, Any] = field(default_factory=dict)

    async def read(self, parts: FormParts) -> None:
        """Take all parts; raise what `store` and `add` raise."""
        async for part in parts:
            if part.filename is None:
                name = _name_of(part)
                if name == _FILES:
                    raise DataValidationError(name, "must be a file with a `filename`; `references` takes guids")
                self.add(name, await parts.text(part, name))
            else:
                await self.store(part)

    async def store(self, part: FormPart) -> None:
        """Store a file; raise `DataValidationError` and the errors of `StoreUpload`."""
        name = _name_of(part)
        if name not in {_FILES, _MASK}:
            raise DataValidationError(name, "must be text, not a file")
        content = await part.file()
        if content is None:
            return
        if name == _MASK:
            self._ensure_new(_MASK)
            self.uploads.mask = await self.store_upload(content, filename=part.filename, field=_MASK)
            return
        position = self._next_position()
        self.uploads.references[position] = await self.store_upload(
            content, filename=part.filename, field=f"references[{position}]"
        )

    def add(self, name: str, text: str) -> None:
        """Take the text of a field; raise `DataValidationError` for one that can't be read or is there twice."""
        if not text and name != "prompt":
            # Forms send this for a field that was left empty.
            return
        if name == "references":
            self._next_position()
        if name in _LISTS:
            self.values.setdefault(name, []).append(text)
            return
        self._ensure_new(name)
        self.values[name] = _value(name, text)

    def _ensure_new(self, name: str) -> None:
        if name in self.values or (name == _MASK and self.uploads.mask is not None):
            raise DataValidationError(name, "must not be there twice")

    def _next_position(self) -> int:
        position = len(self.uploads.references) + len(self.values.get("references", ()))
        if position >= REFERENCES_MAX_COUNT:
            raise DataValidationError("references", f"must be at most {REFERENCES_MAX_COUNT}")
        return position


def _name_of(part: FormPart) -> str:
    """Return the name of a part, without the brackets that some clients add to names of lists."""
    name = part.name.removesuffix("[]")
    shown = (name if name in {_FILES, *_LISTS} else part.name)[:_NAME_SHOWN]
    part.ensure_unencoded(shown)
    return shown


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return number_in(text)
    return json_in(name, text) if name == "extra" else text
