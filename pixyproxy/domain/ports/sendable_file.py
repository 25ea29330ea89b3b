"""An optional capability of content stores: content that a server can send as a file."""

from abc import abstractmethod
from typing import Protocol


class SendableFile(Protocol):
    """A file with one whole content, open for reading for as long as this object lives.

    A server sends it without reading it (`sendfile`), or tells a web server in front its name. A store that keeps
    content elsewhere sets no `StoredContent.file`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its path below the folder of the content store, with slashes."""

    @abstractmethod
    def fileno(self) -> int:
        """Return its descriptor."""
