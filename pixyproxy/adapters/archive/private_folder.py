"""Folders that only their owner can read."""

import errno
import os
import stat
from collections.abc import AsyncIterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from pixyproxy.adapters.disk.folders import sync_folder

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class PrivateFolder:
    """A folder for files that only their owner can read, whatever the umask.

    Works relative to the folder's descriptor and follows no links, so that other users with write access to the folder
    or its parent can't redirect it. The methods block and raise `OSError`.
    """

    def __init__(self, descriptor: int, *, is_shared: bool = False) -> None:
        self._descriptor = descriptor
        self.is_shared = is_shared
        """Whether other users may write to it, and so remove and replace its files."""

    @classmethod
    def make(cls, path: Path) -> Self:
        """Open the folder; create it and its parents if they are missing.

        Leaves the mode of an existing folder alone: it may be shared, as `/tmp` is.
        """
        above = path.parent
        if not above.is_dir():
            cls.make(above).close()
        with suppress(FileExistsError):
            _make(str(path))
            sync_folder(above)
        return cls._open(str(path))

    def folder(self, name: str) -> "PrivateFolder":
        """Open the subfolder `name`, create it if it is missing, and restrict it to its owner."""
        with suppress(FileExistsError):
            _make(name, self._descriptor)
        made = self._open(name, self._descriptor)
        try:
            made.shut_others_out()
            self.sync()
        except OSError:
            made.close()
            raise
        return made

    def shut_others_out(self) -> None:
        """Restrict the folder to its owner; raise `PermissionError` if it belongs to another user."""
        os.fchmod(self._descriptor, FOLDER_MODE)

    def create(self, name: str) -> BinaryIO:
        """Open a new file for writing; raise `FileExistsError` if the name is taken, even by a link."""
        return open(name, "xb", opener=self._open_for_owner)

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> None:
        """Write a new file, all or nothing; raise `FileExistsError` if the name is taken.

        Passes on the errors of `chunks`.
        """
        file = self.create(name)
        try:
            with file:
                async for chunk in chunks:
                    file.write(chunk)
        except BaseException:
            self.unlink(name)
            raise

    def replace(self, name: str, target: str) -> None:
        """Rename a file, replacing the target."""
        os.replace(name, target, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def unlink(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return at most `limit` bytes of a file; None if it is missing or not a regular file."""
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor
            )
        except OSError as exc:
            if exc.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
                return None
            raise
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if it is missing or not a regular file."""
        status = self._status(name)
        return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None

    def age(self, name: str, now: float) -> float:
        """Return the seconds since the file was last written to, 0 if it is missing."""
        status = self._status(name)
        return 0.0 if status is None else now - status.st_mtime

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return os.listdir(self._descriptor)  # noqa: PTH208 -- it has no path

    def sync(self) -> None:
        """Make the folder's new entries survive a power cut (fsync(2): the file's own fsync does not)."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the folder; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close

    @classmethod
    def _open(cls, path: str, above: int | None = None) -> Self:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        except NotADirectoryError as exc:
            # Linux reports links and files alike.
            if stat.S_ISLNK(os.stat(path, dir_fd=above, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from exc
            raise
        return cls(descriptor, is_shared=bool(os.fstat(descriptor).st_mode & (stat.S_IWGRP | stat.S_IWOTH)))

    def _open_for_owner(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE, dir_fd=self._descriptor)
        os.fchmod(descriptor, FILE_MODE)
        return descriptor

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None


def _make(path: str, above: int | None = None) -> None:
    os.mkdir(path, FOLDER_MODE, dir_fd=above)
    # With an odd umask even the owner can't open the folder, except with O_PATH.
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(FOLDER_MODE)
    finally:
        os.close(descriptor)
