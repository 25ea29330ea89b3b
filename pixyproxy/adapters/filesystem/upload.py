"""Writing files into a content store."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pixyproxy.adapters.disk.folders import make_folder_within, sync_folder
from pixyproxy.adapters.filesystem.errors import translated_errors
from pixyproxy.domain.ports import ContentDigest

CLOSED = -1


class Upload:
    """One content on its way from a temporary file to its place; the methods block.

    They translate their own errors, and leave those of the chunks' source alone.
    """

    def __init__(self, temporary: Path, mode: int = 0o640) -> None:
        self.temporary = temporary
        self._mode = mode
        self._descriptor = CLOSED
        self._sha256 = hashlib.sha256()
        self._byte_size = 0

    @translated_errors()
    def begin(self) -> None:
        self._descriptor = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode)

    @translated_errors()
    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._sha256.update(chunk)
        self._byte_size += len(chunk)

    @translated_errors()
    def flush(self) -> ContentDigest:
        """Sync the bytes to the disk; nothing is visible yet."""
        os.fsync(self._descriptor)
        return ContentDigest(self._byte_size, self._sha256.hexdigest())

    @translated_errors()
    def commit(self, root: Path, path: Path) -> ContentDigest:
        """Move the complete content to `path` below `root`, replacing an earlier one."""
        digest = self.flush()
        make_folders(root, path.parent)
        self.temporary.replace(path)
        try:
            sync_folder(path.parent)
        except OSError:
            # Without the sync the content may not survive a power cut: don't show it.
            path.unlink()
            raise
        return digest

    @translated_errors()
    def discard(self) -> None:
        """Close and remove the temporary file; after a commit there is none."""
        if self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED
        self.temporary.unlink(missing_ok=True)


def make_folders(root: Path, folder: Path) -> None:
    """Create `folder` and its parents, but never `root`, and sync them."""
    for step in _steps(root, folder):
        make_folder_within(step)


def _steps(root: Path, folder: Path) -> Iterator[Path]:
    for part in folder.relative_to(root).parts:
        root /= part
        yield root
