"""Use case: find an API key by what is known of it."""

from dataclasses import dataclass

from pixyproxy.application.list_keys import ListKeys
from pixyproxy.domain.api_key import KEY_MARK, APIKey, digest_of, key_not_found, parse_key_secret
from pixyproxy.domain.errors import AuthenticationError, DataValidationError
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class FindKey:
    """Return as an administrator the API key of any user that `text` names.

    `text` is the guid of the key, the secret, or some of the first characters of the secret; of keys that begin alike,
    one that is not revoked comes first. Raises `OperationNotAllowedError`, `RecordNotFoundError` if there is no such
    key, and `DataValidationError` if several keys begin so.
    """

    list_keys: ListKeys

    async def __call__(self, text: str, principal: Principal) -> APIKey:
        keys = await self.list_keys(principal, of_all=True)
        named = [key for key in keys if str(key.guid) == text.lower() or key.digest == _digest_of(text)]
        if not named and text.startswith(KEY_MARK) and text != KEY_MARK:
            named = [key for key in keys if key.prefix.startswith(text)]
            named = [key for key in named if key.revoked_at is None] or named
        if not named:
            raise key_not_found()
        if len(named) > 1:
            guids = ", ".join(str(key.guid) for key in named)
            raise DataValidationError("key", f"must be a guid, because several keys begin with {text}: {guids}")
        return named[0]


def _digest_of(text: str) -> str | None:
    try:
        return digest_of(parse_key_secret(text))
    except AuthenticationError:
        return None
