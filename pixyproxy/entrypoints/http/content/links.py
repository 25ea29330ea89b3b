"""Signed links to the content of private images: making one, and letting whoever has one pass."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.params import Body, QueryParameter

from pixyproxy.application import GetImageContent
from pixyproxy.domain.errors import DataValidationError, OperationNotAllowedError
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.ports import Clock
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.domain.variant import VariantFormat, VariantPolicy
from pixyproxy.entrypoints.http.content.variants import VariantQuery
from pixyproxy.entrypoints.http.images.json_request import JSONRequest
from pixyproxy.entrypoints.http.images.parameters import Guid
from pixyproxy.entrypoints.http.images.responses import PRIVATE_PATH, problems
from pixyproxy.entrypoints.http.images.schemas import CreateLinkBody, ImageLink
from pixyproxy.entrypoints.http.middleware.path_prefix import public_address
from pixyproxy.entrypoints.link_signer import LinkSigner

Connection = ASGIConnection[Any, Any, Any, Any]

_EXPIRES: Final = "expires"
_SIGNATURE: Final = "signature"

Expires = Annotated[
    str | None,
    QueryParameter(name=_EXPIRES, description="Of a signed link: when it expires, in seconds since 1970 began."),
]
Signature = Annotated[
    str | None,
    QueryParameter(
        name=_SIGNATURE,
        description="Of a signed link: what shows that the image's author has made it. It opens this one picture"
        " without a login, in the size and format that it names.",
    ),
]


def is_link(connection: Connection) -> bool:
    """Whether the request is one of a signed link, valid or not."""
    return bool(connection.scope["query_string"]) and not {_EXPIRES, _SIGNATURE}.isdisjoint(connection.query_params)


async def holder_of_link(connection: Connection) -> Principal:
    """Return the principal who may read the one image that the request's link was made for.

    Raises `OperationNotAllowedError` for a link that is not valid or has expired, and `DataValidationError` for a
    parameter that is malformed or given twice.
    """
    container, query = connection.app.state.container, connection.query_params
    expires, signature = (_only(name, query.getall(name, [])) for name in (_EXPIRES, _SIGNATURE))
    variant = VariantQuery.parse(query).canonical
    guid = _guid(connection.path_params["guid"])
    await container.link_signer().ensure_valid(guid, variant, expires, signature, container.clock().now())
    return Principal(linked=guid)


def provide_reader(
    request: Request[Any, Any, Any],
    expires: Expires = None,  # noqa: ARG001 -- this and the other are for the OpenAPI document
    signature: Signature = None,  # noqa: ARG001
) -> Principal:
    """Return who the guard found to be asking: a user, or the holder of a link."""
    principal: Principal = request.scope.get("user") or ANONYMOUS
    return principal


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMaker:
    """Makes links to images, below the `address` that clients know the service by."""

    get_image_content: GetImageContent
    policy: VariantPolicy
    link_signer: LinkSigner
    clock: Clock
    address: str

    async def make(self, guid: UUID, principal: Principal, query: VariantQuery, lifetime: int) -> ImageLink:
        """Return a link that opens an image of the principal's own, as `query` wants it, for `lifetime` seconds.

        Raises `RecordNotFoundError` for any other image, and for one that is not ready, and `DataValidationError` for a
        variant that is not allowed.
        """
        image = await self.get_image_content.find(guid, principal, ImageScope.OWN)
        if not query.is_original:
            # Of all that `auto` may come to, AVIF has to keep the most rules.
            self.policy.ensure_allowed(query.variant_for(image.ready_content.media_type, VariantFormat.AVIF.media_type))
        expires = int(self.clock.now().timestamp()) + lifetime
        signature = await self.link_signer.sign(guid, query.canonical, expires)
        wanted = "&".join(filter(None, [query.canonical, f"{_EXPIRES}={expires}", f"{_SIGNATURE}={signature}"]))
        return ImageLink(
            url=f"{self.address}{PRIVATE_PATH}/{guid}/content?{wanted}",
            expires_at=datetime.fromtimestamp(expires, UTC),
        )


def provide_link_maker(request: Request[Any, Any, Any]) -> LinkMaker:
    """Return what makes links; raise `BadRequestError` for a request that does not say whom it has reached."""
    container = request.app.state.container
    return LinkMaker(
        get_image_content=container.get_image_content(),
        policy=container.get_image_variant().policy,
        link_signer=container.link_signer(),
        clock=container.clock(),
        address=public_address(request, request.app.state.settings.public_address),
    )


@post(
    "/{guid:str}/link",
    status_code=200,
    summary="Make a link that opens one's own image without a login",
    response_description="The link.",
    request_class=JSONRequest,
    responses=problems(400, 401, 404, 413, 415, 503),
    dependencies={"link_maker": Provide(provide_link_maker, sync_to_thread=False)},
)
async def create_link(
    guid: Guid,
    data: Annotated[CreateLinkBody, Body(description="For how long, and to what.")],
    link_maker: NamedDependency[LinkMaker],
    principal: NamedDependency[Principal],
) -> Response[ImageLink]:
    """Return a link to the bytes of an image you authored, which anyone who has it can open until it expires.

    It holds for one image in one size and format. Deleting the image ends it; hiding the image does not.
    """
    link = await link_maker.make(guid, principal, data.to_query(), data.lifetime)
    # Whoever has the answer has the picture.
    return Response(link, headers={"Cache-Control": "no-store"})


def _only(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise DataValidationError(name, "must be given once")
    return values[0] if values else ""


def _guid(text: str) -> UUID:
    try:
        guid: UUID = msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        raise OperationNotAllowedError("The link is not valid.") from None
    return guid
