"""The variants of one content, in a folder."""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pixyproxy.adapters.disk.folders import sync_folder
from pixyproxy.adapters.filesystem.download import Download
from pixyproxy.adapters.filesystem.errors import translated_errors
from pixyproxy.adapters.filesystem.upload import Upload, make_folders
from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.ports import ContentDigest
from pixyproxy.domain.variant import VariantName

# A retry is needed only when another process does the opposite at the same moment.
ATTEMPTS: Final = 20

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class VariantFolder:
    """The folder with the variants of one content; its methods block.

    `name` is its path below `root`. A variant is a file with its name, a dot and the SHA-256 of its bytes in hex, so
    that bytes and digest appear and vanish in one step. While a variant is replaced, it has several files for a moment:
    the last modified one counts.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        self._path = root / name

    def find(self, name: VariantName) -> tuple[str, ContentDigest] | None:
        """Return the path of the variant's file below the root and its digest, or None when there is none."""
        for file in self._current(name):
            digest = digest_of(self._root, file)
            if digest is not None:
                return file, digest
        return None

    def open(self, name: VariantName) -> Download:
        """Open the variant's file; raise `ContentNotFoundError` when there is none."""
        for file in self._current(name):
            with suppress(ContentNotFoundError):
                return Download(self._root, file)
        raise ContentNotFoundError("The variant is missing.")

    @translated_errors()
    def put(self, name: VariantName, upload: Upload) -> ContentDigest:
        """Move a complete variant to its place, replacing an earlier one."""
        digest = upload.flush()
        path = self._path / f"{name}.{digest.sha256}"
        try:
            self._take(upload, name, path)
        except OSError:
            with suppress(OSError):
                self._path.rmdir()
            raise
        files = self._files(name)
        newest = self._newest(files)
        for file in files:
            # A file that stays does not count, and the next put removes it.
            with suppress(OSError):
                if file != newest:
                    (self._path / file).unlink()
        return digest

    @translated_errors()
    def remove(self) -> None:
        """Remove the folder and its files, if it exists."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._empty()
                self._path.rmdir()
            except FileNotFoundError:
                return
            except OSError as exc:
                # A new variant may have arrived since.
                if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST} or attempt == ATTEMPTS:
                    raise
            else:
                return

    def _take(self, upload: Upload, name: VariantName, path: Path) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                make_folders(self._root, self._path)
                self._date(upload.temporary, name)
                upload.temporary.replace(path)
            except FileNotFoundError:
                # The folder may have been removed together with its content.
                if attempt == ATTEMPTS:
                    raise
            else:
                break
        try:
            sync_folder(self._path)
        except FileNotFoundError:
            # The folder was removed together with the new variant.
            return
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _date(self, temporary: Path, name: VariantName) -> None:
        """Set a file's time later than that of all files it replaces, whatever the clock says."""
        latest = max((_modified(self._path / file) for file in self._files(name)), default=0)
        now = max(time.time_ns(), latest + 1)
        os.utime(temporary, ns=(now, now))

    def _current(self, name: VariantName) -> Iterator[str]:
        """Yield the variant's file, and its successor each time it was replaced."""
        for _ in range(ATTEMPTS):
            with translated_errors():
                newest = self._newest(self._files(name))
            if newest is None:
                return
            yield f"{self._name}/{newest}"

    def _files(self, name: VariantName) -> Sequence[str]:
        try:
            files = os.listdir(self._path)  # noqa: PTH208 -- names are all that is wanted
        except FileNotFoundError:
            return ()
        prefix = f"{name}."
        named = [file for file in files if file.startswith(prefix) and _SHA256.fullmatch(file, len(prefix))]
        return [file for file in named if not _is_no_file(self._path / file)]

    def _newest(self, files: Sequence[str]) -> str | None:
        if len(files) > 1:
            return max(files, key=lambda file: (_modified(self._path / file), file))
        return files[0] if files else None

    def _empty(self) -> None:
        # A link in place of the folder would lead elsewhere.
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for file in os.listdir(folder):  # noqa: PTH208 -- a path could be made to lead elsewhere
                with suppress(FileNotFoundError):
                    try:
                        os.unlink(file, dir_fd=folder)
                    except IsADirectoryError:
                        # File servers create folders of their own here.
                        shutil.rmtree(file, dir_fd=folder)
        finally:
            os.close(folder)


def digest_of(root: Path, file: str) -> ContentDigest | None:
    """Return the digest of a variant's file, or None when it is gone."""
    with translated_errors():
        try:
            status = os.stat(f"{root}/{file}", follow_symlinks=False)  # noqa: PTH116 -- a path costs more than the call
        except FileNotFoundError:
            return None
    return ContentDigest(status.st_size, sha256_of(file)) if stat.S_ISREG(status.st_mode) else None


def sha256_of(file: str) -> str:
    """Return the SHA-256 that a variant's file has in its name."""
    return file.rpartition(".")[2]


def _is_no_file(path: Path) -> bool:
    """Whether the path exists and is no regular file, such as a link."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _modified(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0
