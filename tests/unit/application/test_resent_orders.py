"""Clients that lose answers and send their requests again, in any order."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.application import ConfirmAnswer, CreateBatch, CreateImage, GenerateImage, PlaceOrder
from pixyproxy.application.dispatcher import Dispatcher, DispatchPolicy
from pixyproxy.application.place_order import Order
from pixyproxy.domain.errors import GenerationError, GenerationRateLimitedError, GenerationTimedOutError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage
from pixyproxy.domain.user import Principal, UserName
from tests.use_cases import FOX

T = TypeVar("T")
ANN = Principal(name=UserName("ann"))


class OrderedGenerator(InMemoryImageGenerator):
    """Holds each generation until a test ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[asyncio.Future[GenerationError | None]] = []
        self.unbilled = 0

    @property
    def bought(self) -> int:
        """The number of generations that may have been billed, or may still be."""
        return len(self.requests) - self.unbilled

    async def generate(self, request: GenerationRequest, **options: Any) -> GeneratedImage:
        drawn = await super().generate(request, **options)
        end: asyncio.Future[GenerationError | None] = asyncio.get_running_loop().create_future()
        self.running.append(end)
        if error := await end:
            self.unbilled += not error.maybe_billed
            raise error
        return drawn


@dataclass(kw_only=True, eq=False)
class Client:
    """One request, which a client sends until it is answered; without an `order` the client is to send it again."""

    order: Order | None
    attempt: int = 0
    has_arrived: bool = True


class ResentOrders(RuleBasedStateMachine):
    """Clients with equal requests. No more is bought than was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.generator = OrderedGenerator()
        self.images = InMemoryImageRepository(lambda: self.time)
        contents = InMemoryContentStore()
        clock = InMemoryClock()
        create_image = CreateImage(
            images=self.images,
            idempotency_keys=self.images,
            dispatcher=Dispatcher(
                generate_image=GenerateImage(
                    images=self.images, contents=contents, generator=self.generator, clock=clock
                ),
                policy=DispatchPolicy(max_running=1_000),
            ),
            clock=clock,
            guids=RandomGuidSource(),
        )
        self.generations = create_image.generations
        self.place_order = PlaceOrder(create_batch=CreateBatch(create_image=create_image, batches=self.images))
        self.confirm_answer = ConfirmAnswer(idempotency_keys=self.images)
        self.waiting: list[Client] = []
        self.lost: list[Client] = []
        self.asked = 0
        self.have_all_arrived = True

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def work_and_settle() -> T:
            result = await work
            for _ in range(20):
                await asyncio.sleep(0)
            return result

        self.time += timedelta(milliseconds=1)
        return self.runner.run(work_and_settle())

    @rule()
    def send(self) -> None:
        order = self.run(self.place_order(FOX, 1, principal=ANN))
        self.waiting.append(Client(order=order))
        self.asked += 1

    @rule()
    def lose_a_first_attempt_on_the_way(self) -> None:
        self.lost.append(Client(order=None, has_arrived=False))
        self.have_all_arrived = False

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def lose_an_answer(self, data: st.DataObject) -> None:
        client = self._one_of(self.waiting, data)
        client.order = None
        self.lost.append(client)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        client = self._one_of(self.lost, data)
        client.attempt += 1
        client.order = self.run(self.place_order(FOX, 1, principal=ANN, attempt=client.attempt))
        self.asked += not client.has_arrived
        client.has_arrived = True
        self.waiting.append(client)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def lose_an_attempt_on_the_way(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.lost)).attempt += 1

    @precondition(lambda self: self.generator.running)
    @rule(
        data=st.data(),
        error=st.sampled_from(
            [
                None,
                GenerationTimedOutError("Too late.", maybe_billed=True),
                GenerationRateLimitedError("Slowly.", maybe_billed=False),
            ]
        ),
    )
    def end_a_generation(self, data: st.DataObject, error: GenerationError | None) -> None:
        end = data.draw(st.sampled_from(self.generator.running))
        self.generator.running.remove(end)

        async def tell() -> None:
            end.set_result(error)

        self.run(tell())

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.waiting))
        assert client.order is not None
        image = self.run(self.images.get(client.order.guid))
        if not image.status.is_final:
            return
        self.waiting.remove(client)
        error = image.generation_error
        if error is None or error.maybe_billed:
            self.run(self.confirm_answer(client.order))
        else:
            client.order = None
            self.lost.append(client)

    @invariant()
    def no_more_is_bought_than_was_asked_for(self) -> None:
        assert self.generator.bought <= self.asked

    @invariant()
    def each_request_is_bought_once_if_none_is_refused_or_lost_before_it_is_placed(self) -> None:
        if self.have_all_arrived and not self.generator.unbilled:
            assert self.generator.bought == self.asked

    def teardown(self) -> None:
        self.runner.run(self.generations.close(0))
        self.runner.close()

    @staticmethod
    def _one_of(clients: list[Client], data: st.DataObject) -> Client:
        client = data.draw(st.sampled_from(clients))
        clients.remove(client)
        return client


TestResentOrders = ResentOrders.TestCase
TestResentOrders.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
