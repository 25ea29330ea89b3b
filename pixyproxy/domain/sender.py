"""What a client says about itself and about the user it speaks for."""

from typing import Final, Self

import msgspec

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable, ensure_length, has_many_marks

SENDER_MAX_LENGTH: Final = 255


class Sender(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked for an image, as far as the request says; for its author alone.

    `client` is the program (`User-Agent`), `key` the name of the API key, `user` and `safety_identifier` the end user
    as the program names them, `request_id` the program's name for the request, and `model` the id that was asked for,
    if it stands for another model.
    """

    client: str | None = None
    key: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    request_id: str | None = None
    model: str | None = None

    @classmethod
    def of(cls, **told: object) -> Self | None:
        """Return the sender in a request; cuts texts after 255 characters and leaves out what is none.

        A malformed account is no reason to refuse an image.
        """
        kept = {name: text for name in cls.__struct_fields__ if (text := _kept(told.get(name)))}
        return cls(**kept) if kept else None

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a sender that no image was stored with."""
        for name in self.__struct_fields__:
            text = getattr(self, name)
            if text is not None:
                ensure_encodable(f"sender.{name}", text)
                ensure_length(f"sender.{name}", text, 1, SENDER_MAX_LENGTH)
                if has_many_marks(text):
                    raise DataValidationError(f"sender.{name}", "must not have that many combining marks")

    @property
    def text(self) -> str:
        """What a search finds the sender by: all texts, one a line."""
        return "\n".join(text for name in self.__struct_fields__ if (text := getattr(self, name)) is not None)


def _kept(text: object) -> str | None:
    if not isinstance(text, str) or "\0" in text:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    cut = text.strip()[:SENDER_MAX_LENGTH].strip()
    return None if has_many_marks(cut) else cut
