"""Edits as `multipart/form-data`, in all spellings of clients."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from pixyproxy.application import StoreUpload
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import EXTRA_MAX_DEPTH
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT
from pixyproxy.entrypoints.http.form_parts import FormPart, FormParts
from pixyproxy.entrypoints.http.images.forms import FormUploads
from pixyproxy.entrypoints.http.json_request import json_in
from pixyproxy.entrypoints.http.openai.schemas import ImageFields, value_of

IMAGE: Final = "image"
MASK: Final = "mask"
METADATA: Final = "metadata"

_PICTURES: Final = re.compile(r"(image|mask)s?(\[[0-9]*\])?")
_NESTED: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_STEP: Final = re.compile(r"\[([^\[\]]*)\]")
_FILE_TYPE: Final = re.compile(r"image/.*|application/octet-stream")
_FIELDS: Final = frozenset(ImageFields.__struct_fields__) - {METADATA}
_NAME_SHOWN: Final = 100


@dataclass(slots=True, kw_only=True)
class EditForm:
    """One form on its way in: its pictures are stored as `uploads`, and its texts are those of a JSON body."""

    store_upload: StoreUpload
    uploads: FormUploads
    texts: dict[str, Any] = field(default_factory=dict)
    metadata: Any = None
    ignored: list[str] = field(default_factory=list)

    async def read(self, parts: FormParts) -> None:
        """Read all parts; raise `DataValidationError` for a bad one, and the errors of `StoreUpload`."""
        async for part in parts:
            if picture := _PICTURES.fullmatch(part.name):
                await self._store(picture[1], part)
            elif part.filename is None:
                await self._add(part, parts)
            elif part.name in {*_FIELDS, METADATA}:
                raise DataValidationError(part.name, "must be text, not a file")
            else:
                self.ignored.append(part.name)

    @property
    def values(self) -> dict[str, Any]:
        """The texts as a JSON body has them."""
        values = {name: _with_lists(value) for name, value in self.texts.items()}
        return values if self.metadata is None else {**values, METADATA: self.metadata}

    async def _store(self, name: str, part: FormPart) -> None:
        part.ensure_unencoded(name)
        content = await part.file()
        if content is None:
            return
        if part.filename is None and not _FILE_TYPE.fullmatch(part.media_type or ""):
            raise DataValidationError(name, "must be a file: a part with a `filename`")
        if name == MASK:
            if self.uploads.mask is not None:
                raise DataValidationError(MASK, "must not be there twice")
            self.uploads.mask = await self.store_upload(content, filename=part.filename, field=MASK)
            return
        position = len(self.uploads.references)
        if position >= REFERENCES_MAX_COUNT:
            raise DataValidationError(IMAGE, f"must be at most {REFERENCES_MAX_COUNT}")
        self.uploads.references[position] = await self.store_upload(content, filename=part.filename, field=IMAGE)

    async def _add(self, part: FormPart, parts: FormParts) -> None:
        name = part.name
        if name in _FIELDS:
            part.ensure_unencoded(name)
            text = await parts.text(part, name)
            if name in self.texts:
                raise DataValidationError(name, "must not be there twice")
            if text or name == "prompt":
                self.texts[name] = value_of(name, text)
            return
        try:
            part.ensure_unencoded(name)
            text = await parts.text(part, name[:_NAME_SHOWN])
        except DataValidationError:
            self.ignored.append(name)
            return
        if name == METADATA and text:
            self.metadata = json_in(METADATA, text)
        elif text and not _put(self.texts, _steps(name), text):
            self.ignored.append(name)


def _steps(name: str) -> Sequence[str]:
    """Return the steps to a value, such as `svg`, `effort` in `svg[effort]`; an empty one is the next of a list."""
    nested = _NESTED.fullmatch(name)
    return [name] if nested is None else [nested[1], *_STEP.findall(nested[2])]


def _put(texts: dict[str, Any], steps: Sequence[str], text: str) -> bool:
    """Put a text where its steps lead; return whether there is such a place.

    Lists are dictionaries by position until the form ends. Equal names are a list.
    """
    if len(steps) > EXTRA_MAX_DEPTH or (len(steps) > 1 and steps[0] in _FIELDS):
        return False
    place = texts
    for step in steps[:-1]:
        place = place.setdefault(step or str(len(place)), {})
        if not isinstance(place, dict):
            return False
    last = steps[-1] or str(len(place))
    present = place.get(last)
    if present is None:
        place[last] = text
    elif isinstance(present, dict):
        present[next(name for name in map(str, count(len(present))) if name not in present)] = text
    else:
        place[last] = {"0": present, "1": text}
    return True


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {name: _with_lists(part) for name, part in value.items()}
    is_list = bool(parts) and all(str(position) in parts for position in range(len(parts)))
    return [parts[str(position)] for position in range(len(parts))] if is_list else parts
