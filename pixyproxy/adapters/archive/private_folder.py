"""A folder for its owner alone."""

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
    """A folder into which files are written that only their owner may read, whatever the umask.

    Everything is reached from the folder's descriptor and no link is followed, so that no user who may write to the
    folder, or to the one above, can lead it elsewhere. The methods block and raise `OSError`.
    """

    def __init__(self, descriptor: int, *, is_shared: bool = False) -> None:
        self._descriptor = descriptor
        self.is_shared = is_shared
        """Whether others than its owner may write to it, so that they can remove and replace what is there."""

    @classmethod
    def make(cls, path: Path) -> Self:
        """Open the folder, and make it and those above it if they are missing.

        The mode of one that is there stays as it is: it may be anybody's, such as `/tmp`.
        """
        above = path.parent
        if not above.is_dir():
            cls.make(above).close()
        with suppress(FileExistsError):
            _make(str(path))
            sync_folder(above)
        return cls._open(str(path))

    def folder(self, name: str) -> "PrivateFolder":
        """Open the folder of this name in here, made if it is missing, and let its owner alone into it."""
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
        """Let the owner alone into the folder; raise `PermissionError` for another user's."""
        os.fchmod(self._descriptor, FOLDER_MODE)

    def create(self, name: str) -> BinaryIO:
        """Open a new file for writing; raise `FileExistsError` for a name that is taken, also by a link."""
        return open(name, "xb", opener=self._open_for_owner)

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> None:
        """Write a new file, all of it or nothing; raise `FileExistsError` for a name that is taken.

        Raises what `chunks` raises as it is.
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
        """Move a file to another name in here, in place of what is there."""
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
        """Return how many seconds ago something was written to, 0 for what is not there."""
        status = self._status(name)
        return 0.0 if status is None else now - status.st_mtime

    def names(self) -> list[str]:
        """Return the names of everything in here."""
        return os.listdir(self._descriptor)  # noqa: PTH208 -- it has no path

    def sync(self) -> None:
        """Make the folder's new entries survive a power cut (fsync(2): the file's own fsync does not)."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the folder; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close

    @classmethod
    def _open(cls, path: str, above: int | None = None) -> Self:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        except NotADirectoryError as exc:
            # Linux says the same of a link and of a file.
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
    # An odd umask takes rights from the owner, too; then only a descriptor of this kind can be had.
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(FOLDER_MODE)
    finally:
        os.close(descriptor)
