"""Blocking file calls, in worker threads and with the domain's errors."""

import asyncio
import errno
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from pixyproxy.domain.archive import ArchiveError

# Bytes per read.
CHUNK_SIZE: Final = 256 * 1024

P = ParamSpec("P")
T = TypeVar("T")

_DETAILS: Final = {
    errno.ENOSPC: "There is no space left for the archive.",
    errno.EDQUOT: "There is no space left for the archive.",
    errno.EFBIG: "The archive is larger than the file system takes.",
    errno.ENOENT: "The archive, or a part of it, is missing.",
    errno.ENOTDIR: "The archive is not a folder.",
    errno.ELOOP: "The archive is a link, or has a link in place of a folder; links are not followed.",
    errno.EEXIST: "The archive is not a folder.",
    errno.EACCES: "The archive does not grant access.",
    errno.EPERM: "The archive does not grant access.",
    errno.EROFS: "The archive is read-only.",
    errno.EPIPE: "The archive's reader has closed the pipe.",
}


async def to_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a worker thread; raise `ArchiveError` for every `OSError`."""
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as exc:
        raise ArchiveError(_DETAILS.get(exc.errno or 0, "The archive can't be read or written.")) from exc
