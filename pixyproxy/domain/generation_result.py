"""What a generator says about a picture that it has drawn."""

from typing import Any, Final, Self

import msgspec

RESULT_MAX_LENGTH: Final = 32_000


class GenerationResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the generator says it has drawn, by its own names; None where it says nothing.

    `model` is the model that answered, and `revised_prompt` what it has drawn in place of the prompt.
    """

    model: str | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    revised_prompt: str | None = None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self | None:
        """Return the result in a generator's answer; leaves out what is no text of 1 to 32,000 characters.

        A malformed account is no reason to lose a paid image.
        """
        kept = {name: told[name] for name in cls.__struct_fields__ if _is_kept(told.get(name))}
        return cls(**kept) if kept else None


def _is_kept(text: object) -> bool:
    if not isinstance(text, str) or not 1 <= len(text) <= RESULT_MAX_LENGTH or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
