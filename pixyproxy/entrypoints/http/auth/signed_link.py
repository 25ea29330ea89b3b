"""Signed links as credentials."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import OperationNotAllowedError
from pixyproxy.domain.ports import Clock
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection, Login
from pixyproxy.entrypoints.http.content.signed_links import EXPIRES, SIGNATURE
from pixyproxy.entrypoints.http.content.variants import VariantQuery
from pixyproxy.entrypoints.http.query import single
from pixyproxy.entrypoints.link_signer import LinkSigner

_PARAMETERS: Final = frozenset({EXPIRES, SIGNATURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLinkAuthenticator(Authenticator):
    """Authenticates the holder of a signed link, who may read the image that it names.

    Does not check that the image exists. Raises `OperationNotAllowedError` for an invalid or expired link, and
    `DataValidationError` for a parameter that is malformed or given twice.
    """

    link_signer: LinkSigner
    clock: Clock

    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the login of the link's holder; None for a request without a signed link."""
        if not connection.scope["query_string"] or _PARAMETERS.isdisjoint(connection.query_params):
            return None
        query = connection.query_params
        expires, signature = single(query, EXPIRES) or "", single(query, SIGNATURE) or ""
        variant = VariantQuery.parse(query).canonical
        guid = _guid(connection.path_params["guid"])
        await self.link_signer.ensure_valid(guid, variant, expires, signature, self.clock.now())
        return Login(Principal(linked=guid))


def _guid(text: str) -> UUID:
    try:
        guid: UUID = msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        raise OperationNotAllowedError("The link is not valid.") from None
    return guid
