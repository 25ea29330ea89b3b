"""Pictures that the store sends by itself: to a client that is redirected, or through a web server in front."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.ports import Audience, Clock, LinkTerms, ShownAs
from pixyproxy.entrypoints.http.content.content_response import ContentResponse
from pixyproxy.entrypoints.http.content.ranges import ByteRange
from pixyproxy.entrypoints.http.content.representations import REVALIDATED
from pixyproxy.entrypoints.http.headers import Header

Sign = Callable[[LinkTerms], Awaitable[str]]
"""Returns a presigned URL of one content."""

_LIFETIME_MIN: Final = 60

# What a client that reuses a redirect has left to follow it.
_SECONDS_TO_FOLLOW: Final = 10

# The store knows neither the entity tag nor the date that a client has from the service.
_CONDITIONS: Final = frozenset({"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"})

# Of the headers of a picture, those that hold for the redirect to it as well.
_OF_REDIRECT: Final = frozenset({b"cross-origin-resource-policy", b"vary"})


class Validity(msgspec.Struct, frozen=True):
    """When a presigned URL begins and ceases to be valid, in seconds since 1970."""

    begins_at: int
    ends_at: int

    @classmethod
    def at(cls, now: datetime, max_age: int) -> Self:
        """Return the validity of a URL that is handed out now, where caches may keep pictures for `max_age` seconds.

        It ends after that time at the latest, or after a minute if that is longer; and after half of it at the soonest.
        Until then it begins at the same time, so that caches see the same URL.
        """
        lifetime = max(_LIFETIME_MIN, max_age)
        window = lifetime // 2
        begins_at = int(now.timestamp()) // window * window
        return cls(begins_at, begins_at + lifetime)

    def terms(self, audience: Audience, shown_as: ShownAs | None = None) -> LinkTerms:
        """Return the terms of a URL that is valid for so long."""
        return LinkTerms(
            audience=audience,
            begins_at=datetime.fromtimestamp(self.begins_at, UTC),
            seconds=self.ends_at - self.begins_at,
            shown_as=shown_as,
        )


class PresignedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that is to be sent, as a whole or a `part` of it: its headers, and what signs its URL.

    `is_public` says whether the image was requested as a public one.
    """

    sign: Sign
    headers: Sequence[Header]
    is_public: bool
    part: ByteRange | None


class PresignedDelivery(Protocol):
    """Answers a GET with the place of a picture instead of its bytes."""

    @abstractmethod
    async def answer(self, asked: Mapping[str, str], picture: PresignedPicture) -> ContentResponse | None:
        """Return the answer to a request with the conditional headers `asked`, all of which hold; None to send bytes.

        Raises `ContentStoreError`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class XAccelDelivery(PresignedDelivery):
    """Tells nginx in front, by `X-Accel-Redirect`, to fetch the picture through its internal location `path`.

    The client gets the headers of this answer. The range is in `X-Accel-Range`, for it was judged here.
    """

    clock: Clock
    public_max_age: int
    path: str

    async def answer(
        self,
        asked: Mapping[str, str],  # noqa: ARG002 -- nginx passes no condition on
        picture: PresignedPicture,
    ) -> ContentResponse:
        validity = Validity.at(self.clock.now(), self.public_max_age)
        url = urlsplit(await picture.sign(validity.terms(Audience.WEB_SERVER)))
        place = f"{self.path}{url.path.removeprefix('/')}?{url.query}"
        headers = [*picture.headers, (b"x-accel-redirect", place.encode()), (b"content-length", b"0")]
        if picture.part is not None:
            headers.append((b"x-accel-range", f"bytes={picture.part.start}-{picture.part.end - 1}".encode()))
        return ContentResponse(status=HTTPStatus.OK, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectDelivery(PresignedDelivery):
    """Redirects clients to the store's public address, with a URL that is valid for a minute or for `public_max_age`.

    Never for an SVG, which needs headers that the store does not send, and for private images only if
    `redirects_private`.
    """

    clock: Clock
    public_max_age: int
    redirects_private: bool

    async def answer(self, asked: Mapping[str, str], picture: PresignedPicture) -> ContentResponse | None:
        described = dict(picture.headers)
        if (
            _CONDITIONS & asked.keys()
            # Several ranges, or none: stores differ in what they make of these.
            or ("range" in asked and picture.part is None)
            or described[b"content-type"] == MediaType.SVG.encode()
            or not (picture.is_public or self.redirects_private)
        ):
            return None
        now = self.clock.now()
        validity = Validity.at(now, self.public_max_age)
        shown_as = self._shown_as(described, validity, is_public=picture.is_public)
        url = await picture.sign(validity.terms(Audience.CLIENT, shown_as))
        headers = [
            (b"location", url.encode()),
            (b"cache-control", self._caching(now, validity, is_public=picture.is_public).encode()),
            (b"content-length", b"0"),
            *(header for header in picture.headers if header[0] in _OF_REDIRECT),
        ]
        return ContentResponse(status=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)

    def _caching(self, now: datetime, validity: Validity, *, is_public: bool) -> str:
        """Return the caching policy of a redirect.

        No shared cache may keep one: it would answer HEAD and conditional requests with it, which the store refuses.
        """
        left = validity.ends_at - int(now.timestamp()) - _SECONDS_TO_FOLLOW
        max_age = min(self.public_max_age, left) if is_public else 0
        return f"private, max-age={max_age}" if max_age > 0 else "private, no-store"

    def _shown_as(self, described: Mapping[bytes, bytes], validity: Validity, *, is_public: bool) -> ShownAs:
        """Return the headers of the store's answer; no cache may keep a picture for longer than its URL is valid."""
        is_kept = is_public and self.public_max_age > 0
        scope = "public" if is_public else "private"
        ends_at = datetime.fromtimestamp(validity.ends_at, UTC)
        return ShownAs(
            content_type=described[b"content-type"].decode(),
            content_disposition=described[b"content-disposition"].decode(),
            cache_control=f"{scope}, {'must-revalidate' if is_kept else REVALIDATED}",
            expires=format_datetime(ends_at, usegmt=True) if is_kept else None,
        )
