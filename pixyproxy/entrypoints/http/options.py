"""The methods of a resource."""

from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler

from pixyproxy.entrypoints.http.json_request import MergePatchRequest


def options(path: str, *methods: str) -> HTTPRouteHandler:
    """Return the handler that lists a path's methods (RFC 9110, section 9.3.7; RFC 5789, section 3.1).

    Litestar's own answer lists only those of the first handler.
    """

    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def name_methods() -> Response[None]:
        headers = {"Allow": ", ".join(sorted([*methods, "OPTIONS"]))}
        if "PATCH" in methods:
            headers["Accept-Patch"] = ", ".join(MergePatchRequest.media_types)
        return Response(None, headers=headers)

    return name_methods
