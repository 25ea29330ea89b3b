"""References and masks: the pictures that go into a generation."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Self
from uuid import UUID

import msgspec

from pixyproxy.domain.content import ContentInfo, ContentKey, MediaType
from pixyproxy.domain.errors import ConstraintViolationError, DataValidationError
from pixyproxy.domain.text import ensure_label

REFERENCES_MAX_COUNT: Final = 16

UPLOAD_FILENAME_MAX_LENGTH: Final = 255

REFERENCE_MEDIA_TYPES: Final = frozenset({MediaType.PNG, MediaType.JPEG, MediaType.WEBP})
"""What the OpenAI reference takes as `image` of an edit."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that a client uploaded as a reference or mask: its name there, and a description of its bytes.

    The bytes are kept once, under their SHA-256, however many images refer to them.
    """

    filename: str
    content: ContentInfo

    @property
    def key(self) -> ContentKey:
        """The key of the bytes in the store of uploads."""
        return upload_key_of(self.content.sha256)

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a field that breaks a rule."""
        ensure_label("filename", self.filename, UPLOAD_FILENAME_MAX_LENGTH)
        self.content.ensure_valid()


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture that goes into a generation: the content of the image `guid`, or an `upload`."""

    guid: UUID | None = None
    upload: Upload | None = None

    @classmethod
    def to_image(cls, guid: UUID) -> Self:
        """Return the reference to an image of PixyProxy."""
        return cls(guid=guid)

    @classmethod
    def to_upload(cls, upload: Upload) -> Self:
        """Return the reference to an upload."""
        return cls(upload=upload)

    def ensure_valid(self, field: str) -> None:
        """Raise `DataValidationError` for `field` unless this is one image or one valid upload."""
        if (self.guid is None) == (self.upload is None):
            raise DataValidationError(field, "must be the guid of an image, or an upload")
        if self.upload is not None:
            self.upload.ensure_valid()


def upload_filename(name: str | None) -> str | None:
    """Return a client's name of a file as it is kept, without folders and control characters; None if none is left."""
    last = re.split(r"[/\\]", name or "")[-1].encode("utf-8", "replace").decode()
    kept = "".join(character for character in last if character.isprintable())
    return kept.strip()[:UPLOAD_FILENAME_MAX_LENGTH].strip() or None


def upload_key_of(sha256: str) -> ContentKey:
    """Return the key of an upload's bytes in the store of uploads."""
    return ContentKey(sha256)


def uploads_in(pictures: Iterable[Reference]) -> Sequence[str]:
    """Return the SHA-256s of the uploads among the pictures of a request, each once, in order."""
    return sorted({picture.upload.content.sha256 for picture in pictures if picture.upload is not None})


def upload_contents_in(pictures: Iterable[Reference]) -> Sequence[ContentInfo]:
    """Return the contents of the uploads among the pictures of a request, each once, in order."""
    return list(dict.fromkeys(picture.upload.content for picture in pictures if picture.upload is not None))


def upload_gone() -> ConstraintViolationError:
    """Return the error for an image that refers to an upload that is not kept any more."""
    return ConstraintViolationError("An upload that the image refers to is not kept any more: upload it again.")


def upload_being_deleted() -> ConstraintViolationError:
    """Return the error for an upload of bytes that another process is deleting."""
    return ConstraintViolationError("The same upload, of an earlier image, is just being deleted.")
