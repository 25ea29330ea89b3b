"""Creations as `multipart/form-data` (RFC 7578): the fields of the JSON body as text, and pictures as files."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from pixyproxy.application import AdmitUploads, StoreUpload, SweepUploads
from pixyproxy.domain.errors import BadRequestError, DataValidationError, PixyProxyException
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT, Reference, Upload
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.json_request import MAX_BODY_SIZE, StrictJSONRequest, decode_json

FORM_MEDIA_TYPE: Final = "multipart/form-data"
PARTS_MAX_COUNT: Final = 128

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
_FILES: Final = "reference"
_MASK: Final = "mask"
_LISTS: Final = frozenset({"references", "tags"})
_NUMBERS: Final = frozenset({"output_compression", "partial_images", "n"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_TEXT_TYPES: Final = frozenset({None, "text/plain", "application/json"})
_UNENCODED: Final = frozenset({"7bit", "8bit", "binary"})
_CHARSETS: Final = frozenset({None, "utf-8", "utf8", "us-ascii", "ascii"})
_NAME_SHOWN: Final = 100
# What surrounds the content of each part.
_OVERHEAD: Final = 16 << 10

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

        Checks login, admission and space before it reads the body. Raises `BadRequestError` for a malformed form,
        `HTTPException` for one that is too large or takes too long, and the errors of the use cases.
        """
        await self.admit_uploads(request.user)
        form = _Form(self.store_upload, FormUploads.of(request.scope))
        max_size = (REFERENCES_MAX_COUNT + 1) * self.store_upload.max_size + MAX_BODY_SIZE + PARTS_MAX_COUNT * _OVERHEAD
        try:
            async with asyncio.timeout(self.seconds):
                return await form.read(_events(request, max_size))
        except TimeoutError:
            raise HTTPException(
                status_code=HTTPStatus.REQUEST_TIMEOUT, detail=f"The body took longer than {self.seconds:g} seconds."
            ) from None

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


# The head of a part, a piece of its content, and None at its end.
_Event: TypeAlias = MultipartSegment | bytes | None


async def _events(request: APIRequest, max_size: int) -> AsyncIterator[_Event]:
    """Yield the parts of a form; raise `BadRequestError` for a malformed one, and `HTTPException` for a large one."""
    parser = PushMultipartParser(_boundary(request), max_segment_count=PARTS_MAX_COUNT)
    part = 0
    async for chunk in _chunks(request, max_size):
        try:
            for event in parser.parse(chunk):
                part += isinstance(event, MultipartSegment)
                yield event
        except ParserLimitReached as exc:
            if part == PARTS_MAX_COUNT:
                raise _too_large(f"The form has more than {PARTS_MAX_COUNT} parts.") from exc
            raise _too_large(f"Part {part + 1} of the form is too large: {_reason(exc)}.") from exc
        except MultipartError as exc:
            raise BadRequestError(f"The form is malformed after part {part}: {_reason(exc)}.") from exc
    try:
        parser.close()
    except MultipartError as exc:
        if not part:
            raise BadRequestError("The form breaks off before the first part, or has another boundary.") from exc
        raise BadRequestError(f"The form breaks off after the beginning of part {part}.") from exc


def _reason(error: MultipartError) -> str:
    if isinstance(error.__context__, UnicodeDecodeError):
        return "its head must be text in UTF-8"
    return str(error.args[0])


def _boundary(request: APIRequest) -> str:
    header = (header_of(request.scope, b"content-type") or b"").decode("latin-1")
    boundary = parse_options_header(header)[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequestError("The Content-Type multipart/form-data must have a boundary of 1 to 200 characters.")
    return str(boundary)


async def _chunks(request: APIRequest, max_size: int) -> AsyncIterator[bytes]:
    length = header_of(request.scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > max_size:
        raise _too_large(f"The body is larger than {max_size:,} bytes.")
    byte_size = 0
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("The client left before the body was whole.")
        chunk = message.get("body", b"")
        byte_size += len(chunk)
        if byte_size > max_size:
            raise _too_large(f"The body is larger than {max_size:,} bytes.")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


def _too_large(detail: str) -> HTTPException:
    return HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail=detail)


@dataclass(slots=True)
class _Form:
    """One form on its way in."""

    store_upload: StoreUpload
    uploads: FormUploads
    values: dict[str, Any] = field(default_factory=dict)
    text_size: int = 0

    async def read(self, events: AsyncIterator[Any]) -> Mapping[str, Any]:
        part = 0
        async for head in events:
            part += 1
            name = _name_of(head, part)
            if head.filename is None:
                self._add(name, await self._text(name, head, events))
            else:
                await self._store(name, head.filename, _content(events))
        return self.values

    async def _store(self, name: str, filename: str, content: AsyncIterator[bytes]) -> None:
        if name not in {_FILES, _MASK}:
            raise DataValidationError(name, "must be text, not a file")
        first = await anext(content, None)
        if first is None and not filename:
            # Browsers send this for a file that was not chosen.
            return
        if name == _MASK:
            self._ensure_new(_MASK)
            self.uploads.mask = await self.store_upload(_joined(first, content), filename=filename, field=_MASK)
            return
        position = self._next_position()
        self.uploads.references[position] = await self.store_upload(
            _joined(first, content), filename=filename, field=f"references[{position}]"
        )

    async def _text(self, name: str, head: MultipartSegment, events: AsyncIterator[_Event]) -> str:
        if name == _FILES:
            raise DataValidationError(name, "must be a file with a `filename`; `references` takes guids")
        if head.content_type not in _TEXT_TYPES or (head.charset or "utf-8").lower() not in _CHARSETS:
            raise DataValidationError(name, "must be text in UTF-8")
        pieces: list[bytes] = []
        async for piece in _content(events):
            self.text_size += len(piece)
            if self.text_size > MAX_BODY_SIZE:
                raise _too_large(f"The texts of the form, up to {name}, are larger than {MAX_BODY_SIZE:,} bytes.")
            pieces.append(piece)
        try:
            return b"".join(pieces).decode()
        except UnicodeDecodeError:
            raise DataValidationError(name, "must be text in UTF-8") from None

    def _add(self, name: str, text: str) -> None:
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


def _name_of(head: MultipartSegment, part: int) -> str:
    """Return the name of a part, without the brackets that some clients add to names of lists."""
    if not head.name:
        raise BadRequestError(f"Part {part} of the form has no name.")
    name: str = head.name.removesuffix("[]")
    name = name if name in {_FILES, *_LISTS} else str(head.name)
    encoding = head.header("Content-Transfer-Encoding")
    if encoding is not None and encoding.lower() not in _UNENCODED:
        raise DataValidationError(name[:_NAME_SHOWN], "must have no Content-Transfer-Encoding")
    return name[:_NAME_SHOWN]


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS and _NUMBER.fullmatch(text):
        return int(text)
    if name != "extra":
        return text
    try:
        return decode_json(text.encode())
    except DataValidationError:
        raise
    except BadRequestError as exc:
        raise DataValidationError(name, f"must be JSON: {exc.detail}") from None


async def _content(events: AsyncIterator[_Event]) -> AsyncIterator[bytes]:
    """Yield the bytes of the part whose head was read last."""
    while isinstance(event := await anext(events), bytes):
        yield event


async def _joined(first: bytes | None, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first is not None:
        yield first
    async for piece in rest:
        yield piece
