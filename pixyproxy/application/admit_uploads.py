"""Use case: admit a request with uploads."""

from dataclasses import dataclass

from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.domain.errors import UnauthorizedError
from pixyproxy.domain.ports import ContentStore
from pixyproxy.domain.user import ANONYMOUS, Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitUploads:
    """Return if a principal may upload pictures for an image now, before the first byte of them is read.

    Raises `UnauthorizedError` without a login, `OverloadedError` if the image would find no place, and
    `ContentStoreError` if nothing can be stored, and `DBConnectionError`. Reserves nothing.
    """

    dispatcher: Dispatcher
    upload_contents: ContentStore

    async def __call__(self, principal: Principal) -> None:
        if principal == ANONYMOUS:
            raise UnauthorizedError("Uploads need a login with HTTP Basic, or an API key.")
        await self.dispatcher.ensure_room(principal.name)
        await self.upload_contents.check()
