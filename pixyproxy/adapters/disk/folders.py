"""Folders that keep data: who may look into them, and that they survive a power cut."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

# Its owner, and the group, such as that of a web server that sends the files.
DATA_MODE: Final = 0o750


def make_data_folder(folder: Path) -> None:
    """Make a folder for data, and those above it that are missing; raise `OSError`.

    What is made can be entered by its owner and its group alone, whatever the umask.
    """
    if not folder.is_dir():
        make_data_folder(folder.parent)
        _make(folder, DATA_MODE)


def make_folder_within(folder: Path) -> None:
    """Make a folder whose parent exists, with the same mode as that; raise `OSError`."""
    _make(folder, folder.parent.stat().st_mode)


def sync_folder(folder: Path) -> None:
    """Make the folder's new entries survive a power cut (fsync(2): the file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path, mode: int) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        # mkdir obeys the umask; what it takes from the parent, such as the bit that hands the group on, stays.
        folder.chmod(folder.stat().st_mode & ~0o777 | mode & 0o777)
    # Another process may have made the folder and not be done with this yet.
    sync_folder(folder.parent)
