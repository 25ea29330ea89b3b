"""What may be done with a collection of images."""

from litestar import HttpMethod, Response, route


@route("/", http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
async def collection_options() -> Response[None]:
    """Name the methods (RFC 9110, section 9.3.7); Litestar's own answer names only those of the first handler."""
    return Response(None, headers={"Allow": "GET, OPTIONS, POST"})
