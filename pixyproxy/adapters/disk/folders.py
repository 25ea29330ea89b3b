"""Folders for data: their modes, and syncing them to the disk."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

# The owner, and the group: often the web server that sends the files.
DATA_MODE: Final = 0o750


def make_data_folder(folder: Path) -> None:
    """Create a folder for data and its missing parents; raise `OSError`.

    Only the owner and the group can enter it, whatever the umask.
    """
    if not folder.is_dir():
        make_data_folder(folder.parent)
        _make(folder, DATA_MODE)


def make_folder_within(folder: Path) -> None:
    """Create a folder with the mode of its parent, which must exist; raise `OSError`."""
    _make(folder, folder.parent.stat().st_mode)


def sync_folder(folder: Path) -> None:
    """Sync the folder's entries to the disk: fsync(2) of a file does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path, mode: int) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        # mkdir obeys the umask; keep the bits inherited from the parent, such as setgid.
        folder.chmod(folder.stat().st_mode & ~0o777 | mode & 0o777)
    # Another process may have created the folder without having synced it yet.
    sync_folder(folder.parent)
