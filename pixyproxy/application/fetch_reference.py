"""Use case: fetch a reference."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pixyproxy.application.store_upload import StoreUpload
from pixyproxy.domain.errors import DataValidationError, PictureUnavailableError
from pixyproxy.domain.ports import PictureSource
from pixyproxy.domain.reference import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReference:
    """Fetch a picture that a client names by URL, and store it as if the client had uploaded it.

    Takes the URL and the `field` that errors name. Returns the upload, which is held as `StoreUpload` says; its file
    name is the last segment of the URL's path. Check first whether the client may upload (`AdmitUploads`).

    Raises `DataValidationError` for a URL that can't be fetched, and what `StoreUpload` raises. After an error nothing
    is kept.
    """

    picture_source: PictureSource
    store_upload: StoreUpload

    async def __call__(self, url: str, *, field: str = "references") -> Upload:
        try:
            async with self.picture_source.open(url) as chunks:
                return await self.store_upload(chunks, filename=_filename(url), field=field)
        except PictureUnavailableError as exc:
            raise DataValidationError(field, f"can't be fetched: {exc.detail}") from exc


def _filename(url: str) -> str | None:
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return unquote(path)
