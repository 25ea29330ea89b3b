"""What may be done with a resource."""

from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler


def options(path: str, *methods: str) -> HTTPRouteHandler:
    """Return the handler that names the methods of a path (RFC 9110, section 9.3.7).

    Litestar's own answer names only those of the first handler.
    """

    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def name_methods() -> Response[None]:
        return Response(None, headers={"Allow": ", ".join(sorted([*methods, "OPTIONS"]))})

    return name_methods
