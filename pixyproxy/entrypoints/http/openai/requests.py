"""From the body of a creation below `/v1` to the request that is placed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qs

import msgspec

from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.batch import BATCH_MAX_SIZE
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH, GenerationRequest
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import TAGS_MAX_COUNT, parse_new_tags
from pixyproxy.domain.text import ensure_label
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.form_parts import FORM_MEDIA_TYPE
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.images.forms import Forms, FormUploads
from pixyproxy.entrypoints.http.json_request import ensure_media_type
from pixyproxy.entrypoints.http.openai.edit_forms import IMAGE, MASK, METADATA, EditForm
from pixyproxy.entrypoints.http.openai.edit_pictures import EditPictures
from pixyproxy.entrypoints.http.openai.extra import kept_extra
from pixyproxy.entrypoints.http.openai.json_bodies import JSON_MEDIA_TYPE, JSONBodies
from pixyproxy.entrypoints.http.openai.legacy import adapted
from pixyproxy.entrypoints.http.openai.model_ids import ModelIds
from pixyproxy.entrypoints.http.openai.schemas import ImageFields, openai_names
from pixyproxy.entrypoints.settings import GeneratorKind, Settings

_OPTIONS: Final = (
    "size",
    "quality",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "input_fidelity",
)
_PICTURES: Final = (IMAGE, "images", MASK)
_AUTO: Final = "auto"
_RESPONSE_FORMAT: Final = "response_format"
_B64_JSON: Final = "b64_json"
_URL: Final = "url"
# The default of these models was `url`, and their clients rely on it.
_URL_MODELS: Final = "dall-e-"


class ImagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of OpenAI's images API asks for.

    `model` is the id that it asked for, or that of the default model; `answers_url` says that the answer has links in
    place of pictures.
    """

    request: GenerationRequest
    count: int
    tags: Sequence[str]
    visibility: Visibility
    sender: Sender | None
    model: str
    answers_url: bool
    is_stream: bool
    is_edit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesRequests:
    """Reads the creations of OpenAI's images API."""

    json_bodies: JSONBodies
    forms: Forms
    pictures: EditPictures
    model_ids: ModelIds
    tag: str | None
    is_sketch: bool

    @classmethod
    def of(cls, container: Container, settings: Settings) -> Self:
        """Return the one of the container."""
        return cls(
            json_bodies=JSONBodies.of(settings),
            forms=Forms.of(container),
            pictures=EditPictures.of(container),
            model_ids=ModelIds.of(container, settings),
            tag=settings.openai_tag,
            is_sketch=settings.generator_kind is GeneratorKind.SKETCH,
        )

    async def generation(self, request: APIRequest) -> ImagesRequest:
        """Return what a request for pictures from a prompt asks for.

        Raises what `JSONBodies.read` raises, the error for an unknown model, and `DataValidationError` for a field,
        with OpenAI's name of it.
        """
        async with self.json_bodies.read(request) as values:
            for name in _PICTURES:
                if values.get(name):
                    raise DataValidationError(name, "is not taken here: POST /v1/images/edits draws from pictures")
            return await self._request(request, values)

    async def edit(self, request: APIRequest) -> ImagesRequest:
        """Return what a request for pictures from pictures, a form or JSON, asks for.

        Its pictures are stored as the request's `FormUploads`. Checks login, room and space before it reads the body.
        Raises what `generation`, `Forms.read_by` and `EditPictures.store` raise.
        """
        ensure_media_type(request, (FORM_MEDIA_TYPE, JSON_MEDIA_TYPE))
        uploads = FormUploads.of(request.scope)
        if request.content_type[0] == FORM_MEDIA_TYPE:
            form = EditForm(store_upload=self.forms.store_upload, uploads=uploads)
            await self.forms.read_by(form.read, request)
            return await self._request(request, form.values, uploads=uploads, ignored=form.ignored)
        await self.forms.admit_uploads(request.user)
        async with self.json_bodies.read(request) as values:
            # Before the pictures are decoded.
            ImageFields.of(values)
            await self.pictures.store(values, uploads)
            return await self._request(request, values, uploads=uploads)

    async def _request(
        self,
        request: APIRequest,
        values: Mapping[str, Any],
        *,
        uploads: FormUploads | None = None,
        ignored: Sequence[str] = (),
    ) -> ImagesRequest:
        with openai_names():
            fields = ImageFields.of(values)
            if uploads is not None and not uploads.references:
                raise DataValidationError(IMAGE, "is needed: a file in a form, or a URL in JSON")
            if fields.prompt is None:
                raise DataValidationError("prompt", "is needed")
            if not 1 <= (count := 1 if fields.n is None else fields.n) <= BATCH_MAX_SIZE:
                raise DataValidationError("n", f"must be 1 to {BATCH_MAX_SIZE}, not {count}")
            if fields.model is not None:
                ensure_label("model", fields.model, MODEL_MAX_LENGTH)
            response_format = _response_format(request, fields)
            named = await self.model_ids.resolve(fields.model)
            metadata = _metadata(fields)
            is_stream = bool(fields.stream)
            wanted = GenerationRequest(
                prompt=fields.prompt,
                model=named.model.id,
                partial_images=(fields.partial_images or 0) if is_stream else 0,
                extra=await _extra(request, values, metadata, ignored),
                **adapted(_options(fields, is_edit=uploads is not None), named.model, is_sketch=self.is_sketch),
            )
            if uploads is not None:
                wanted = uploads.added_to(wanted)
            # It names the sizes of the model.
            named.model.ensure_takes(wanted)
            default_format = _URL if named.asked.startswith(_URL_MODELS) else _B64_JSON
            key: APIKey | None = request.scope.get("auth")
            return ImagesRequest(
                request=wanted.normalized(),
                count=count,
                tags=self._tags(metadata, key),
                visibility=_visibility(metadata, key),
                sender=_sender(request, fields, key, named.asked if named.is_alias else None),
                model=named.asked,
                answers_url=not is_stream and (response_format or default_format) == _URL,
                is_stream=is_stream,
                is_edit=uploads is not None,
            )

    def _tags(self, metadata: Mapping[str, Any], key: APIKey | None) -> Sequence[str]:
        asked = metadata.get("tags")
        if asked is None:
            asked = []
        if not isinstance(asked, list) or not all(isinstance(tag, str) for tag in asked):
            raise DataValidationError("tags", "must have `tags` that are an array of texts")
        tags = parse_new_tags(list(dict.fromkeys(asked)))
        defaults = dict.fromkeys([*(key.tags if key else ()), *([self.tag] if self.tag else ())])
        others = [tag for tag in defaults if tag not in tags]
        return [*others[: TAGS_MAX_COUNT - len(tags)], *tags]


def _options(fields: ImageFields, *, is_edit: bool) -> Mapping[str, Any]:
    options = {name: value for name in _OPTIONS if (value := getattr(fields, name)) is not None}
    if is_edit and fields.moderation == _AUTO:
        # Edits have no other.
        del options["moderation"]
    if not is_edit:
        options.pop("input_fidelity", None)
    return options


def _response_format(request: APIRequest, fields: ImageFields) -> str | None:
    told = fields.response_format
    if told is None:
        query = parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        told = query.get(_RESPONSE_FORMAT, [None])[-1]
    if told not in {None, _B64_JSON, _URL}:
        raise DataValidationError(_RESPONSE_FORMAT, f"must be {_B64_JSON} or {_URL}")
    return told


def _metadata(fields: ImageFields) -> Mapping[str, Any]:
    metadata = {} if fields.metadata is None else fields.metadata
    if not isinstance(metadata, dict):
        raise DataValidationError(METADATA, "must be an object")
    return metadata


async def _extra(
    request: APIRequest, values: Mapping[str, Any], metadata: Mapping[str, Any], ignored: Sequence[str]
) -> Mapping[str, Any] | None:
    known = {*ImageFields.__struct_fields__, *_PICTURES}
    unknown = {name: value for name, value in values.items() if name not in known and value is not None}
    others = {name: value for name, value in metadata.items() if name not in {"tags", "visibility"}}
    if others:
        unknown[METADATA] = others
    if not unknown and not ignored:
        return None
    # They may be large.
    return await asyncio.to_thread(kept_extra, unknown, ignored, request.scope["state"].get("request_id"))


def _visibility(metadata: Mapping[str, Any], key: APIKey | None) -> Visibility:
    asked = metadata.get("visibility")
    if asked is None:
        return (key.visibility if key else None) or Visibility.PRIVATE
    if asked not in list(Visibility):
        raise DataValidationError("visibility", "must have a `visibility` of public or private")
    return Visibility(asked)


def _sender(request: APIRequest, fields: ImageFields, key: APIKey | None, alias: str | None) -> Sender | None:
    def header(name: bytes) -> str | None:
        value = header_of(request.scope, name)
        return None if value is None else value.decode("latin-1")

    return Sender.of(
        client=header(b"user-agent"),
        key=key.name if key else None,
        user=fields.user or header(b"x-openwebui-user-email") or header(b"x-openwebui-user-id"),
        safety_identifier=fields.safety_identifier,
        request_id=header(b"x-client-request-id"),
        model=alias,
    )
