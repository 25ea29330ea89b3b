"""Work on a few items of a long list at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from pixyproxy.application.in_order import in_order


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_results_come_in_the_order_of_the_items_whichever_is_done_first() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0.002 * (5 - number))
        return number * 10

    assert [result async for result in in_order(numbers(5), work, at_once=3)] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("at_once", [1, 4, 100])
async def test_no_more_than_allowed_are_worked_on_at_once_and_as_many_as_allowed_are(at_once: int) -> None:
    running, peak = 0, 0

    async def work(_: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1

    assert len([result async for result in in_order(numbers(20), work, at_once=at_once)]) == 20
    assert peak == min(at_once, 20)


async def test_an_error_comes_after_the_results_before_it_and_ends_all_other_work() -> None:
    async def work(number: int) -> int:
        if number == 2:
            raise RuntimeError
        await asyncio.sleep(0 if number < 2 else 60)
        return number

    async with aclosing(in_order(numbers(10), work, at_once=4)) as working:
        assert [await anext(working), await anext(working)] == [0, 1]
        with pytest.raises(RuntimeError):
            await anext(working)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_it_cancels_the_work() -> None:
    ended = asyncio.Event()

    async def work(number: int) -> int:
        try:
            await asyncio.sleep(60 * number)
        finally:
            ended.set()
        return number

    async with aclosing(in_order(numbers(10), work, at_once=2)) as working:
        assert await anext(working) == 0
        ended.clear()
    assert ended.is_set()
