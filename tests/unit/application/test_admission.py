"""Who may generate, and who next."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.application.admission import Admission, Place
from pixyproxy.domain.errors import GenerationNotStartedError, OverloadedError
from pixyproxy.domain.user import UserName

ANN, BOB, EVE = UserName("ann"), UserName("bob"), UserName("eve")


async def has_turn(place: Place) -> bool:
    """Whether the work may begin by now."""
    try:
        await asyncio.wait_for(place.turn(), 0.001)
    except TimeoutError:
        return False
    return True


async def test_as_many_as_may_run_have_their_turn_at_once() -> None:
    admission = Admission(max_running=2, max_waiting=1)
    places = [admission.enter(ANN) for _ in range(3)]
    assert [await has_turn(place) for place in places] == [True, True, False]


async def test_one_more_than_may_wait_is_turned_away_and_told_when_to_come_back() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    for _ in range(3):
        admission.enter(ANN)
    with pytest.raises(OverloadedError) as caught:
        admission.enter(ANN)
    assert caught.value.retry_after > 0


async def test_without_waiting_places_only_those_who_run_are_let_in() -> None:
    admission = Admission(max_running=1, max_waiting=0)
    first = admission.enter(ANN)
    with pytest.raises(OverloadedError):
        admission.enter(BOB)
    first.leave()
    assert await has_turn(admission.enter(BOB))


async def test_whoever_leaves_lets_the_next_in() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    first, second, third = (admission.enter(ANN) for _ in range(3))
    first.leave()
    assert (await has_turn(second), await has_turn(third)) == (True, False)
    second.leave()
    assert await has_turn(third)


async def test_leaving_twice_or_before_the_turn_frees_no_more_than_the_place() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    first, second, third = (admission.enter(ANN) for _ in range(3))
    second.leave()
    second.leave()
    assert not await has_turn(third)
    first.leave()
    first.leave()
    assert await has_turn(third)
    assert not await has_turn(admission.enter(ANN))


async def test_authors_take_turns_however_many_one_of_them_has_waiting() -> None:
    admission = Admission(max_running=1, max_waiting=10)
    running = admission.enter(ANN)
    anns = [admission.enter(ANN) for _ in range(4)]
    bobs = [admission.enter(BOB) for _ in range(2)]
    order: list[Place] = []
    for _ in range(6):
        running.leave()
        [running] = [place for place in (*anns, *bobs) if place not in order and await has_turn(place)]
        order.append(running)
    assert [place.author for place in order] == [BOB, ANN, BOB, ANN, ANN, ANN]


async def test_the_author_with_the_fewest_running_is_next() -> None:
    admission = Admission(max_running=3, max_waiting=10)
    anns = [admission.enter(ANN) for _ in range(2)]
    bob = admission.enter(BOB)
    ann, bob_too = admission.enter(ANN), admission.enter(BOB)
    anns[0].leave()
    assert await has_turn(bob_too) != await has_turn(ann)
    bob.leave()
    assert (await has_turn(ann), await has_turn(bob_too)) == (True, True)


async def test_an_author_who_takes_all_places_gives_the_latest_up_for_another() -> None:
    admission = Admission(max_running=1, max_waiting=3)
    places = [admission.enter(ANN) for _ in range(4)]
    bob = admission.enter(BOB)
    with pytest.raises(GenerationNotStartedError) as caught:
        await places[3].turn()
    assert not caught.value.maybe_billed
    assert caught.value.retry_after
    places[3].leave()
    places[0].leave()
    assert await has_turn(bob)


async def test_no_author_is_turned_out_for_one_who_would_then_have_as_many() -> None:
    admission = Admission(max_running=1, max_waiting=3)
    for author in (ANN, ANN, BOB, BOB):
        admission.enter(author)
    with pytest.raises(OverloadedError):
        admission.enter(ANN)
    eve = admission.enter(EVE)
    with pytest.raises(OverloadedError):
        admission.enter(EVE)
    assert not await has_turn(eve)


@given(st.integers(1, 4), st.integers(0, 5), st.lists(st.tuples(st.sampled_from([ANN, BOB, EVE, None]), st.booleans())))
def test_whatever_happens_the_bounds_hold_and_no_place_is_idle(
    max_running: int, max_waiting: int, steps: list[tuple[UserName | None, bool]]
) -> None:
    async def scenario() -> None:
        admission = Admission(max_running=max_running, max_waiting=max_waiting)
        places: set[Place] = set()
        choose = random.Random(len(steps))  # noqa: S311
        for author, is_leaving in steps:
            if is_leaving and places:
                place = choose.choice(sorted(places, key=id))
                place.leave()
                places.discard(place)
            else:
                try:
                    places.add(admission.enter(author))
                except OverloadedError:
                    assert len(places) == max_running + max_waiting
            running = waiting = 0
            for place in list(places):
                task = asyncio.create_task(place.turn())
                await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
                    waiting += 1
                elif task.exception() is None:
                    running += 1
                else:
                    place.leave()
                    places.discard(place)
            assert running <= max_running
            assert waiting <= max_waiting
            assert not waiting or running == max_running

    asyncio.run(scenario())
