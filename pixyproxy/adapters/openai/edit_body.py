"""The body of an edit: a form (RFC 7578) with files that are read while they are sent.

The `openai` client would hold the files in memory, or read them on the event loop.
"""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    GenerationNotStartedError,
    ReferenceGoneError,
)
from pixyproxy.domain.ports import InputPicture, InputPictures

_NEW_LINE: Final = "\r\n"
# As browsers do (HTML, 4.10.21.8); all other characters are sent as UTF-8.
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class EditBody:
    """The form of one attempt, for the HTTP client to iterate over once.

    Takes the parameters, with values as in JSON, and the pictures, at least one. Each is opened when its turn comes.
    Files are sent under neutral names: the upload's name is the client's, and changes nothing about the result.

    Iterating raises a `GenerationError` for a picture that can't be read as a whole. OpenAI has no whole form, and so
    bills nothing, before `is_sent`.
    """

    def __init__(self, parameters: Mapping[str, Any], pictures: InputPictures) -> None:
        boundary = secrets.token_hex(16)
        self._fields = b"".join(_field(boundary, *pair) for pair in _pairs(parameters))
        self._files = list(_files(boundary, pictures))
        self._end = f"--{boundary}--{_NEW_LINE}".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        sizes = (len(file.head) + file.picture.content.byte_size + len(_NEW_LINE) for file in self._files)
        self.content_length = len(self._fields) + sum(sizes) + len(self._end)
        self.is_sent = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._fields
        for file in self._files:
            yield file.head
            async for chunk in _chunks(file):
                yield chunk
            yield _NEW_LINE.encode()
        self.is_sent = True
        yield self._end


class _File(msgspec.Struct, frozen=True, kw_only=True):
    head: bytes
    field: str
    picture: InputPicture


async def _chunks(file: _File) -> AsyncIterator[bytes]:
    """Yield the bytes of a picture; raise a `GenerationError` unless they are as many as were announced."""
    missing = file.picture.content.byte_size
    try:
        content = await file.picture.open()
        async for chunk in content.chunks:
            missing -= len(chunk)
            if missing < 0:
                break
            yield chunk
    except ContentNotFoundError as exc:
        raise ReferenceGoneError(f"{file.field} is gone; nothing was bought.", maybe_billed=False) from exc
    except ContentStoreError as exc:
        reason = f"{file.field} could not be read; nothing was bought."
        raise GenerationNotStartedError(reason, maybe_billed=False) from exc
    if missing:
        raise ReferenceGoneError(f"{file.field} is damaged; nothing was bought.", maybe_billed=False)


def _files(boundary: str, pictures: InputPictures) -> Iterator[_File]:
    for number, picture in enumerate(pictures.references):
        head = _file_head(boundary, "image[]", f"image-{number + 1}", picture.content.media_type)
        yield _File(head=head, field=f"references[{number}]", picture=picture)
    if pictures.mask is not None:
        head = _file_head(boundary, "mask", "mask", pictures.mask.content.media_type)
        yield _File(head=head, field="mask", picture=pictures.mask)


def _file_head(boundary: str, name: str, stem: str, media_type: MediaType) -> bytes:
    filename = f'filename="{stem}{media_type.extension}"'
    return _head(boundary, f'name="{name}"; {filename}{_NEW_LINE}Content-Type: {media_type}')


def _field(boundary: str, name: str, text: str) -> bytes:
    return _head(boundary, f'name="{name.translate(_ESCAPES)}"') + f"{text}{_NEW_LINE}".encode()


def _head(boundary: str, disposition: str) -> bytes:
    lines = [f"--{boundary}", f"Content-Disposition: form-data; {disposition}", "", ""]
    return _NEW_LINE.join(lines).encode()


def _pairs(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        yield from _flattened(name, value)


def _flattened(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the fields of a parameter as the `openai` client writes them, such as `svg[reasoning][effort]`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flattened(f"{name}[{key}]", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flattened(f"{name}[]", inner)
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif value is not None:
        yield name, str(value)
