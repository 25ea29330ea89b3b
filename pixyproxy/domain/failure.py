"""Why an image has no content."""

import re
from collections.abc import Mapping
from typing import Final, Self

import msgspec

from pixyproxy.domain import errors
from pixyproxy.domain.errors import GenerationError, GenerationFailedError

FAILURE_MAX_LENGTH = 1_000
FIELD_PATTERN: Final = r"[!-~]{1,64}"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an image has no content.

    Holds a `GenerationError` by name, its detail, whether it may have been billed, and the field of the request to
    blame, if there is one.
    """

    kind: str
    detail: str
    maybe_billed: bool
    field: str | None = None

    @classmethod
    def of(cls, error: GenerationError) -> Self:
        """Return the failure of `error`; a host's own error counts as its parent.

        Keeps up to 1,000 characters of its detail, and a field of up to 64 in ASCII.
        """
        kind = next(ancestor.__name__ for ancestor in type(error).__mro__ if ancestor.__name__ in _GENERATION_ERRORS)
        detail = str(error.detail)[:FAILURE_MAX_LENGTH].encode("utf-8", "replace").decode()
        field = error.field if re.fullmatch(FIELD_PATTERN, error.field or "") else None
        return cls(kind=kind, detail=detail, maybe_billed=bool(error.maybe_billed), field=field)

    def to_error(self) -> GenerationError:
        """Return the failure as an error."""
        kind = _GENERATION_ERRORS.get(self.kind, GenerationFailedError)
        return kind(self.detail, maybe_billed=self.maybe_billed, field=self.field)


_GENERATION_ERRORS: Final[Mapping[str, type[GenerationError]]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, GenerationError)
}
