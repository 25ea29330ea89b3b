"""Detecting machines that have vanished."""

import socket
from typing import Final

# A connection ends about 20 seconds after the machine at its other end has stopped answering, idle or not. The options
# differ between systems.
_OPTIONS: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 20_000}


def end_when_silent(connected: socket.socket) -> None:
    """Have the system end a TCP connection whose other machine is gone."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if option := getattr(socket, name, None):
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
