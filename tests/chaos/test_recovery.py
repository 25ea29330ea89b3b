"""How an image survives the loss of its service or its database, and which process finishes it."""

import asyncio
import hashlib
import signal
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.chaos.halting_service import DELETING, Step
from tests.chaos.world import AUTHORS, PASSWORD, Service, World

LOGIN = (AUTHORS[0], PASSWORD)
KEY = {"Idempotency-Key": "the-only-one"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(auth=LOGIN, headers=KEY, timeout=40) as client:
        yield client


async def ask(client: httpx.AsyncClient, service: Service, prompt: str) -> httpx.Response | None:
    try:
        return await client.post(f"{service.url}/private/image", json={"prompt": prompt})
    except httpx.TransportError:
        return None


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.01)


async def test_a_service_takes_over_the_purchase_of_a_killed_one(world: World, client: httpx.AsyncClient) -> None:
    killed, other = await world.start(), await world.start()
    prompt = "a fox [[gate a]]"
    asked = asyncio.create_task(ask(client, killed, prompt))
    await until(lambda: world.openai.waiting["a"] == 1)
    waiting = asyncio.create_task(ask(client, other, prompt))

    await world.end(killed)

    assert await asked is None
    # The other service was asked only for the image of this key.
    await world.until("status = 'unknown' AND maybe_billed AND failure_kind = 'GenerationAbandonedError'")
    answers = [await waiting, await ask(client, other, prompt)]
    for answer in answers:
        assert answer is not None
        assert (answer.status_code, answer.json()["maybe_billed"]) == (409, True)
        assert answer.headers["Idempotency-Replayed"] == "true"
    assert world.openai.billed == [prompt]


async def test_a_service_shows_an_image_that_a_killed_one_had_stored(world: World, client: httpx.AsyncClient) -> None:
    killed, other = await world.start(), await world.start()
    world.hold()
    prompt = "a fox {{halt stored}}"
    asked = asyncio.create_task(ask(client, killed, prompt))
    await until(lambda: prompt in world.halted())
    waiting = asyncio.create_task(ask(client, other, prompt))

    await world.end(killed)
    world.release()

    assert await asked is None
    await world.until("status = 'ready'")
    answer = await waiting
    assert answer is not None
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (200, "true")
    image = answer.json()
    content = await client.get(f"{other.url}/private/image/{image['guid']}/content")
    assert hashlib.sha256(content.content).hexdigest() == image["sha256"]
    assert world.openai.billed == [prompt]


@pytest.mark.parametrize(("step", "status"), [(Step.GENERATING, "unknown"), (Step.STORED, "ready")])
async def test_a_batch_ends_image_by_image_when_one_of_its_services_is_killed(
    world: World, client: httpx.AsyncClient, step: Step, status: str
) -> None:
    killed, other = await world.start(PIXYPROXY_MAX_GENERATIONS="1"), await world.start()
    world.hold()
    prompt = f"a fox {{{{halt {step}}}}}"

    async def ask_for_three(service: Service) -> httpx.Response:
        return await client.post(f"{service.url}/private/image/batch", json={"prompt": prompt, "n": 3})

    asked = asyncio.create_task(ask_for_three(killed))
    # The other service makes those for which this one has no room.
    await until(lambda: world.halted()[prompt] == 3)
    waiting = asyncio.create_task(ask_for_three(other))

    await world.end(killed)
    world.release()

    with pytest.raises(httpx.TransportError):
        await asked
    answers = [await waiting, await ask_for_three(other)]
    assert all(answer.headers["Idempotency-Replayed"] == "true" for answer in answers)
    assert answers[0].json() == answers[1].json()
    assert {answer.status_code for answer in answers} == {200}
    rows = await world.query("SELECT status FROM images ORDER BY batch_position")
    assert [image["status"] for image in answers[0].json()] == [row[0] for row in rows]
    assert sorted(row[0] for row in rows) == sorted(["ready", "ready", status])
    assert world.openai.billed == [prompt] * (3 if status == "ready" else 2)


@pytest.mark.parametrize(("step", "status"), [(Step.ANSWERED, "unknown"), (Step.STORED, "ready")])
async def test_abandoned_images_are_finished_without_any_request(
    world: World, client: httpx.AsyncClient, step: Step, status: str
) -> None:
    killed, _ = await world.start(), await world.start()
    world.hold()
    prompt = f"a fox {{{{halt {step}}}}}"
    asked = asyncio.create_task(ask(client, killed, prompt))
    await until(lambda: prompt in world.halted())

    await world.end(killed)
    await asked

    world.release()
    await world.until(f"status = '{status}'")
    assert world.openai.billed == [prompt]


@pytest.mark.parametrize("step", [Step.WAITING, Step.PENDING, Step.CHECKED])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_next_service_makes_what_a_killed_one_had_not_begun(
    world: World, client: httpx.AsyncClient, step: Step, number: signal.Signals
) -> None:
    killed = await world.start()
    world.hold()
    prompt = f"a fox {{{{halt {step}}}}}"
    asked = asyncio.create_task(ask(client, killed, prompt))
    await until(lambda: prompt in world.halted())

    await world.end(killed, number)
    await asked
    assert await world.query("SELECT status FROM images") == (("pending",),)

    world.release()
    await world.start()
    await world.until("status = 'ready'")
    assert world.openai.billed == [prompt]


async def test_an_image_waits_until_the_disk_has_room(world: World, client: httpx.AsyncClient) -> None:
    service = await world.start()
    world.hold()
    prompt = "a fox {{halt waiting}}"
    asked = asyncio.create_task(ask(client, service, prompt))
    await until(lambda: prompt in world.halted())
    world.disk.fill([service])
    world.release()
    await until(lambda: "image left to another process, or to the queue" in service.output)
    assert world.openai.billed == []

    world.disk.free([service])

    answer = await asked
    assert answer is not None
    assert (answer.status_code, world.openai.billed) == (200, [prompt])


async def test_bytes_that_come_while_the_database_is_gone_are_shown_when_it_is_back(
    world: World, client: httpx.AsyncClient
) -> None:
    service = await world.start(PIXYPROXY_PATIENCE="0.6")
    prompt = "a fox [[gate a]]"
    asked = asyncio.create_task(ask(client, service, prompt))
    await until(lambda: world.openai.waiting["a"] == 1)

    await asyncio.to_thread(world.database.kill)
    world.openai.open_gate("a")

    answer = await asked
    assert answer is not None
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (503, "urn:pixyproxy:problem:image-delayed")
    assert (problem["maybe_billed"], problem["retryable"]) == (True, False)
    assert float(answer.headers["Retry-After"]) > 0
    await asyncio.to_thread(world.database.start)
    await world.until("status = 'ready'")
    assert await world.query("SELECT guid FROM images") == ((problem["guid"],),)
    again = await ask(client, service, prompt)
    assert again is not None
    assert (again.status_code, again.json()["guid"]) == (200, problem["guid"])
    assert world.openai.billed == [prompt]


async def test_a_service_that_wakes_up_after_another_has_given_up_its_image_shows_it_all_the_same(
    world: World, client: httpx.AsyncClient
) -> None:
    frozen, _ = await world.start(), await world.start()
    world.hold()
    prompt = "a fox {{halt answered}}"
    asked = asyncio.create_task(ask(client, frozen, prompt))
    await until(lambda: prompt in world.halted())

    frozen.freeze()
    await world.until("status = 'unknown'")
    world.release()
    frozen.thaw()

    answer = await asked
    assert answer is not None
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    await world.until("status = 'ready'")


async def test_a_deletion_whose_process_was_killed_is_finished_by_another(
    world: World, client: httpx.AsyncClient
) -> None:
    killed, other = await world.start(), await world.start()
    world.hold()
    prompt = f"a fox {{{{halt {DELETING}}}}}"
    asked = await ask(client, killed, prompt)
    assert asked is not None
    path = f"/private/image/{asked.json()['guid']}"
    deleting = asyncio.create_task(client.delete(f"{killed.url}{path}"))
    await until(lambda: prompt in world.halted())
    assert (await client.get(f"{other.url}{path}")).status_code == 404
    assert len(world.contents()) == 1

    await world.end(killed)
    world.release()

    with pytest.raises(httpx.TransportError):
        await deleting
    await until(lambda: not world.contents())
    assert (await client.delete(f"{other.url}{path}")).status_code == 404
    doctor = await world.doctor()
    assert doctor.returncode == 0, doctor.stdout
