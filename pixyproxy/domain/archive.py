"""Errors of archives."""

from pixyproxy.domain.errors import PixyProxyException


class ArchiveError(PixyProxyException):
    """The archive can't be read or written: a full disk, missing rights, a truncated tar.

    Raised on the command line only, never for a request.
    """
