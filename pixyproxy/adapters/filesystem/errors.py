"""Translates `OSError` to the domain's errors."""

import errno
from contextlib import ContextDecorator

from pixyproxy.domain.errors import ContentStoreError

_DETAILS = {
    errno.ENOSPC: "The content store is full.",
    errno.EDQUOT: "The content store is full.",
    errno.EFBIG: "The content is larger than the content store takes.",
    errno.ENOENT: "The content store's folder is missing.",
    errno.ENOTDIR: "The content store's folder is missing.",
    errno.EACCES: "The content store does not grant access.",
    errno.EPERM: "The content store does not grant access.",
    errno.EROFS: "The content store is read-only.",
    errno.EMFILE: "The content store has too many open files.",
    errno.ENFILE: "The content store has too many open files.",
}


class _Translation(ContextDecorator):
    """A class, since a generator-based context manager would cost as much as opening a file."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, OSError):
            error = ContentStoreError(_DETAILS.get(exc.errno or 0, "The content store does not work."))
            # Notes are for the operator, the detail for clients.
            for note in getattr(exc, "__notes__", ()):
                error.add_note(note)
            raise error from exc


_TRANSLATION = _Translation()


def translated_errors() -> _Translation:
    """Raise `ContentStoreError` for every `OSError`, with a detail that names no path."""
    return _TRANSLATION
