"""A disk that reads slowly for one process: the block layer is told so by a control group (version 1, as root)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup/blkio")
_LIMIT: Final = "blkio.throttle.read_bps_device"


def is_possible() -> bool:
    """Whether this machine lets us do it."""
    return os.access(_GROUPS / _LIMIT, os.W_OK)


@contextmanager
def slow_disk(pid: int, folder: Path, *, bytes_per_second: int) -> Iterator[None]:
    """Let the process read from the disk that `folder` is on at this speed, and no faster."""
    group = _GROUPS / f"pixyproxy-{pid}"
    group.mkdir()
    try:
        (group / _LIMIT).write_text(f"{_disk_of(folder)} {bytes_per_second}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (_GROUPS / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _disk_of(folder: Path) -> str:
    """Return the number of the whole disk; a limit can't be set on a partition."""
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if (device / "partition").exists():
        device = device.parent
    return (device / "dev").read_text(encoding="ascii").strip()
