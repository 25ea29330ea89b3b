"""Delivery of partial images over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self
from uuid import UUID

from litestar.types import HTTPScope

from pixyproxy.application import GetPartialImage
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.content_disposition import content_disposition
from pixyproxy.entrypoints.http.content.content_response import ContentResponse
from pixyproxy.entrypoints.http.content.delivery import CONTENT_SECURITY_POLICY
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.middleware.head import is_head


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialDelivery:
    """Answers requests for partial images, GET and HEAD. They are gone soon, so no cache may keep them."""

    get_partial_image: GetPartialImage
    send_timeout: float

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the delivery that the container's settings ask for."""
        return cls(get_partial_image=container.get_partial_image(), send_timeout=container.settings().send_timeout)

    async def answer(
        self, scope: HTTPScope, guid: UUID, position: int, principal: Principal, image_scope: ImageScope
    ) -> ContentResponse:
        """Return the answer to a request for a partial image; raise the errors of `GetPartialImage`."""
        media_type, content = await self.get_partial_image(guid, position, principal, image_scope)
        filename = f"{guid}-{position}{media_type.extension}"
        headers: Sequence[Header] = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(content.byte_size).encode()),
            (b"content-disposition", content_disposition(filename, is_download=False).encode()),
            (b"content-security-policy", CONTENT_SECURITY_POLICY),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        return ContentResponse(
            status=HTTPStatus.OK,
            headers=headers,
            content=None if is_head(scope) else content,
            byte_size=content.byte_size,
            send_timeout=self.send_timeout,
        )
