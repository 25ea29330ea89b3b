"""Where pictures at URLs come from."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class PictureSource(Protocol):
    """Where pictures are fetched that a client names by URL.

    The URL is the client's: an adapter decides which it fetches, and connects to no private network unless the operator
    names it.
    """

    @abstractmethod
    def open(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open what is at a URL, and return a context with its bytes in chunks of at most 1 MiB, to be read once.

        The bytes may be anything, and without end: bound what you read, and inspect it. The time is bounded. Leaving
        the context ends the transfer.

        Raises `PictureUnavailableError` when the context is entered and while the bytes are read.
        """
