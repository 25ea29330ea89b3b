"""What the use cases need from the world; each docstring is the contract that the contract suite holds adapters to.

Every method may raise its port's error for a world that fails: `DBConnectionError` for repositories and schema,
`ContentStoreError` for the content store.
"""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.image import ContentKey, Image, ImageCursor, ImageStatus, MediaType, Prompt
from pixyproxy.domain.user import Password, PasswordHash, User, UserName


class ImageRepository(Protocol):
    """Where image records live."""

    @abstractmethod
    async def add(self, image: Image) -> Image:
        """Store a new image and return it with its id; raise `ConstraintViolationError` if its guid is taken."""

    @abstractmethod
    async def get(self, guid: UUID) -> Image:
        """Return the image in whatever state it is; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        """Store the state of an image: status, filename, content, usage, failure, updated_at; all of it or nothing.

        Raises `ConstraintViolationError` when the stored image is not in the state `expected` (somebody else has
        changed it), and `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def list_public(self, *, limit: int, after: ImageCursor | None = None) -> Sequence[Image]:
        """Return at most `limit` ready public images behind `after`, ordered by created_at and guid, both falling."""

    @abstractmethod
    async def list_authored_by(
        self, author: UserName, *, limit: int, after: ImageCursor | None = None
    ) -> Sequence[Image]:
        """Return at most `limit` ready images of `author`, public and private, in the order of `list_public`."""

    @abstractmethod
    async def check(self) -> None:
        """Return if the repository can answer; raise `DBConnectionError` if it can't."""


class UserRepository(Protocol):
    """Where users live; names are compared exactly, character by character."""

    @abstractmethod
    async def add(self, user: User) -> User:
        """Store a new user and return it with its id; raise `ConstraintViolationError` if the name is taken."""

    @abstractmethod
    async def get(self, name: UserName) -> User:
        """Return the user; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        """Store another password hash of a user and nothing else; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def disable(self, name: UserName) -> None:
        """Store that a user is disabled and nothing else; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def list(self) -> Sequence[User]:
        """Return all users, ordered by name (by code point)."""


class StoredContent(msgspec.Struct, frozen=True):
    """Content on its way out: its size in bytes, and its chunks of at most 1 MiB, which can be read once."""

    byte_size: int
    chunks: AsyncIterator[bytes]


class ContentReceipt(msgspec.Struct, frozen=True):
    """What a content store has stored: the number of bytes and their SHA-256 in hex."""

    byte_size: int
    sha256: str


class ContentStore(Protocol):
    """Where content lives; all of a content is visible under its key, or nothing."""

    async def prepare(self) -> None:
        """Make what the store needs, such as its folder; called once at the start; raise `ContentStoreError`."""
        return

    @abstractmethod
    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        """Store the chunks durably under `key`, replacing what was there.

        When this raises, also because `chunks` does, what was there before is still there and nothing else is. Only a
        cancellation may come too late, when the whole content is in its place already. Raises `ContentStoreError`,
        and what `chunks` raises as it is.
        """

    @abstractmethod
    async def open(self, key: ContentKey) -> StoredContent:
        """Return the content; raise `ContentNotFoundError` when there is none."""

    @abstractmethod
    async def delete(self, key: ContentKey) -> None:
        """Remove the content, if it is there; raise `ContentStoreError`."""

    @abstractmethod
    async def check(self) -> None:
        """Return if content can be written; raise `ContentStoreError` if it can't."""


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A whole, decodable bitmap as a generator made it, with its size in pixels.

    `usage` is the generator's own account of what it spent, as JSON values.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    usage: Mapping[str, Any] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most 1 MiB."""
        for start in range(0, len(self.data), 1 << 20):
            yield self.data[start : start + (1 << 20)]


class ImageGenerator(Protocol):
    """What turns a prompt into content."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the model that draws, at most 255 characters."""

    @abstractmethod
    async def generate(self, prompt: Prompt) -> GeneratedImage:
        """Draw one image, without holding up the event loop; raise a `GenerationError` when none comes out."""

    async def close(self) -> None:
        """Let go of connections and threads; called once at the end."""
        return


class PasswordHasher(Protocol):
    """What turns passwords into hashes that can't be turned back.

    May raise `OverloadedError` when too many are asked for at once.
    """

    @abstractmethod
    async def hash(self, password: Password) -> PasswordHash:
        """Return a salted hash in the PHC string format, without holding up the event loop."""

    @abstractmethod
    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        """Whether `password_hash` was made from `password`; false for a hash that is malformed."""

    @property
    @abstractmethod
    def decoy(self) -> PasswordHash:
        """A hash that no password fits and whose verification costs what any other costs."""


class VerifiedLogins(Protocol):
    """Which logins were verified a short time ago, so that each request need not cost a password hash."""

    @abstractmethod
    def remember(self, name: UserName, password: str) -> None:
        """Remember for a short time that `password` is the one of `name`, and never keep it in the clear."""

    @abstractmethod
    def recall(self, name: UserName, password: str) -> bool:
        """Whether this name and password were remembered together and the time is not over."""


class Clock(Protocol):
    """What time it is."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time in UTC, to the microsecond."""


class GuidSource(Protocol):
    """Where guids come from."""

    @abstractmethod
    def new(self) -> UUID:
        """Return a guid that nobody has seen or can guess."""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One schema script: its number, its name, and when it was applied to this database, in UTC, or None."""

    version: int
    name: str
    applied_at: datetime | None


class Schema(Protocol):
    """The shape of the database: numbered scripts, each applied once and in order."""

    @abstractmethod
    async def status(self) -> Sequence[Migration]:
        """Return every script in the order of its number, changing nothing."""

    @abstractmethod
    async def upgrade(self) -> Sequence[Migration]:
        """Apply the missing scripts and return those that this call applied.

        Safe when several processes call it at once: one applies, the others wait and find nothing left to do.
        """
