"""Generation requests."""

from typing import Any, Self

import msgspec

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable, ensure_length, ensure_visible

PROMPT_MAX_LENGTH = 32_000


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture to be generated: passed from the client to the generator, the idempotency key and the record.

    The constructor checks nothing; `CreateImage` normalizes the request.
    """

    prompt: str

    def normalized(self) -> Self:
        """Return the request without the white space around the prompt; raise `DataValidationError` for a bad one.

        The prompt has 1 to 32,000 characters (the OpenAI reference's limit), without NUL and lone surrogates, and one
        of them is visible.
        """
        request = msgspec.structs.replace(self, prompt=self.prompt.strip())
        request.ensure_valid()
        ensure_visible("prompt", request.prompt)
        return request

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a request that no image was stored with; one may be invisible."""
        ensure_encodable("prompt", self.prompt)
        ensure_length("prompt", self.prompt, 1, PROMPT_MAX_LENGTH)
        if self.prompt != self.prompt.strip():
            raise DataValidationError("prompt", "must not begin or end with white space")

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name, as JSON values: everything but the prompt."""
        options: dict[str, Any] = msgspec.to_builtins(self)
        del options["prompt"]
        return options
