"""The OpenAI-compatible API in the OpenAPI document."""

from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from pixyproxy.entrypoints.http.openai.answer_schemas import ImagesAnswer
from pixyproxy.entrypoints.http.openai.schemas import ImageFields
from pixyproxy.entrypoints.http.parameters import header_parameter, query_parameter
from pixyproxy.entrypoints.http.problems.openai_errors import ErrorBody

TAG: Final = "OpenAI-compatible API"

ATTEMPT_HEADER: Final = "x-stainless-retry-count"

_STREAM: Final = "text/event-stream"
_TYPES: Final = {"string": OpenAPIType.STRING, "integer": OpenAPIType.INTEGER, "boolean": OpenAPIType.BOOLEAN}

_PARAMETERS: Final = (
    header_parameter(
        "Idempotency-Key",
        "Your own name for the request: sent again with it, the request buys nothing.",
        max_length=255,
    ),
    header_parameter(
        ATTEMPT_HEADER,
        "How often you have sent the same request before, as OpenAI's clients say: from 1 on, it joins the one whose"
        " answer has not arrived.",
        pattern="^[0-9]{1,4}$",
    ),
    query_parameter("response_format", "The same as in the body, which counts first.", enum=("b64_json", "url")),
)

_ERRORS: Final = {
    400: "A field breaks a rule or the generator does not take it, and `param` names it; or the generator refuses this"
    " prompt, and `code` is `moderation_blocked`.",
    401: "The key or the login is missing or not valid.",
    403: "The key may not create images.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body has another media type than it must have.",
    422: "The idempotency key belongs to another request.",
    424: "The request may have been billed, or only the operator can help: don't send it again.",
    429: "Too many wrong logins, or the generator wants fewer requests; nothing was billed.",
    500: "PixyProxy has a fault; the log says more under the request id.",
    503: "Too much is asked for at once, or something that PixyProxy needs is away; nothing was billed.",
}

ANSWERS: Final = {
    200: ResponseSpec(
        ImagesAnswer,
        description="The images, or an event for each picture if `stream` is true. An answer that takes longer than 45"
        " seconds begins with white space, and may then hold an `error` in place of `data`.",
        generate_examples=False,
    ),
    **{
        status: ResponseSpec(ErrorBody, description=description, generate_examples=False)
        for status, description in _ERRORS.items()
    },
}


class CreationOperation(Operation):
    """Takes a JSON body that the handler reads itself, and may answer with a stream."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.parameters = [*(self.parameters or []), *_PARAMETERS]
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=_body())},
            description="What to draw. Fields that are unknown are kept with the image, or ignored.",
            required=True,
        )
        success: Any = (self.responses or {})["200"]
        success.content[_STREAM] = OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.STRING,
                description="Events `image_generation.partial_image` and `image_generation.completed`, or `error`, with"
                " JSON as data; and comments while there is nothing to tell.",
            )
        )


def _body() -> Schema:
    components = msgspec.json.schema(ImageFields)["$defs"][ImageFields.__name__]
    return Schema(
        type=OpenAPIType.OBJECT,
        title="Images",
        properties={name: _field(rules) for name, rules in components["properties"].items()},
        required=["prompt"],
    )


def _field(rules: Any) -> Schema:
    kinds = [kind["type"] for kind in rules.get("anyOf", ()) if kind["type"] in _TYPES]
    return Schema(
        type=_TYPES[kinds[0]] if kinds else None, description=rules["description"], examples=rules["examples"]
    )
