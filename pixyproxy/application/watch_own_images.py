"""Use case: watch all of one's own images."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import compress
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.watch_image import EnsureLogin, WatchedPartial
from pixyproxy.domain.errors import DamagedRecordError, DBConnectionError, RecordNotFoundError, UnauthorizedError
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.listing import ChangePosition, ImageChange, ImageFilter, ImagePosition
from pixyproxy.domain.ports import Clock, ImageCatalogue, ImageRepository
from pixyproxy.domain.user import Principal, UserName

# Changes are looked for this far back: clocks of processes differ, and transactions end later than they begin.
OVERLAP: Final = timedelta(seconds=60)

# The most unfinished images, and the most changes of the last minute, that a stream begins with.
FIRST_MAX: Final = 100

# The longest outage of the database that a stream outlasts.
PATIENCE_SECONDS: Final = 60.0

# Other processes' changes are looked for after these seconds: soon after news, then less often to spare the database.
_POLL_SECONDS: Final = 0.25
_POLL_SECONDS_MAX: Final = 2.0

# Partial images of other processes last no longer than their generation.
_POLL_SECONDS_FOR_PARTIALS: Final = 0.5

# Changes per query. If there are more, those that were read are not looked at again.
_PAGE: Final = 1_000


async def _trust() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOwnImages:
    """Return the principal's images that are being made, and then each image of theirs that is new or changes.

    It begins with the newest 100 unfinished images and the newest 100 changes of the last minute, so that nothing is
    missed between a list and the stream. Then each new version of an image comes once, whatever has changed: at once if
    this process has made the image, else within two seconds. An image that changes again meanwhile comes as it is by
    then, and one that is deleted does not come at all. Partial images come once, those from before first; without
    `partials`, which is optional, there are none.

    Raises `UnauthorizedError` for an anonymous principal, and `DBConnectionError`. The iterator ends when the service
    stops. It outlasts a database that does not answer for a minute, and then raises `DBConnectionError`. `ensure_login`
    is called before each change is read, and at least every two seconds; what else it raises ends the iterator.
    """

    catalogue: ImageCatalogue
    images: ImageRepository
    generations: Generations
    clock: Clock
    partials: PartialImages | None = None

    async def __call__(
        self, principal: Principal, *, ensure_login: EnsureLogin | None = None
    ) -> AsyncIterator[Image | WatchedPartial]:
        if principal.name is None:
            raise UnauthorizedError("Watching one's own images needs a login.")
        since = ChangePosition(self.clock.now() - OVERLAP)
        unfinished = await self._unfinished(principal.name)
        watching = _Watching(of=self, author=principal.name, ensure_login=ensure_login or _trust, after=since)
        return watching.news(unfinished)

    async def _unfinished(self, author: UserName) -> Sequence[Image]:
        """Return the newest unfinished images, oldest first."""
        found: dict[UUID, Image] = {}
        for status in (ImageStatus.PENDING, ImageStatus.GENERATING):
            wanted = ImageFilter(author=author, status=status)
            # A damaged record must not hold up the others for ever.
            with suppress(DamagedRecordError):
                found |= {image.guid: image for image in await self.catalogue.list(wanted, limit=FIRST_MAX)}
        return sorted(found.values(), key=ImagePosition.of)[-FIRST_MAX:]


class _Generating(msgspec.Struct):
    """An image with partial images, and the position of the next one."""

    image: Image
    position: int = 0


@dataclass(slots=True, kw_only=True)
class _Watching:
    """One stream, and what it has sent of the changes after `after`."""

    of: WatchOwnImages
    author: UserName
    ensure_login: EnsureLogin
    after: ChangePosition
    _sent: dict[UUID, ImageChange] = field(default_factory=dict, init=False)
    _generating: dict[UUID, _Generating] = field(default_factory=dict, init=False)

    async def news(self, unfinished: Sequence[Image]) -> AsyncIterator[Image | WatchedPartial]:
        """Yield the unfinished images, then all changes and partial images, until the service stops."""
        for known in unfinished:
            self._note(known)
            yield known
        clock = asyncio.get_running_loop().time
        answered_at, poll, changes = clock(), _POLL_SECONDS, self._newest_changes
        while not self.of.generations.is_unwatched:
            # Take it before the look, so that nothing is missed.
            woken = self.of.generations.news_of(self.author)
            try:
                await self.ensure_login()
                async for change in changes():
                    if (image := await self._read(change)) is not None:
                        yield image
                async for partial in self._partials():
                    yield partial
            except DBConnectionError:
                if clock() - answered_at > PATIENCE_SECONDS:
                    raise
            else:
                answered_at, changes = clock(), self._changes
            await asyncio.wait([woken], timeout=poll)
            poll = _POLL_SECONDS if woken.done() else min(1.5 * poll, self._poll_seconds_max)

    async def _newest_changes(self) -> AsyncIterator[ImageChange]:
        """Yield the newest changes of those that were not sent, and leave the others out for good."""
        newest = deque[ImageChange](maxlen=FIRST_MAX)
        async for change in self._changes():
            if len(newest) == FIRST_MAX:
                self._sent[newest[0].guid] = newest[0]
            newest.append(change)
        for change in newest:
            yield change

    async def _changes(self) -> AsyncIterator[ImageChange]:
        """Yield the changes that were not sent."""
        settled = ChangePosition(self.of.clock.now() - OVERLAP)
        while True:
            page = await self.of.catalogue.list_changes(self.author, after=self.after, limit=_PAGE)
            for change in page:
                if self._sent.get(change.guid) != change:
                    yield change
            if len(page) < _PAGE:
                break
            self.after = page[-1].position
        self.after = max(self.after, settled)
        self._sent = {guid: change for guid, change in self._sent.items() if change.position > self.after}

    async def _read(self, change: ImageChange) -> Image | None:
        """Return the changed image as it is now; None if it is gone or damaged."""
        await self.ensure_login()
        self._sent[change.guid] = change
        try:
            image = await self.of.images.get(change.guid)
        except (RecordNotFoundError, DamagedRecordError):
            self._generating.pop(change.guid, None)
            return None
        except DBConnectionError:
            del self._sent[change.guid]
            raise
        if image.author != self.author:
            return None
        self._note(image)
        return image

    def _note(self, image: Image) -> None:
        self._sent[image.guid] = ImageChange.of(image)
        self._generating.pop(image.guid, None)
        if image.status is ImageStatus.GENERATING and image.request.partial_images:
            self._generating[image.guid] = _Generating(image)
            if len(self._generating) > FIRST_MAX:
                del self._generating[next(iter(self._generating))]

    async def _partials(self) -> AsyncIterator[WatchedPartial]:
        """Yield the partial images that were not sent."""
        partials = self.of.partials
        while partials is not None and self._generating:
            waiting = list(self._generating.values())
            found = await asyncio.gather(*(partials.has(each.image, each.position) for each in waiting))
            if not any(found):
                return
            for each in compress(waiting, found):
                yield WatchedPartial(guid=each.image.guid, position=each.position)
                each.position += 1

    @property
    def _poll_seconds_max(self) -> float:
        is_elsewhere = any(guid not in self.of.generations for guid in self._generating)
        return _POLL_SECONDS_FOR_PARTIALS if is_elsewhere else _POLL_SECONDS_MAX
