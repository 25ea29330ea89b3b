"""The OpenAI-compatible API in the OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from pixyproxy.domain.reference import REFERENCES_MAX_COUNT
from pixyproxy.entrypoints.http.openai.answer_schemas import ImagesAnswer
from pixyproxy.entrypoints.http.openai.schemas import ImageFields
from pixyproxy.entrypoints.http.parameters import header_parameter, query_parameter
from pixyproxy.entrypoints.http.problems.openai_responses import openai_errors

TAG: Final = "OpenAI-compatible API"

ATTEMPT_HEADER: Final = "x-stainless-retry-count"

_STREAM: Final = "text/event-stream"
_TYPES: Final = {"string": OpenAPIType.STRING, "integer": OpenAPIType.INTEGER, "boolean": OpenAPIType.BOOLEAN}

_PARAMETERS: Final = (
    header_parameter(
        "Idempotency-Key",
        "Your own name for the request: when it is sent again with this name, it buys nothing.",
        max_length=255,
    ),
    header_parameter(
        ATTEMPT_HEADER,
        "The number of earlier attempts, which OpenAI's clients send: from 1 on, the request joins the one whose answer"
        " has not arrived.",
        pattern="^[0-9]{1,4}$",
    ),
    query_parameter("response_format", "Like that of the body, which takes precedence.", enum=("b64_json", "url")),
)

ANSWERS: Final = {
    200: ResponseSpec(
        ImagesAnswer,
        description="The images, or an event for each picture if `stream` is true. An answer that takes longer than 45"
        " seconds begins with white space, and may then hold an `error` in place of `data`.",
        generate_examples=False,
    ),
    **openai_errors(400, 401, 403, 404, 408, 413, 415, 422, 424, 429, 500, 503),
}


class CreationOperation(Operation):
    """Takes a JSON body that the handler reads itself, and may answer with a stream."""

    kind: ClassVar[str] = "image_generation"

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.parameters = [*(self.parameters or []), *_PARAMETERS]
        self.request_body = RequestBody(
            content={media_type: OpenAPIMediaType(schema=schema) for media_type, schema in self.bodies().items()},
            description="What to draw. Null counts as absent, and unknown fields are kept with the image, or ignored.",
            required=True,
        )
        success: Any = (self.responses or {})["200"]
        success.content[_STREAM] = OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                properties={
                    "event": Schema(
                        type=OpenAPIType.STRING,
                        enum=[f"{self.kind}.partial_image", f"{self.kind}.completed", "error"],
                        description="What it is; `error` is the last one.",
                    ),
                    "data": Schema(
                        type=OpenAPIType.STRING,
                        content_media_type="application/json",
                        description="The picture in `b64_json` and what it is, or the `error`.",
                    ),
                },
                required=["event", "data"],
                description="An event. Comments come in between while there is nothing to tell.",
            )
        )

    def bodies(self) -> Mapping[str, Schema]:
        """Return the schema of the body in each media type."""
        return {"application/json": _object(["prompt"], _fields())}


class EditOperation(CreationOperation):
    """The same with pictures to draw from, in a form or in JSON."""

    kind: ClassVar[str] = "image_edit"

    def bodies(self) -> Mapping[str, Schema]:
        """Return the schema of the body in each media type."""
        link = Schema(
            type=OpenAPIType.STRING,
            description="A `data:` URL, or an address at one of the origins that the operator allows.",
        )
        picture = _object(["image_url"], {"image_url": link})
        pictures = {
            "images": Schema(
                type=OpenAPIType.ARRAY,
                items=picture,
                min_items=1,
                max_items=REFERENCES_MAX_COUNT,
                description="The pictures to draw from.",
            ),
            "mask": picture,
        }
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        files = {
            "image": Schema(
                type=OpenAPIType.ARRAY,
                items=file,
                min_items=1,
                max_items=REFERENCES_MAX_COUNT,
                description="Files to draw from, a part for each; `image[]` is the same.",
            ),
            "mask": Schema(
                type=OpenAPIType.STRING,
                format=OpenAPIFormat.BINARY,
                description="A PNG of the first picture's size whose transparent parts mark what may change.",
            ),
        }
        return {
            "multipart/form-data": _object(["prompt", "image"], {**_fields(), **files}),
            "application/json": _object(["prompt", "images"], {**_fields(), **pictures}),
        }


def _object(required: Sequence[str], properties: Mapping[str, Schema]) -> Schema:
    return Schema(type=OpenAPIType.OBJECT, properties=dict(properties), required=list(required))


def _fields() -> Mapping[str, Schema]:
    rules = msgspec.json.schema(ImageFields)["$defs"][ImageFields.__name__]["properties"]
    return {name: _field(rule) for name, rule in rules.items()}


def _field(rules: Any) -> Schema:
    kinds = [kind["type"] for kind in rules.get("anyOf", ()) if kind["type"] in _TYPES]
    return Schema(
        type=_TYPES[kinds[0]] if kinds else None, description=rules["description"], examples=rules["examples"]
    )
