"""Admission of generations: how many run, and which is next."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.application.admission import Admission, Slot
from pixyproxy.domain.errors import DataValidationError, GenerationNotStartedError, OverloadedError
from pixyproxy.domain.user import UserName

ANN, BOB, EVE = UserName("ann"), UserName("bob"), UserName("eve")


async def has_turn(slot: Slot) -> bool:
    """Whether the work may begin."""
    try:
        await asyncio.wait_for(slot.granted(), 0.001)
    except TimeoutError:
        return False
    return True


async def are_revoked(slots: Sequence[Slot]) -> list[bool]:
    """Whether each slot was revoked."""
    turns = await asyncio.gather(*map(has_turn, slots), return_exceptions=True)
    return [isinstance(turn, GenerationNotStartedError) for turn in turns]


async def test_as_many_as_may_run_have_their_turn_at_once() -> None:
    admission = Admission(max_running=2, max_waiting=1)
    slots = [admission.reserve(ANN) for _ in range(3)]
    assert [await has_turn(slot) for slot in slots] == [True, True, False]


async def test_one_more_than_may_wait_is_turned_away_and_told_when_to_come_back() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    for _ in range(3):
        admission.reserve(ANN)
    with pytest.raises(OverloadedError) as caught:
        admission.reserve(ANN)
    assert caught.value.retry_after > 0


async def test_without_waiting_slots_only_running_generations_are_admitted() -> None:
    admission = Admission(max_running=1, max_waiting=0)
    first = admission.reserve(ANN)
    with pytest.raises(OverloadedError):
        admission.reserve(BOB)
    first.release()
    assert await has_turn(admission.reserve(BOB))


async def test_a_waiter_that_leaves_lets_the_next_in() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    first, second, third = (admission.reserve(ANN) for _ in range(3))
    first.release()
    assert (await has_turn(second), await has_turn(third)) == (True, False)
    second.release()
    assert await has_turn(third)


async def test_leaving_twice_or_before_the_turn_frees_no_more_than_the_place() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    first, second, third = (admission.reserve(ANN) for _ in range(3))
    second.release()
    second.release()
    assert not await has_turn(third)
    first.release()
    first.release()
    assert await has_turn(third)
    assert not await has_turn(admission.reserve(ANN))


async def test_authors_take_turns_however_many_one_of_them_has_waiting() -> None:
    admission = Admission(max_running=1, max_waiting=10)
    running = admission.reserve(ANN)
    anns = [admission.reserve(ANN) for _ in range(4)]
    bobs = [admission.reserve(BOB) for _ in range(2)]
    order: list[Slot] = []
    for _ in range(6):
        running.release()
        [running] = [slot for slot in (*anns, *bobs) if slot not in order and await has_turn(slot)]
        order.append(running)
    assert [slot.author for slot in order] == [BOB, ANN, BOB, ANN, ANN, ANN]


async def test_the_author_with_the_fewest_running_is_next() -> None:
    admission = Admission(max_running=3, max_waiting=10)
    anns = [admission.reserve(ANN) for _ in range(2)]
    bob = admission.reserve(BOB)
    ann, bob_too = admission.reserve(ANN), admission.reserve(BOB)
    anns[0].release()
    assert await has_turn(bob_too) != await has_turn(ann)
    bob.release()
    assert (await has_turn(ann), await has_turn(bob_too)) == (True, True)


async def test_an_author_with_all_slots_loses_the_latest_to_another() -> None:
    admission = Admission(max_running=1, max_waiting=3)
    slots = [admission.reserve(ANN) for _ in range(4)]
    bob = admission.reserve(BOB)
    with pytest.raises(GenerationNotStartedError) as caught:
        await slots[3].granted()
    assert not caught.value.maybe_billed
    assert caught.value.retry_after
    slots[3].release()
    slots[0].release()
    assert await has_turn(bob)


async def test_no_author_loses_a_slot_to_one_that_would_then_have_as_many() -> None:
    admission = Admission(max_running=1, max_waiting=3)
    for author in (ANN, ANN, BOB, BOB):
        admission.reserve(author)
    with pytest.raises(OverloadedError):
        admission.reserve(ANN)
    eve = admission.reserve(EVE)
    with pytest.raises(OverloadedError):
        admission.reserve(EVE)
    assert not await has_turn(eve)


async def test_several_slots_are_reserved_at_once_and_granted_like_others() -> None:
    admission = Admission(max_running=2, max_waiting=3)
    slots = admission.reserve_all(ANN, 5)
    assert [await has_turn(slot) for slot in slots] == [True, True, False, False, False]
    slots[0].release()
    assert [await has_turn(slot) for slot in slots[2:]] == [True, False, False]


async def test_without_room_for_all_none_is_reserved() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    ann = admission.reserve(ANN)
    for author in (ANN, BOB):
        with pytest.raises(OverloadedError):
            admission.reserve_all(author, 3)
    ann.release()
    assert len(admission.reserve_all(BOB, 3)) == 3


async def test_more_slots_than_there_ever_are_break_a_rule_of_the_request() -> None:
    admission = Admission(max_running=1, max_waiting=2)
    with pytest.raises(DataValidationError, match="at most 3") as caught:
        admission.reserve_all(ANN, 4)
    assert caught.value.field == "n"
    admission.close()
    with pytest.raises(OverloadedError):
        admission.reserve_all(ANN, 3)


async def test_several_slots_displace_no_more_of_another_than_leaves_both_with_as_many() -> None:
    admission = Admission(max_running=1, max_waiting=9)
    anns = admission.reserve_all(ANN, 10)
    with pytest.raises(OverloadedError):
        admission.reserve_all(BOB, 6)
    assert not any(await are_revoked(anns))
    assert len(admission.reserve_all(BOB, 5)) == 5
    assert await are_revoked(anns) == [False] * 5 + [True] * 5


async def test_several_slots_displace_those_of_the_author_who_then_has_the_most() -> None:
    admission = Admission(max_running=1, max_waiting=9)
    anns, bobs = admission.reserve_all(ANN, 6), admission.reserve_all(BOB, 4)
    admission.reserve_all(EVE, 3)
    assert await are_revoked(anns) == [False] * 4 + [True] * 2
    assert await are_revoked(bobs) == [False] * 3 + [True]


@given(
    st.integers(1, 4), st.integers(0, 5), st.lists(st.tuples(st.sampled_from([ANN, BOB, EVE, None]), st.integers(0, 4)))
)
def test_whatever_happens_the_bounds_hold_and_no_place_is_idle(
    max_running: int, max_waiting: int, steps: list[tuple[UserName | None, int]]
) -> None:
    async def scenario() -> None:
        admission = Admission(max_running=max_running, max_waiting=max_waiting)
        slots: set[Slot] = set()
        choose = random.Random(len(steps))  # noqa: S311
        for author, count in steps:
            if not count and slots:
                slot = choose.choice(sorted(slots, key=id))
                slot.release()
                slots.discard(slot)
            else:
                try:
                    slots.update(admission.reserve_all(author, count or 1))
                except OverloadedError:
                    assert len(slots) + (count or 1) > max_running + max_waiting
                except DataValidationError:
                    assert count > max_running + max_waiting
            running = waiting = 0
            for slot in list(slots):
                task = asyncio.create_task(slot.granted())
                await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
                    waiting += 1
                elif task.exception() is None:
                    running += 1
                else:
                    slot.release()
                    slots.discard(slot)
            assert running <= max_running
            assert waiting <= max_waiting
            assert not waiting or running == max_running

    asyncio.run(scenario())
