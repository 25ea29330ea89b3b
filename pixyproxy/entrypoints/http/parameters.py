"""Parameters as the OpenAPI document describes them.

Handlers read them from the request: Litestar would parse parameters in a handler's signature itself, at the cost of one
more dependency per request.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import PathParameter

Guid = Annotated[UUID, PathParameter(description="The image's public id, a UUID.")]

Position = Annotated[int, PathParameter(description="The place of a partial image, from 0.", ge=0)]
ReferencePosition = Annotated[
    str, PathParameter(description="The place of a reference, from 0, or `mask`.", pattern="^(mask|[0-9]|1[0-5])$")
]
KeyGuid = Annotated[UUID, PathParameter(description="The API key's public id, a UUID.")]
Filename = Annotated[str, PathParameter(description="Any file name, such as the image's.")]
BatchGuid = Annotated[UUID, PathParameter(description="The batch's public id, a UUID.")]

NO_NUL_PATTERN: Final = r"^[^\x00]*$"


def query_parameter(name: str, description: str, **rules: Any) -> Parameter:
    """Describe a parameter of the query: a text, unless the `rules` of its schema say otherwise."""
    return Parameter(name, "query", _schema(description, rules), description)


def header_parameter(name: str, description: str, **rules: Any) -> Parameter:
    """Describe a header of the request."""
    return Parameter(name, "header", _schema(description, rules), description)


def taking(*parameters: Parameter) -> type[Operation]:
    """Return the class of the operations that take these parameters, beside those of their path."""

    class TakingOperation(Operation):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            self.parameters = [*(self.parameters or []), *parameters]

    return TakingOperation


def _schema(description: str, rules: Any) -> Schema:
    return Schema(**{"type": OpenAPIType.STRING, "description": description, **rules})
