"""Factories of domain objects that are valid by the domain's rules and otherwise random."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from polyfactory import Use
from polyfactory.decorators import post_generated
from polyfactory.factories.msgspec_factory import MsgspecFactory

from pixyproxy.domain.api_key import APIKey, KeyScope, digest_of, make_key_secret
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo, filename_for
from pixyproxy.domain.errors import GenerationRefusedError, GenerationTimedOutError
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import OUTPUT_FORMATS, GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.session import Session
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import PasswordHash, User, UserName


def _make_usage() -> dict[str, Any]:
    return {
        "total_tokens": ContentInfoFactory.__random__.randint(1, 10_000),
        "input_tokens_details": {"text_tokens": 7},
    }


def _make_options() -> dict[str, Any]:
    random = ContentInfoFactory.__random__
    options = {
        "model": "gpt-image-2",
        "size": f"{random.randint(16, 4_096)}x{random.randint(16, 4_096)}",
        "quality": "high",
        "background": "opaque",
        "output_format": random.choice(list(OUTPUT_FORMATS)),
        "output_compression": random.randint(0, 100),
        "moderation": "low",
        "references": (Reference.to_image(_make_guid()), Reference.to_image(_make_guid())),
        "mask": Reference.to_image(_make_guid()),
        "input_fidelity": "high",
        "partial_images": random.randint(1, 3),
        "extra": {"style": "vivid", "weights": [0.5, {"sea": None}]},
    }
    return {name: options[name] for name in random.sample(list(options), random.choice([0, 0, 1, len(options)]))}


def _make_result() -> GenerationResult | None:
    random = ContentInfoFactory.__random__
    result = GenerationResult(model="gpt-image-2-2026-11-01", size="1024x1024", revised_prompt='It\'s a "lion".')
    return random.choice([None, result, GenerationResult(quality="medium", background="opaque", output_format="png")])


def _make_sender() -> Sender | None:
    random = ContentInfoFactory.__random__
    return random.choice([None, Sender(client="OpenAI/Python 3.57.0"), Sender(key="studio", user="ann@example.org")])


def _make_place() -> BatchPlace | None:
    random = ContentInfoFactory.__random__
    size = random.randint(1, 10)
    return random.choice([None, BatchPlace(guid=_make_guid(), position=random.randrange(size), size=size)])


def _make_guid() -> UUID:
    return UUID(int=ContentInfoFactory.__random__.getrandbits(128), version=4)


def _make_request_id() -> str:
    return f"req_{ContentInfoFactory.__random__.getrandbits(128):032x}"


class ContentInfoFactory(MsgspecFactory[ContentInfo]):
    """Builds content infos."""

    @classmethod
    def byte_size(cls) -> int:
        """Return up to 20 MB."""
        return cls.__random__.randint(1, 20_000_000)

    @classmethod
    def sha256(cls) -> str:
        """Return 64 hexadecimal digits."""
        return f"{cls.__random__.getrandbits(256):064x}"

    @classmethod
    def width(cls) -> int:
        """Return the width that generators draw."""
        return cls.__random__.choice([1024, 1536])

    @classmethod
    def height(cls) -> int:
        """Return the height that generators draw."""
        return cls.__random__.choice([1024, 1536])


class FailureFactory(MsgspecFactory[Failure]):
    """Makes refusals of a generator."""

    kind = GenerationRefusedError.__name__

    @classmethod
    def detail(cls) -> str:
        """Return a sentence."""
        return cls.__faker__.sentence()

    @classmethod
    def field(cls) -> str | None:
        """Return a field or none."""
        return cls.__random__.choice([None, "size", "references[3]"])


class ImageFactory(MsgspecFactory[Image]):
    """Makes ready public images that were never stored."""

    id = None
    version = 1
    failure: ClassVar[Any] = None
    visibility = Visibility.PUBLIC
    status = ImageStatus.READY
    content: ClassVar[Any] = ContentInfoFactory
    usage: ClassVar[Any] = Use(_make_usage)
    generator_request_id: ClassVar[Any] = Use(_make_request_id)
    model = "gpt-image-2"
    result: ClassVar[Any] = Use(_make_result)
    sender: ClassVar[Any] = Use(_make_sender)

    @classmethod
    def process_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Take a `prompt` for a request without options; an attribute for `batch` would hide the factory's method."""
        kwargs.setdefault("batch", _make_place())
        if "prompt" in kwargs:
            kwargs["request"] = GenerationRequest(prompt=kwargs.pop("prompt"))
        return super().process_kwargs(**kwargs)

    @classmethod
    def request(cls) -> GenerationRequest:
        """Return one for a sentence, with no options, one or all; none refers to an upload, which must be stored."""
        return GenerationRequest(prompt=cls.__faker__.sentence(), **_make_options())

    @classmethod
    def tags(cls) -> tuple[Tag, ...]:
        """Return up to four tags."""
        return tuple(Tag(word) for word in cls.__faker__.words(cls.__random__.randint(0, 4), unique=True))

    @classmethod
    def author(cls) -> UserName:
        """Return a name."""
        return UserName(cls.__faker__.user_name())

    @classmethod
    def created_at(cls) -> datetime:
        """Return a time in UTC to the microsecond."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=cls.__random__.randrange(10**13))

    @post_generated
    @classmethod
    def updated_at(cls, created_at: datetime) -> datetime:
        """Return a time that is not before `created_at`."""
        return created_at + timedelta(microseconds=cls.__random__.randrange(10**9))

    @post_generated
    @classmethod
    def filename(cls, request: GenerationRequest, guid: UUID, content: ContentInfo | None) -> str:
        """Return the name that the domain makes."""
        return filename_for(request.prompt, guid, content.media_type if content else None)


class PendingImageFactory(ImageFactory):
    """Makes images of which nothing but the request is there."""

    status = ImageStatus.PENDING
    content = None
    usage = None
    generator_request_id = None
    result = None


class GeneratingImageFactory(PendingImageFactory):
    """Makes images whose generator has been called and has not answered."""

    status = ImageStatus.GENERATING


class FailedImageFactory(PendingImageFactory):
    """Makes images that the generator has refused."""

    status = ImageStatus.FAILED
    failure: ClassVar[Any] = FailureFactory


class UnknownImageFactory(PendingImageFactory):
    """Makes images whose generator did not answer in time."""

    status = ImageStatus.UNKNOWN
    failure: ClassVar[Any] = Use(FailureFactory.build, kind=GenerationTimedOutError.__name__, maybe_billed=True)


class UserFactory(MsgspecFactory[User]):
    """Makes users that were never stored."""

    id = None
    is_disabled = False
    is_admin = False

    @classmethod
    def name(cls) -> UserName:
        """Return a name that no other call returns."""
        return UserName(f"{cls.__faker__.user_name()}-{cls.__random__.getrandbits(64):x}")

    @classmethod
    def password_hash(cls) -> PasswordHash:
        """Return something of a hash's shape and length."""
        return PasswordHash(f"$argon2id$v=19$m=19456,t=2,p=1${cls.__random__.getrandbits(128):x}$no-real-hash")

    @classmethod
    def created_at(cls) -> datetime:
        """Return a time in UTC to the microsecond."""
        return ImageFactory.created_at()


class APIKeyFactory(MsgspecFactory[APIKey]):
    """Makes keys that were never stored, never used and never revoked."""

    expires_at = None
    last_used_at = None
    revoked_at = None

    @classmethod
    def guid(cls) -> UUID:
        """Return a guid that no other call returns."""
        return UUID(int=cls.__random__.getrandbits(128), version=4)

    @classmethod
    def name(cls) -> str:
        """Return a word."""
        return cls.__faker__.word()

    @classmethod
    def user(cls) -> UserName:
        """Return a name."""
        return UserName(cls.__faker__.user_name())

    @classmethod
    def digest(cls) -> str:
        """Return the digest of a secret of which the prefix may be another's."""
        return digest_of(make_key_secret(cls.__random__.randbytes(32)))

    @classmethod
    def prefix(cls) -> str:
        """Return the first characters of a secret."""
        return make_key_secret(cls.__random__.randbytes(32))[:10]

    @classmethod
    def scopes(cls) -> tuple[KeyScope, ...]:
        """Return one to three scopes, in their order."""
        chosen = cls.__random__.sample(list(KeyScope), cls.__random__.randint(1, 3))
        return tuple(scope for scope in KeyScope if scope in chosen)

    @classmethod
    def tags(cls) -> tuple[Tag, ...]:
        """Return up to four tags."""
        return ImageFactory.tags()

    @classmethod
    def created_at(cls) -> datetime:
        """Return a time in UTC to the microsecond."""
        return ImageFactory.created_at()


class SessionFactory(MsgspecFactory[Session]):
    """Makes sessions that were never stored."""

    @classmethod
    def guid(cls) -> UUID:
        """Return a guid that no other call returns."""
        return _make_guid()

    @classmethod
    def user(cls) -> UserName:
        """Return a name."""
        return UserName(cls.__faker__.user_name())

    @classmethod
    def digest(cls) -> str:
        """Return 64 hexadecimal digits."""
        return f"{cls.__random__.getrandbits(256):064x}"

    @classmethod
    def password_digest(cls) -> str:
        """Return 64 hexadecimal digits."""
        return f"{cls.__random__.getrandbits(256):064x}"

    @classmethod
    def created_at(cls) -> datetime:
        """Return a time in UTC."""
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(microseconds=cls.__random__.randrange(10**12))

    @post_generated
    @classmethod
    def seen_at(cls, created_at: datetime) -> datetime:
        """Return the time of the login."""
        return created_at

    @post_generated
    @classmethod
    def expires_at(cls, created_at: datetime) -> datetime:
        """Return the time 30 days later."""
        return created_at + timedelta(days=30)
