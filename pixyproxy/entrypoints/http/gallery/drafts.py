"""What the form for new images contains."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from litestar.datastructures import MultiDict

from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import COMPRESSED_FORMATS, GenerationRequest
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.entrypoints.http.images.options import RequestOptions

OTHER_SIZE: Final = "other"
"""The choice of a size by its width and height."""

KEY: Final = "idempotency_key"
REFERENCES: Final = "references"

_TEXTS: Final = frozenset({"prompt", "tags", "visibility", "n", *RequestOptions.__struct_fields__})
_SHOWN_TO_ALL: Final = frozenset({"size", "quality", "background", "output_format"})
_WORDS: Final = {
    "quality": "qualities",
    "background": "backgrounds",
    "output_format": "output_formats",
    "moderation": "moderations",
    "input_fidelity": "input_fidelities",
}
_TAG: Final = re.compile(r"(?:\\[\\,]|[^,])+")
_ESCAPED: Final = re.compile(r"\\([\\,])")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed, as texts by name, the guids of references in order, and the form's own idempotency key."""

    texts: Mapping[str, str] = {}
    references: Sequence[str] = ()
    key: str = ""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Return the draft in the fields of a form; unknown ones are left out."""
        given = MultiDict(pairs)
        texts = {name: given[name] for name in given if name in _TEXTS and given[name]}
        if texts.get("size") == OTHER_SIZE:
            texts["size"] = f"{given.get('width', '')}x{given.get('height', '')}"
        return cls(texts=texts, references=given.getall(REFERENCES, []), key=given.get(KEY, ""))

    @classmethod
    def of_image(cls, image: Image, *, is_own: bool) -> Self:
        """Return the draft of the same image again, as far as others than its author may know the request."""
        options = msgspec.structs.asdict(RequestOptions.of(image.request))
        texts = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in options.items()
            if value and (is_own or name in _SHOWN_TO_ALL)
        }
        if is_own:
            texts["visibility"] = image.visibility
        tags = ", ".join(re.sub(r"[\\,]", r"\\\g<0>", tag) for tag in image.tags)
        return cls(texts={**texts, "prompt": image.prompt, "tags": tags, "model": image.model})

    def text(self, name: str, default: str = "") -> str:
        """Return what was typed into a field."""
        return self.texts.get(name, default)

    @property
    def visibility(self) -> str:
        """Who may read the image."""
        return self.text("visibility", Visibility.PRIVATE)

    @property
    def sides(self) -> tuple[str, str]:
        """The width and height of a size that has them."""
        width, _, height = self.text("size").partition("x")
        return width, height

    def fields(self, model: ModelCapabilities) -> Sequence[tuple[str, str]]:
        """Return the fields of a creation; a compression for a format without one is left out, as it isn't shown."""
        output_format = self.text("output_format") or model.defaults.get("output_format")
        skipped = {"tags", *({"output_compression"} if output_format not in COMPRESSED_FORMATS else ())}
        return [
            *((name, text) for name, text in self.texts.items() if name not in skipped),
            *(("tags", tag) for tag in _tags_in(self.text("tags"))),
            *((REFERENCES, guid) for guid in self.references),
        ]

    def request_key(self, files: Sequence[str]) -> str:
        """Return the idempotency key of this order: of the form, what was typed, and the digests of its files.

        The same form sent again buys nothing, and a changed one is another order.
        """
        typed = [sorted(self.texts.items()), self.references, files]
        return f"{self.key}-{hashlib.sha256(msgspec.json.encode(typed)).hexdigest()[:32]}"


def _tags_in(text: str) -> Sequence[str]:
    """Return the tags between commas; a comma or a backslash in a tag has a backslash before it."""
    return [tag for part in _TAG.findall(text) if (tag := _ESCAPED.sub(r"\1", part).strip())]


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The models to choose from, what the chosen one takes, and which options of a draft it does not take."""

    models: Sequence[ModelCapabilities]
    allows_others: bool
    default: str
    model: ModelCapabilities
    left_out: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, capabilities: Capabilities, draft: Draft) -> Self:
        """Return the choices for a draft; those of the default model if its own can't be used."""
        name = draft.text("model")
        try:
            model, left_out = capabilities.model_for(GenerationRequest(prompt="", model=name or None)), []
        except DataValidationError:
            model, left_out = capabilities.model_for(GenerationRequest(prompt="")), [("model", name)]
        return cls(
            models=capabilities.models,
            allows_others=capabilities.others is not None,
            default=capabilities.default,
            model=model,
            left_out=[*left_out, *_not_taken(model, draft)],
        )

    def words(self, name: str) -> Sequence[str]:
        """Return the values of an option that the model takes."""
        words: Sequence[str] = getattr(self.model, _WORDS[name])
        return words


def _not_taken(model: ModelCapabilities, draft: Draft) -> Sequence[tuple[str, str]]:
    if model.takes_anything:
        return []
    given = [(name, draft.text(name)) for name in ("size", *_WORDS) if draft.text(name)]
    return [(name, text) for name, text in given if not _takes(model, name, text)]


def _takes(model: ModelCapabilities, name: str, text: str) -> bool:
    if name in _WORDS:
        return text in getattr(model, _WORDS[name])
    with suppress(DataValidationError):
        model.ensure_takes(GenerationRequest(prompt="", size=text))
        return True
    return False


def guids_in(texts: Iterable[str]) -> Sequence[UUID]:
    """Return the guids among texts, each once."""
    found: dict[UUID, Any] = {}
    for text in texts:
        with suppress(ValueError):
            found[UUID(text)] = None
    return list(found)
