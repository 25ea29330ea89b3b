"""The ledger of uploads."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the database knows of the upload with this SHA-256.

    `is_listed` says whether it is in the ledger, `is_used` whether an image refers to it, and `is_held` whether it is
    kept without one.
    """

    sha256: str
    is_listed: bool
    is_used: bool
    is_held: bool


class Uploads(Protocol):
    """The ledger of uploads: which are stored, which are held for an image to come, and which are being deleted.

    An upload is named by its SHA-256 in hex. `ImageRepository.add` refuses an image whose uploads are not listed here,
    or are being deleted. Times are those of the database's clock, which all processes share.
    """

    @abstractmethod
    async def hold(self, sha256: str, *, seconds: float) -> None:
        """List the upload, and keep it for at least `seconds`, until each `hold` has its `release`.

        Raises `ConstraintViolationError` while another process is deleting it.
        """

    @abstractmethod
    async def release(self, sha256: str) -> None:
        """End one hold."""

    @abstractmethod
    async def claim_unused(self, *, limit: int, lease_seconds: float) -> Sequence[str]:
        """Claim up to `limit` uploads that no image refers to and nothing holds, to delete them in `lease_seconds`."""

    @abstractmethod
    async def finish_unused(self, sha256: str) -> None:
        """Remove a claimed upload, whose bytes are deleted, from the ledger."""

    @abstractmethod
    async def scan_uploads(self, *, after: str = "", limit: int) -> Sequence[UploadRecord]:
        """Return up to `limit` uploads after `after`, listed or referred to, ordered by SHA-256."""
