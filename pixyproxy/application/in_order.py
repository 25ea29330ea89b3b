"""Work on a few items of a long list at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    items: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, R]], *, at_once: int
) -> AsyncGenerator[R]:
    """Yield the result of `work` for each item, in the order of the items; work on at most `at_once` at a time.

    Raises what `items` and `work` raise, after the results before it. The rest is cancelled when the generator is
    closed, so close it (`contextlib.aclosing`).
    """
    running: deque[asyncio.Task[R]] = deque()
    try:
        async for item in items:
            running.append(asyncio.create_task(work(item)))
            if len(running) == at_once:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
