"""Forms in the OpenAPI document."""

from copy import copy
from typing import Any

from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Schema

from pixyproxy.domain.reference import REFERENCES_MAX_COUNT
from pixyproxy.entrypoints.http.form_parts import FORM_MEDIA_TYPE

_FILE = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)


def add_form(operation: Any, body: Any) -> None:
    """Document that an operation takes the fields of its JSON body as a form, too, and files."""
    properties = {
        name: _text(schema, may_be_empty=name not in body.required) for name, schema in body.properties.items()
    }
    properties["references"].description = "Images of PixyProxy to draw from: a part with a guid for each."
    properties["reference"] = Schema(
        type=OpenAPIType.ARRAY,
        items=_FILE,
        max_items=REFERENCES_MAX_COUNT,
        description="Files to draw from: PNG, JPEG or WebP, a part for each. With `references` they are at most"
        " 16, in the order of the parts.",
    )
    properties["mask"] = Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        description="A PNG of the first reference's size whose transparent parts mark what may change: a file, or the"
        " guid of an image.",
    )
    properties["extra"] = Schema(
        type=OpenAPIType.STRING, content_media_type="application/json", description=body.properties["extra"].description
    )
    form = Schema(
        type=OpenAPIType.OBJECT,
        properties=properties,
        required=list(body.required),
        additional_properties=False,
        description=f"{body.description} Each value is a part of its own, and an empty one counts as absent.",
    )
    operation.request_body.content[FORM_MEDIA_TYPE] = OpenAPIMediaType(schema=form)


def _text(schema: Any, *, may_be_empty: bool) -> Any:
    """Return the schema of a value that is not null, since a part has a text; an empty one may stand for none."""
    kinds = [kind for kind in schema.one_of or () if kind.type is not OpenAPIType.NULL]
    found = copy(kinds[0] if kinds else schema)
    found.description = schema.description
    found.default = None
    if may_be_empty and found.min_length:
        found.min_length = None
        found.pattern = found.pattern and f"^$|{found.pattern}"
    return found
