"""Why an image has no content."""

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from pixyproxy.domain import errors
from pixyproxy.domain.errors import GenerationError, GenerationFailedError

FAILURE_MAX_LENGTH = 1_000


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an image has no content: a `GenerationError` by name, its detail, and whether it may have been billed."""

    kind: str
    detail: str
    maybe_billed: bool

    @classmethod
    def of(cls, error: GenerationError) -> Self:
        """Return the failure of `error`; a host's own error counts as its parent.

        Keeps up to 1,000 characters of its detail.
        """
        kind = next(ancestor.__name__ for ancestor in type(error).__mro__ if ancestor.__name__ in _GENERATION_ERRORS)
        detail = str(error.detail)[:FAILURE_MAX_LENGTH].encode("utf-8", "replace").decode()
        return cls(kind=kind, detail=detail, maybe_billed=bool(error.maybe_billed))

    def to_error(self) -> GenerationError:
        """Return the failure as an error."""
        return _GENERATION_ERRORS.get(self.kind, GenerationFailedError)(self.detail, maybe_billed=self.maybe_billed)


_GENERATION_ERRORS: Final[Mapping[str, type[GenerationError]]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, GenerationError)
}
