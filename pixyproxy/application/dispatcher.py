"""The queue of images, and this process's part in working it off."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from pixyproxy.application.generate_image import GenerateImage, ImageHandedOverError
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import OnImagePartial, ignore_image_partial
from pixyproxy.domain.errors import (
    DamagedRecordError,
    DataValidationError,
    DBConnectionError,
    GenerationNotStartedError,
    GenerationRateLimitedError,
    OverloadedError,
    PixyProxyException,
    RecordNotFoundError,
)
from pixyproxy.domain.image import LATE, Image
from pixyproxy.domain.ports import ClaimOutcome, HealthCheck, ImageQueue, RateLimits, Unfinished
from pixyproxy.domain.user import UserName

RETRY_AFTER: Final = 10.0

# Processes that claim at once take different images of the first few.
_CANDIDATES: Final = 16

# An image whose references can't be read is tried again less and less often.
_PUT_OFF_MAX_SECONDS: Final = 300.0

# Of its own: a host may rely on the state of the shared one.
_RANDOM: Final = random.Random()  # noqa: S311 -- no secrets


class DispatchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How much is generated, and how much waits.

    This process generates at most `max_running` images at once. `max_waiting` images wait in the queue of all
    processes, and `poll` is the most seconds until this process looks for those that others have put there.

    All processes with the same `limit_name` together begin at most `images_per_minute` images, of which a tenth may
    begin at once, and generate at most `max_running_together`; None is no limit.
    """

    max_running: int = 8
    max_waiting: int = 64
    poll: float = 1.0
    limit_name: str = "generator"
    images_per_minute: float | None = None
    max_running_together: int | None = None


class _PutOff(NamedTuple):
    """Until when an image is left alone, by the clock of the event loop, and for how many seconds."""

    until: float
    seconds: float


_NOT_PUT_OFF: Final = _PutOff(-math.inf, 0.0)


@dataclass(slots=True, kw_only=True)
class Dispatcher(HealthCheck):
    """Queues images, and generates the waiting ones as long as this process has room.

    After `serve`, these are all images in the queue, in the order of `ImageQueue.list_next`; before, those alone that
    this process has queued. No author can starve the others: the next image is of the author with the fewest running
    ones, and a full queue still takes an image of an author with fewer than another one.

    `on_error` gets what keeps it from looking into the queue; it looks again soon. Without the port `queue`, which is
    optional, images wait in this process; without `rate_limits`, no rate is kept. Raises `ValueError` for a `queue`
    without `leases` in `generate_image`, and the other way round: claims grant leases.
    """

    generate_image: GenerateImage
    queue: ImageQueue | None = None
    rate_limits: RateLimits | None = None
    generations: Generations = field(default_factory=Generations)
    policy: DispatchPolicy = field(default_factory=DispatchPolicy)
    on_error: Callable[[Exception], None] = lambda _error: None
    _own: dict[UUID, tuple[Image, OnImagePartial]] = field(default_factory=dict, init=False, repr=False)
    _running: Counter[UserName | None] = field(default_factory=Counter, init=False, repr=False)
    _turns: dict[UserName | None, int] = field(default_factory=dict, init=False, repr=False)
    _reserved: int = field(default=0, init=False)
    _is_serving: bool = field(default=False, init=False)
    _is_paused: bool = field(default=False, init=False)
    _is_closed: bool = field(default=False, init=False)
    _paused_until: float = field(default=0.0, init=False)
    _put_off: dict[UUID, _PutOff] = field(default_factory=dict, init=False, repr=False)
    _filling: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    _polling: asyncio.Task[None] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.queue is None) != (self.generate_image.leases is None):
            raise ValueError("The `queue` of a dispatcher and the `leases` of its `generate_image` go together.")

    async def check(self) -> None:
        """Return if this process takes part in the queue; raise `OverloadedError` if it is about to stop."""
        if self._is_paused:
            raise OverloadedError("PixyProxy is being stopped.", retry_after=RETRY_AFTER)

    async def ensure_room(self, author: UserName | None, count: int = 1) -> None:
        """Raise `OverloadedError` if the queue has no place for `count` images of the author.

        Raises `DataValidationError` for more than there ever are, and `DBConnectionError`.
        """
        if self._is_closed:
            raise OverloadedError("PixyProxy is being stopped; nothing was bought.", retry_after=RETRY_AFTER)
        limit = max(1, self.policy.max_running + self.policy.max_waiting)
        if count > limit:
            raise DataValidationError("n", f"must be at most {limit} here, as many images as are admitted at once")
        unfinished = await self._unfinished()
        waiting = sum(each.waiting for each in unfinished.values()) + self._reserved
        room = 0 if self._is_paused else max(0, self.policy.max_running - len(self.generations))
        if waiting + count <= self.policy.max_waiting + room:
            return
        held = {each: numbers.waiting + numbers.running for each, numbers in unfinished.items()}
        most = max((held[each] for each, numbers in unfinished.items() if numbers.waiting), default=0)
        if held.get(author, 0) + count >= most:
            raise OverloadedError(
                "As many images as may wait are waiting already; nothing was bought.", retry_after=RETRY_AFTER
            )

    @asynccontextmanager
    async def reserved(self, author: UserName | None, count: int) -> AsyncIterator[None]:
        """Do what `ensure_room` does, and keep the places free while the images are stored."""
        await self.ensure_room(author, count)
        self._reserved += count
        try:
            yield
        finally:
            self._reserved -= count

    async def begin(self, images: Sequence[Image], on_partial: OnImagePartial = ignore_image_partial) -> None:
        """Generate stored images when it is their turn; returns when those have begun for which there is room now."""
        if not self._is_serving or on_partial is not ignore_image_partial:
            self._own |= {image.guid: (image, on_partial) for image in images}
        self._keep_polling()
        # The images stay in the queue if the caller is cancelled.
        await asyncio.shield(asyncio.ensure_future(self._fill_safely()))

    def serve(self) -> None:
        """Generate the images that other processes have queued, too, from now on; also after `close`."""
        self._is_paused = self._is_closed = False
        self._filling, self._wake = asyncio.Lock(), asyncio.Event()
        self._is_serving = True
        self._keep_polling()

    def pause(self) -> None:
        """Begin no more generations, and leave the queue to other processes."""
        self._is_paused = True

    def stop(self) -> None:
        """Do what `pause` does, and admit no more images."""
        self._is_paused = self._is_closed = True

    async def close(self) -> None:
        """Do what `stop` does; if this process does not serve, fail the images that it has queued and not begun."""
        self.stop()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        async with self._filling:
            waiting, self._own = self._own, {}
        owner = self.generate_image.policy.owner
        for image, _ in waiting.values() if not self._is_serving else ():
            # What can't be claimed is left to other processes.
            with suppress(PixyProxyException):
                if self.queue is None or ClaimOutcome.CLAIMED is await self.queue.claim(image.guid, owner=owner):
                    stopped = GenerationNotStartedError(
                        "PixyProxy was stopped before it was the image's turn.",
                        maybe_billed=False,
                        retry_after=RETRY_AFTER,
                    )
                    self.generations.start(image.guid, self.generate_image.refuse(image, stopped), author=image.author)

    async def _unfinished(self) -> Mapping[UserName | None, Unfinished]:
        if self.queue is not None:
            # Images of models that no process has any more must not keep others out.
            return await self.queue.count_unfinished(models=self._models)
        waiting = Counter(image.author for image, _ in self._own.values())
        return {author: Unfinished(waiting[author], self._running[author]) for author in waiting | self._running}

    def _keep_polling(self) -> None:
        self._wake.set()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while (self._is_serving or self._own) and not self._is_paused:
            self._wake.clear()
            seconds = await self._fill_safely()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _fill_safely(self) -> float:
        """Do what `_fill` does; if that fails, it is tried again soon."""
        try:
            async with self._filling:
                return await self._fill()
        except Exception as exc:  # noqa: BLE001 -- the queue must not stand still
            self.on_error(exc)
            return self.policy.poll

    async def _fill(self) -> float:
        """Begin generations as long as there is room, and return the seconds until the next look."""
        # Random, so that processes don't look all at once.
        poll = self.policy.poll * _RANDOM.uniform(0.5, 1.0)
        while len(self.generations) < self.policy.max_running:
            if self._is_paused or (paused := self._paused_until - asyncio.get_running_loop().time()) > 0:
                return poll if self._is_paused else min(paused, poll)
            candidates = await self._next()
            if not candidates:
                return poll
            if (wait := await self._acquire()) > 0:
                return min(wait, poll)
            if not await self._begin_one_of(candidates):
                await self._give_back()
                return poll
        return poll

    async def _next(self) -> Sequence[UUID]:
        if self.queue is not None and self._is_serving:
            since = self.generate_image.clock.now() - LATE
            limit = _CANDIDATES + len(self._put_off)
            return self._without_put_off(await self.queue.list_next(since=since, models=self._models, limit=limit))
        positions = {guid: position for position, guid in enumerate(self._own)}

        def turn(guid: UUID) -> tuple[int, int, int]:
            author = self._own[guid][0].author
            return self._running[author], self._turns.get(author, 0), positions[guid]

        return self._without_put_off(sorted(self._own, key=turn))

    def _without_put_off(self, guids: Sequence[UUID]) -> Sequence[UUID]:
        now = asyncio.get_running_loop().time()
        # Longer than the longest time: these are not in the queue any more.
        self._put_off = {guid: put for guid, put in self._put_off.items() if put.until > now - _PUT_OFF_MAX_SECONDS}
        return [guid for guid in guids if self._put_off.get(guid, _NOT_PUT_OFF).until <= now]

    @property
    def _models(self) -> Sequence[str] | None:
        """The models of the images that this process can make; None are all. Other processes may have others."""
        capabilities = self.generate_image.generator.capabilities()
        return None if capabilities.others else [model.id for model in capabilities.models]

    async def _acquire(self) -> float:
        if self.rate_limits is None:
            return 0.0
        return await self.rate_limits.acquire(self.policy.limit_name, interval=self._interval, burst=self._burst)

    async def _give_back(self) -> None:
        if self.rate_limits is not None:
            await self.rate_limits.give_back(self.policy.limit_name, interval=self._interval)

    @property
    def _interval(self) -> float:
        return 60.0 / self.policy.images_per_minute if self.policy.images_per_minute else 0.0

    @property
    def _burst(self) -> int:
        return max(1, int((self.policy.images_per_minute or 0) / 10))

    async def _begin_one_of(self, candidates: Sequence[UUID]) -> bool:
        for guid in candidates:
            if guid in self.generations:
                # Its lease was over, and its task has not noticed yet: with the new lease it would buy the image, too.
                continue
            match await self._claim(guid):
                case ClaimOutcome.CLAIMED:
                    await self._start(guid)
                    return True
                case ClaimOutcome.TAKEN:
                    self._own.pop(guid, None)
                case ClaimOutcome.FULL:
                    return False
        return False

    async def _claim(self, guid: UUID) -> ClaimOutcome:
        if self.queue is None:
            return ClaimOutcome.CLAIMED
        return await self.queue.claim(
            guid,
            owner=self.generate_image.policy.owner,
            limited_by=self.policy.limit_name,
            max_running=self.policy.max_running_together,
        )

    async def _start(self, guid: UUID) -> None:
        image, on_partial = self._own.pop(guid, (None, ignore_image_partial))
        if image is None:
            try:
                image = await self.generate_image.images.get(guid)
            except RecordNotFoundError:
                await self._give_back()
                return
            except DamagedRecordError:
                await self._give_back()
                if self.queue is not None:
                    # The lease on a damaged record keeps it from being the next one for ever; it counts against no
                    # limit.
                    await self.queue.claim(guid, owner=self.generate_image.policy.owner)
                return
            except DBConnectionError:
                await self.generate_image.give_back(guid)
                raise
        self._running[image.author] += 1
        self._turns[image.author] = max(self._turns.values(), default=0) + 1
        self.generations.start(guid, self._generate(image, on_partial), author=image.author)

    async def _generate(self, image: Image, on_partial: OnImagePartial) -> Image:
        try:
            return await self.generate_image(image, on_partial)
        except ImageHandedOverError as exc:
            await self._hand_over(image, exc)
            if not self._is_serving and exc.retry_after:
                self._own[image.guid] = image, on_partial
                self._keep_polling()
            raise
        except GenerationRateLimitedError as exc:
            await self._push_back(RETRY_AFTER if exc.retry_after is None else exc.retry_after)
            raise
        finally:
            self._running[image.author] -= 1
            if not self._running[image.author]:
                del self._running[image.author]
            # The task still counts until it has ended.
            asyncio.get_running_loop().call_soon(self._wake.set)

    async def _hand_over(self, image: Image, error: ImageHandedOverError) -> None:
        """Leave the image, or all images, alone for a while."""
        now = asyncio.get_running_loop().time()
        if error.is_of_image:
            before = self._put_off.get(image.guid, _NOT_PUT_OFF)
            seconds = min(max(2 * before.seconds, error.retry_after), _PUT_OFF_MAX_SECONDS)
            self._put_off[image.guid] = _PutOff(now + seconds, seconds)
        else:
            self._paused_until = now + error.retry_after
        with suppress(PixyProxyException):
            await self._give_back()

    async def _push_back(self, seconds: float) -> None:
        if self.rate_limits is not None:
            with suppress(PixyProxyException):
                await self.rate_limits.push_back(self.policy.limit_name, seconds)
