"""What the use cases need from the world; each docstring is the contract that the contract suite holds adapters to.

Every method may raise its port's error for a world that fails: `DBConnectionError` for repositories and schema,
`ContentStoreError` for the content store.
"""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import ContentInfo, ContentKey, Image, ImageId, ImageStatus, MediaType, Prompt, Tag
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagCount, TagFilter
from pixyproxy.domain.user import Password, PasswordHash, User, UserName
from pixyproxy.domain.variant import Variant, VariantName


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on an image: who has it, and for how many seconds from now, by the database's clock."""

    owner: str
    seconds: float


class DamagedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an image that breaks a rule of the domain: somebody else has written it."""

    guid: str


class RebuiltWords(msgspec.Struct, frozen=True):
    """The last of the images whose words were looked at, and of how many the words were others."""

    last: ImageId
    changed: int


class ImageRepository(Protocol):
    """Where image records live, with the leases of those that are being made and the keys they were asked for with.

    Leases and keys run out by the clock of the database, which all processes share.
    """

    @abstractmethod
    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        """Store a new image, its lease and the claim of a key, all of it or nothing; return the image with its id.

        Without a `lease` an image that is being made counts as abandoned. Raises `ConstraintViolationError` if the
        guid or the author's key is taken, and while the content of a deleted image with this guid may still be there.
        """

    @abstractmethod
    async def get(self, guid: UUID) -> Image:
        """Return the image in whatever state it is; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        """Store the state of an image, all of it or nothing: what its methods that return another state change.

        A final state ends the lease. Raises `ConstraintViolationError` when the stored image is not in the state
        `expected` (somebody else has changed it) or, with `if_abandoned`, when somebody holds a lease on it; and
        `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def change(self, image: Image, *, expected_version: int) -> None:
        """Store what `Image.changed` changes, all of it or nothing.

        Raises `ConstraintViolationError` when the stored image has another version (somebody else has changed it), and
        `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        """Store width and height of `content`, `image.updated_at` and a new version; return whether that was done.

        It is done only if the stored record has the SHA-256 of `content`, and the width and height of `image`.
        """

    @abstractmethod
    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        """Remove the record, and write down that its content is to be deleted, both or nothing.

        For `lease_seconds` the caller alone may do that. Raises what `change` raises.
        """

    @abstractmethod
    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        """Return the guids of at most `limit` deleted images whose content nobody is deleting, the smallest first.

        For `lease_seconds` the caller alone may do that.
        """

    @abstractmethod
    async def finish_deletion(self, guid: UUID) -> None:
        """Write down that the content of a deleted image is deleted, too."""

    @abstractmethod
    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        """Return the guids of at most `limit` deleted images whose content nobody is deleting, and change nothing."""

    @abstractmethod
    async def is_being_deleted(self, guid: UUID) -> bool:
        """Whether the image is deleted and its content may still be there."""

    @abstractmethod
    async def renew(self, guid: UUID, lease: Lease) -> None:
        """Let the lease run from now on, if `lease.owner` has it and the image is still being made."""

    @abstractmethod
    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        """Return at most `limit` images that are being made and whose lease is over, the oldest first.

        Records that are damaged are left out.
        """

    @abstractmethod
    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        """Return at most `limit` images that have become unknown since then, the latest first."""

    @abstractmethod
    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        """Return what the author has used the key for, or None if the key is unused or its time is over."""

    @abstractmethod
    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        """Remove the author's key, if it was used for the image with this guid."""

    @abstractmethod
    async def forget_expired_claims(self) -> int:
        """Remove the keys whose time is over and return how many there were."""

    @abstractmethod
    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        """Return at most `limit` records in whatever state, ordered by the texts of their guids, behind `after`."""

    @abstractmethod
    async def count(self) -> int:
        """Return how many images there are, in whatever state."""

    @abstractmethod
    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        """Return the first `limit` ready images, or fewer, that fit the filter and in that order come behind `after`.

        The filter names a visibility or an author.
        """

    @abstractmethod
    async def count_listed(self, wanted: ImageFilter) -> int:
        """Return how many images `list` could return; that takes longer the more there are."""

    @abstractmethod
    async def list_tags(
        self,
        wanted: TagFilter,
        *,
        limit: int,
        after: Tag | None = None,
        is_falling: bool = False,
    ) -> Sequence[TagCount]:
        """Return the first `limit` tags, or fewer, that fit the filter and come behind `after`.

        They are ordered by code points, rising or falling. The filter names a visibility or an author.
        """

    @abstractmethod
    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        """Let the words of at most `limit` images behind `after` be found that something else has stored without them.

        Returns the ids of these images, rising; none when there are none left.
        """

    @abstractmethod
    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltWords | None:
        """Index up to `limit` images after `after` as `terms_of` has it now, and leave those that are so already.

        Returns None behind the last image. A search meanwhile finds an image by its old words or by its new ones.
        """

    @abstractmethod
    async def check(self) -> None:
        """Return if the repository can answer; raise `DBConnectionError` if it can't."""


class SecretStore(Protocol):
    """Where the keys live that all processes on one database share."""

    @abstractmethod
    async def get(self, name: str) -> bytes:
        """Return the 32 random bytes of this name, the same to everybody who asks, made when somebody asks first."""


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


class StoredFile(Protocol):
    """A file that holds one content and nothing else, open for reading for as long as this object lives."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its path below the folder of the content store, with slashes."""

    @abstractmethod
    def fileno(self) -> int:
        """Return its descriptor."""


class StoredContent(msgspec.Struct, frozen=True):
    """Content on its way out: its size in bytes, and its chunks of at most 1 MiB, which can be read once.

    `file` is where a server may take the bytes from by itself, if there is such a file; `sha256` is that of all of the
    bytes, in hex, where the store knows it, as it does of variants.
    """

    byte_size: int
    chunks: AsyncIterator[bytes]
    file: StoredFile | None = None
    sha256: str | None = None


class ContentReceipt(msgspec.Struct, frozen=True):
    """What a content store has stored: the number of bytes and their SHA-256 in hex."""

    byte_size: int
    sha256: str


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in quarantine: its `name` there, the key it was kept under, and its size in bytes.

    The `key` is None for what a broken-off upload has left under a name without one.
    """

    name: str
    key: ContentKey | None
    byte_size: int


class ContentStore(Protocol):
    """Where content lives, and the variants made of it; all of each is visible, or nothing.

    Beside both is the quarantine: bytes that were paid for and can't be shown, or belong to no image. Nothing there is
    content, and no other method opens it.
    """

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
    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        """Return the content; raise `ContentNotFoundError` when there is none.

        `chunks` are its bytes from number `start` up to, but without, number `end`, and no others are read. `byte_size`
        and `file` are those of the whole content.
        """

    @abstractmethod
    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentReceipt | None:
        """Return the size and SHA-256 of a variant of the content, or None when there is none."""

    @abstractmethod
    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        """Return a variant of the content, with its SHA-256, as `open` does.

        Raises `ContentNotFoundError` when there is none.
        """

    @abstractmethod
    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        """Store a variant of the content as `put` does, whether the content itself is there or not."""

    @abstractmethod
    async def delete(self, key: ContentKey) -> None:
        """Remove the content, all its variants and what is in quarantine under `key`; raise `ContentStoreError`."""

    @abstractmethod
    async def delete_variants(self, key: ContentKey) -> None:
        """Remove all variants of the content, if there are any, and nothing else; raise `ContentStoreError`."""

    @abstractmethod
    async def check(self) -> None:
        """Return if content can be written; raise `ContentStoreError` if it can't."""

    @abstractmethod
    def keys(self) -> AsyncIterator[ContentKey]:
        """Yield the key of every content in the order of their texts, holding few of them at a time."""

    @abstractmethod
    def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        """Yield each key that has variants, in the order of their texts, whether there is a content or not."""

    @abstractmethod
    async def set_aside(self, key: ContentKey) -> None:
        """Move a content that can't be shown into quarantine, if it is there, and remove its variants."""

    @abstractmethod
    async def quarantine(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        """Store the chunks durably in quarantine under `key`, beside what is there already.

        When this raises, also because `chunks` does, nothing of them is there. Raises `ContentStoreError`, and what
        `chunks` raises as it is.
        """

    @abstractmethod
    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        """Return what is in quarantine, or what is there under `key`, ordered by name; nothing that is empty."""

    @abstractmethod
    async def open_quarantined(self, name: str) -> StoredContent:
        """Return one of `list_quarantine` as `open` does; raise `ContentNotFoundError` when there is none."""

    @abstractmethod
    async def delete_quarantined(self, name: str) -> None:
        """Remove one of `list_quarantine`, if it is still there; raise `ContentStoreError`."""

    @abstractmethod
    async def list_leftovers(self, *, older_than: timedelta) -> Sequence[str]:
        """Return the names of what uploads that broke off have left behind and nobody has touched for so long."""

    @abstractmethod
    async def set_leftover_aside(self, name: str) -> None:
        """Move one of `list_leftovers` into quarantine, if it is still there."""


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as a generator made it: a bitmap that can be drawn, or a well-formed SVG.

    `width` and `height` are its size in pixels as it is shown; that of an SVG is only the one it is meant for.
    `usage` is the generator's own account of what it spent, as JSON values, and `request_id` its name for the attempt.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    usage: Mapping[str, Any] | None = None
    request_id: str | None = None

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

    async def open(self) -> None:
        """Get ready to draw; called once, before a service begins.

        Raises `GeneratorSetupError` when nothing can ever be drawn with these settings.
        """
        return

    async def close(self) -> None:
        """Let go of connections and threads; called once at the end."""
        return


class ContentInspector(Protocol):
    """What tells from the bytes alone what an image is."""

    @abstractmethod
    async def inspect(self, content: StoredContent) -> ContentInfo:
        """Read the content to its end and describe it, without holding up the event loop.

        Width and height are those of the picture as it is shown. Raises `DamagedContentError` for anything of which
        browsers show nothing; whatever is left can be drawn by a `VariantMaker`, unless it is an SVG.
        """

    @abstractmethod
    def is_turned(self, head: bytes) -> bool | None:
        """Whether the EXIF data of a picture that begins with these bytes turns it on its side.

        So it is shown, unless it is a WebP, and so may records of other programs have its sides. None if that can't be
        told from so few bytes. Decodes nothing.
        """


class VariantMaker(Protocol):
    """What makes variants of pictures."""

    @abstractmethod
    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        """Read the content to its end and return it as `variant`, without holding up the event loop.

        Nothing private that the content says about its origin (EXIF, XMP, comments) is kept. Of a moving picture the
        first frame is taken; of a damaged one as much as can be shown. Raises `DamagedContentError` for content that a
        `ContentInspector` refuses, and for an SVG that can't be drawn.
        """

    async def close(self) -> None:
        """Let go of threads and processes; called once at the end."""
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
    """Which logins were verified lately, so that each request need not cost a password hash."""

    @abstractmethod
    def remember(self, name: UserName, password: str, address: str | None = None) -> None:
        """Remember that `password` was verified as that of `name`, from `address`; never keep it in the clear."""

    @abstractmethod
    def recall(self, name: UserName, password: str) -> bool:
        """Whether this name and password were verified together so lately that they need not be verified again.

        Recalling does not lengthen that time.
        """

    @abstractmethod
    def was_right(self, name: UserName, password: str) -> bool:
        """Whether this name and password were verified together within a day; they may be wrong by now."""

    @abstractmethod
    def is_familiar(self, name: UserName, address: str) -> bool:
        """Whether a login of `name` from `address` was verified within a day."""

    @abstractmethod
    def forget(self, name: UserName, password: str) -> None:
        """Forget that this name and password were right."""


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


class UpgradeProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one data upgrade has come: all up to `position` is done, and all of it at `finished_at`, in UTC.

    `position` is empty at the beginning; what it means, the upgrade alone knows.
    """

    position: str = ""
    finished_at: datetime | None = None


class DataUpgrades(Protocol):
    """Where the progress of data upgrades is kept: changes of stored records that a schema script can't make.

    An upgrade is a `pixyproxy.application.upgrade_data.DataUpgrade`: it works in batches, each of which may be done
    twice, and `UpgradeData` writes its position down behind each. So it goes on where it was when a process is killed,
    and several processes may work on it at once. To add one, write a `DataUpgrade` with a new name, and name it in
    `container.data_upgrades`. A name is never used again: what was upgraded under it once counts as finished.
    """

    @abstractmethod
    async def get(self, name: str) -> UpgradeProgress:
        """Return how far the upgrade of this name, at most 64 ASCII characters, has come."""

    @abstractmethod
    async def advance(self, name: str, position: str, *, expected: str) -> None:
        """Store a position, at most 64 ASCII characters, if the stored one is `expected`; otherwise change nothing."""

    @abstractmethod
    async def finish(self, name: str) -> None:
        """Store that the upgrade is finished; a time that is stored already stays."""


class ImageArchiveWriter(Protocol):
    """Where images are exported to, one after the other; every method may raise `ArchiveError`."""

    async def prepare(self) -> "ArchiveProblem | None":
        """Make what the archive needs, such as its folder; called once at the start.

        Returns what the operator should know of the place, such as that others may write to it.
        """
        return None

    @abstractmethod
    async def has(self, image: Image) -> bool:
        """Whether an earlier export has written this image, with exactly these fields and content of its size.

        False for an archive that can't be looked into.
        """

    @abstractmethod
    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        """Write an image, and its content if it has any, replacing what an earlier export has written of it.

        Raises what `chunks` raises as it is; then the archive is as if this had not been called.
        """

    async def finish(self) -> None:
        """Write what tells a whole archive from one that breaks off; called once at the end, unless something fails."""
        return


class ArchivedImage(msgspec.Struct, frozen=True):
    """An image as an archive has it, and its content if it has any, to be read before the next image is asked for."""

    image: Image
    content: StoredContent | None = None


class ArchiveProblem(msgspec.Struct, frozen=True):
    """What is wrong with one thing of an archive: its name there, which may hold anything, and a sentence."""

    name: str
    detail: str


class ImageArchiveReader(Protocol):
    """Where images are imported from."""

    @abstractmethod
    def images(self) -> AsyncIterator[ArchivedImage | ArchiveProblem]:
        """Yield every image, and a problem for whatever is none, holding few of them at a time.

        Nothing is promised of the content but that it is there. Raises `ArchiveError` when it can't go on, also for an
        archive that breaks off.
        """

    @property
    @abstractmethod
    def progress(self) -> float | None:
        """How much of the archive has been read, from 0 to 1, or None if nobody can tell."""
