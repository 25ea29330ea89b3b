"""What plain answers and streams share."""

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from pixyproxy.application import ConfirmAnswer, FollowOrder, GetImageContent
from pixyproxy.application.begin_images import RETRY_AFTER
from pixyproxy.application.follow_order import OrderPartial
from pixyproxy.application.place_order import Order
from pixyproxy.domain.errors import ContentStoreError, DBConnectionError, GenerationError, ImageDelayedError
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.signed_links import SignedLinkMaker
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.openai.requests import ImagesRequest
from pixyproxy.entrypoints.http.problems.headers import REPLAYED
from pixyproxy.entrypoints.http.problems.openai_errors import OpenAIError, openai_error
from pixyproxy.entrypoints.http.recipient import ClientLeftError, ClientStalledError

PAUSE: Final = 10.0
"""After how many seconds of silence something is sent that keeps the connection open."""

LAST_WORD_SECONDS: Final = 1.0
"""How long the end of an answer may take when the service stops."""

_log = logging.getLogger("pixyproxy.errors")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered: an order, whose it is, how it was asked for, and the service's URL as its client sees it."""

    order: Order
    principal: Principal
    asked: ImagesRequest
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Follows orders, reads their pictures, and notes which answers have reached their clients."""

    follow_order: FollowOrder
    get_image_content: GetImageContent
    confirm_answer: ConfirmAnswer
    signed_links: SignedLinkMaker
    url_lifetime: int
    send_timeout: float

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the one of the container."""
        settings = container.settings()
        return cls(
            follow_order=container.follow_order(),
            get_image_content=container.get_image_content(),
            confirm_answer=container.confirm_answer(),
            signed_links=SignedLinkMaker.of(container),
            url_lifetime=settings.openai_url_lifetime,
            send_timeout=settings.send_timeout,
        )

    def follow(self, answered: Answered) -> AsyncGenerator[OrderPartial | Image, None]:
        """Return the news of an order."""
        return self.follow_order(answered.order, answered.principal)

    async def open(self, answered: Answered, image: Image) -> StoredContent:
        """Return the content of a ready image; raise `RecordNotFoundError` or `ContentStoreError`."""
        return await self.get_image_content.open(image, answered.principal, ImageScope.OWN)

    async def url_of(self, answered: Answered, image: Image) -> str:
        """Return an absolute URL that opens the picture of a ready image without a login.

        Raises `RecordNotFoundError`.
        """
        found = await self.get_image_content.find(image.guid, answered.principal, ImageScope.OWN)
        return await self.signed_links.make_named(found, lifetime=self.url_lifetime, address=answered.address)

    async def confirm(self, answered: Answered) -> None:
        """Note that the answer has reached its client."""
        # Else a further attempt joins the order, as long as it lasts.
        with suppress(DBConnectionError):
            await self.confirm_answer(answered.order)


def replay_headers(answered: Answered) -> Sequence[Header]:
    """Return the header that tells a replay."""
    return [(REPLAYED.lower().encode(), b"true")] if answered.order.is_replay else []


def encoded_headers(headers: Mapping[str, str]) -> Sequence[Header]:
    """Return headers as ASGI has them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def first_error(errors: Sequence[Exception], request_id: str) -> OpenAIError:
    """Return the answer to an order that has no images: the error of the first."""
    first, *others = errors
    return openai_error(first, request_id, is_ordered=True, others_billed=any(map(maybe_billed, others)))


def maybe_billed(error: Exception) -> bool:
    """Whether an image that is not there may have been billed."""
    return error.maybe_billed if isinstance(error, GenerationError) else True


def is_outcome(errors: Sequence[Exception]) -> bool:
    """Whether a further attempt would meet the same errors."""
    return all(isinstance(error, GenerationError) for error in errors)


def stopped(answered: Answered) -> ImageDelayedError:
    """Return the error of an answer that the end of the service breaks off."""
    order = answered.order
    is_batch = order.images[0].batch is not None
    return ImageDelayedError(
        "The service was stopped before the answer was there.",
        guid=None if is_batch else order.guid,
        batch=order.guid if is_batch else None,
        retry_after=RETRY_AFTER,
    )


@contextmanager
def breaking_off(request_id: str) -> Iterator[None]:
    """End an answer that breaks off under way; the server then closes the connection."""
    facts: dict[str, Any] = {"request_id": request_id}
    try:
        yield
    except ClientStalledError:
        _log.warning("content broken off", extra={**facts, "detail": "The client does not read."})
    except ClientLeftError:
        # The request's log line says so.
        return
    except ContentStoreError as exc:
        _log.error("content broken off", extra={**facts, "problem": type(exc).__name__, "detail": exc.detail})
