"""Orders while the database fails at any step."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ConfirmAnswer, CreateBatch, CreateImage, FollowOrder, PlaceOrder
from pixyproxy.application.dispatcher import DispatchPolicy
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.domain.errors import DBConnectionError, GenerationRefusedError, ImageDelayedError
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.user import Principal
from tests.use_cases import FOX, recover_images_of, with_parts

STEPS: Final = frozenset(
    {
        "add",
        "add_batch",
        "claim",
        "count_unfinished",
        "find_claim",
        "forget_claim",
        "get",
        "give_back",
        "list_batch",
        "list_leases",
        "list_next",
        "renew",
        "take_order",
        "take_over",
        "update",
    }
)
SHORT: Final = GenerationPolicy(owner="test", lease_seconds=0.03, patience=0.0, pause=0.0)


class FailingImages(InMemoryImageRepository):
    """Fails at the step with the number `failing`, before or after it has taken effect."""

    def __init__(self, failing: int, *, is_late: bool) -> None:
        super().__init__()
        self.steps = 0
        self._failing = failing
        self._is_late = is_late

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        return self._failing_at_its_turn(method) if name in STEPS else method

    def _failing_at_its_turn(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def step(*args: Any, **options: Any) -> Any:
            self.steps += 1
            is_failing = self.steps == self._failing
            if is_failing and not self._is_late:
                raise DBConnectionError("The database does not answer.")
            result = await method(*args, **options)
            if is_failing:
                raise DBConnectionError("The database does not answer.")
            return result

        return step


@pytest.mark.parametrize("is_late", [False, True], ids=["before it takes effect", "after it has taken effect"])
@pytest.mark.parametrize(
    ("key", "is_refused"),
    [(None, False), (None, True), (IdempotencyKey("key"), False)],
    ids=["order", "order that is refused first", "key"],
)
@pytest.mark.parametrize("count", [1, 2])
async def test_a_client_that_sends_an_order_until_it_is_answered_buys_it_once_whichever_step_fails(
    create_image: CreateImage,
    contents: InMemoryContentStore,
    ann: Principal,
    *,
    count: int,
    key: IdempotencyKey | None,
    is_refused: bool,
    is_late: bool,
) -> None:
    failing = 0
    while True:
        failing += 1
        images = FailingImages(failing, is_late=is_late)
        generator = InMemoryImageGenerator()
        if is_refused:
            generator.fail_next(*(GenerationRefusedError("No.", maybe_billed=False) for _ in range(count)))
        client = _Client(create_image, contents, images, generator, ann)
        answer = await client.answer(count, key)
        # Of several, those are missing whose purchase could not be recorded beforehand. What a refused one has cost is
        # unknown if the refusal could not be recorded.
        ready = sum(image.status is ImageStatus.READY for image in answer)
        refused = count if is_refused else 0
        assert len(generator.requests) == ready + refused
        assert ready >= 1 or is_refused
        if images.steps < failing:
            return


def _may_have_been_billed(image: Image) -> bool:
    return image.generation_error is None or image.generation_error.maybe_billed


class _Client:
    """A client that sends its request until it may have been billed, and a service whose housekeeping never rests."""

    def __init__(
        self,
        create_image: CreateImage,
        contents: InMemoryContentStore,
        images: InMemoryImageRepository,
        generator: InMemoryImageGenerator,
        principal: Principal,
    ) -> None:
        create_image = with_parts(
            create_image,
            images=images,
            generator=generator,
            policy=SHORT,
            dispatch=DispatchPolicy(poll=0.01),
            generations=Generations(),
        )
        self._dispatcher = create_image.dispatcher
        self._place_order = PlaceOrder(create_batch=CreateBatch(create_image=create_image, batches=images))
        self._follow_order = FollowOrder(
            images=images, generations=create_image.generations, clock=create_image.clock, policy=SHORT
        )
        self._confirm_answer = ConfirmAnswer(idempotency_keys=images)
        self._recover_images = recover_images_of(create_image, images, contents, generations=create_image.generations)
        self._principal = principal

    async def answer(self, count: int, key: IdempotencyKey | None) -> list[Image]:
        housekeeping = asyncio.create_task(self._keep_house())
        self._dispatcher.serve()
        try:
            async with asyncio.timeout(20):
                attempt = 0
                while True:
                    with suppress(DBConnectionError, ImageDelayedError):
                        order = await self._place_order(
                            FOX, count, principal=self._principal, idempotency_key=key, attempt=attempt
                        )
                        news = self._follow_order(order, self._principal)
                        final = [image async for image in news if isinstance(image, Image)]
                        if any(_may_have_been_billed(image) for image in final):
                            with suppress(DBConnectionError):
                                await self._confirm_answer(order)
                            return final
                    attempt += 1
        finally:
            housekeeping.cancel()
            await self._dispatcher.close()

    async def _keep_house(self) -> None:
        while True:
            with suppress(DBConnectionError):
                await self._recover_images()
            await asyncio.sleep(0.01)
