"""What goes wrong between PixyProxy and an archive of exported images."""

from pixyproxy.domain.errors import PixyProxyException


class ArchiveError(PixyProxyException):
    """The archive can't be read or written: a full disk, missing rights, a tar that breaks off.

    It is of the command line alone; no request meets it.
    """
