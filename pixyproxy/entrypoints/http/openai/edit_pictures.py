"""The pictures of edits as JSON: `data:` URLs, and others that the operator allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pixyproxy.application import FetchReference, StoreUpload
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT, Upload
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.images.forms import FormUploads
from pixyproxy.entrypoints.http.openai.data_urls import data_url_chunks, is_data_url
from pixyproxy.entrypoints.http.openai.edit_forms import IMAGE, MASK

_IMAGES: Final = "images"
_RULE: Final = "must be a data: URL such as data:image/png;base64,…, or an http or https URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPictures:
    """Stores the pictures of an edit as JSON."""

    store_upload: StoreUpload
    fetch_reference: FetchReference

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the one of the container."""
        return cls(store_upload=container.store_upload(), fetch_reference=container.fetch_reference())

    async def store(self, values: Mapping[str, Any], uploads: FormUploads) -> None:
        """Store the pictures in the fields `images` or `image`, and `mask`, as `uploads`.

        Raises `DataValidationError` for fields and URLs that are none, before it stores anything, and the errors of
        `StoreUpload` and `FetchReference`.
        """
        urls = [_url(picture, IMAGE) for picture in _pictures(values)]
        mask = None if values.get(MASK) is None else _url(values[MASK], MASK)
        for position, url in enumerate(urls):
            uploads.references[position] = await self._stored(url, IMAGE)
        if mask is not None:
            uploads.mask = await self._stored(mask, MASK)

    async def _stored(self, url: str, field: str) -> Upload:
        if is_data_url(url):
            return await self.store_upload(data_url_chunks(url, field=field), filename=None, field=field)
        return await self.fetch_reference(url, field=field)


def _pictures(values: Mapping[str, Any]) -> Sequence[object]:
    named = [value for name in (_IMAGES, IMAGE) if (value := values.get(name)) not in (None, [], "")]
    if len(named) > 1:
        raise DataValidationError(IMAGE, "must not be there beside `images`")
    pictures = named[0] if named else []
    if not isinstance(pictures, list):
        pictures = [pictures]
    if len(pictures) > REFERENCES_MAX_COUNT:
        raise DataValidationError(IMAGE, f"must be at most {REFERENCES_MAX_COUNT}, not {len(pictures):,}")
    return pictures


def _url(picture: object, field: str) -> str:
    if isinstance(picture, dict):
        if picture.get("file_id") is not None:
            raise DataValidationError(
                field, f"can't be a `file_id`, since there are no files here: `image_url` {_RULE}"
            )
        picture = picture.get("image_url")
    if not isinstance(picture, str) or not (is_data_url(picture) or picture.lower().startswith(("http:", "https:"))):
        raise DataValidationError(field, _RULE)
    return picture
