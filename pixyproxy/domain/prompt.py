"""The prompt: what is to be drawn."""

from typing import NewType

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable, ensure_length, ensure_visible

PROMPT_MAX_LENGTH = 32_000

Prompt = NewType("Prompt", str)


def parse_prompt(text: str) -> Prompt:
    """Return `text` as a new prompt, without the white space around it.

    Raises `DataValidationError` unless 1 to 32,000 characters are left (the OpenAI reference's limit), without NUL and
    lone surrogates, and one of them can be seen.
    """
    prompt = text.strip()
    ensure_prompt(prompt)
    ensure_visible("prompt", prompt)
    return Prompt(prompt)


def ensure_prompt(prompt: str) -> None:
    """Raise `DataValidationError` for a prompt that no image may have been stored with."""
    ensure_encodable("prompt", prompt)
    ensure_length("prompt", prompt, 1, PROMPT_MAX_LENGTH)
    if prompt != prompt.strip():
        raise DataValidationError("prompt", "must not begin or end with white space")
