"""Background work of a serving process: recovery, interrupted deletions, expiry, data upgrades, orderly shutdown."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.finish_deletions import FinishDeletions
from pixyproxy.application.generate_image import ImageHandedOverError
from pixyproxy.application.generations import Generations
from pixyproxy.application.index_prompts import IndexPrompts
from pixyproxy.application.recover_images import RecoverImages
from pixyproxy.application.sweep_sessions import SweepSessions
from pixyproxy.application.sweep_uploads import SweepUploads
from pixyproxy.application.upgrade_data import UpgradeData
from pixyproxy.domain.errors import GenerationError, GenerationFaultError, PixyProxyException
from pixyproxy.domain.ports import IdempotencyKeys

_log = logging.getLogger("pixyproxy.generations")


def process_name() -> str:
    """Return a new name under which this process holds leases; host and pid are for people who read the table.

    Containers that are replaced have the same host and pid, so only the rest is unique.
    """
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    return name.encode("ascii", "replace").decode()[-255:]


def log_end(guid: UUID, error: BaseException | None) -> None:
    """Log the outcome of a generation."""
    facts = {"guid": str(guid)}
    match error:
        case None:
            _log.info("image ready", extra=facts)
        case asyncio.CancelledError():
            _log.warning("generation interrupted and left to recovery", extra=facts)
        case ImageHandedOverError():
            _log.warning("image left to another process, or to the queue", extra=facts)
        case GenerationFaultError():
            _log.error("generation failed unexpectedly", extra=facts, exc_info=error.__cause__)
        case GenerationError():
            problem = {"problem": type(error).__name__, "maybe_billed": error.maybe_billed}
            _log.warning("image failed", extra={**facts, **problem, "generator_request_id": error.request_id})
        case PixyProxyException():
            _log.warning("image left to recovery", extra={**facts, "problem": type(error).__name__})
        case _:
            _log.error("generation failed unexpectedly", extra=facts, exc_info=error)


def log_dispatch_error(error: Exception) -> None:
    """Log what keeps this process from looking into the queue."""
    if isinstance(error, PixyProxyException):
        _log.warning("queue not read", extra={"problem": type(error).__name__, "detail": error.detail})
    else:
        _log.error("queue not read", exc_info=error)


def log_thumbnail_error(guid: UUID, error: Exception) -> None:
    """Log why an image has no thumbnail yet; it is made on request."""
    facts = {"guid": str(guid)}
    if isinstance(error, PixyProxyException):
        _log.warning("no thumbnail made", extra={**facts, "problem": type(error).__name__, "detail": error.detail})
    else:
        _log.error("thumbnail failed unexpectedly", extra=facts, exc_info=error)


async def end_generations(dispatcher: Dispatcher, generations: Generations, seconds: float) -> None:
    """Start no more generations, and wait at most `seconds` for the running ones."""
    await dispatcher.close()
    if generations:
        _log.info("waiting for generations", extra={"number": len(generations), "at_most_seconds": seconds})
    await generations.close(seconds)


@asynccontextmanager
async def housekeeping(
    recover_images: RecoverImages,
    finish_deletions: FinishDeletions,
    upgrade_data: UpgradeData,
    index_prompts: IndexPrompts,
    idempotency_keys: IdempotencyKeys,
    *,
    sweep_uploads: SweepUploads,
    sweep_sessions: SweepSessions | None = None,
    every: float,
) -> AsyncIterator[None]:
    """Recover abandoned images, finish deletions, delete unused uploads, drop expired idempotency keys and sessions.

    Runs at once and then after `every` seconds, during the block. Upgrades stored records and indexes prompts once.
    """
    tasks = [
        asyncio.create_task(_upgrade(upgrade_data, every)),
        asyncio.create_task(_do(index_prompts, "prompts indexed")),
        asyncio.create_task(_repeat(recover_images, "abandoned images recovered", every)),
        asyncio.create_task(_repeat(finish_deletions, "interrupted deletions finished", every)),
        asyncio.create_task(_repeat(sweep_uploads, "unused uploads deleted", every)),
        asyncio.create_task(_repeat(idempotency_keys.forget_expired_claims, "expired idempotency keys dropped", every)),
    ]
    if sweep_sessions is not None:
        tasks.append(asyncio.create_task(_repeat(sweep_sessions, "expired sessions dropped", every)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def recovery(recover_images: RecoverImages, *, every: float) -> AsyncIterator[None]:
    """Recover abandoned images after each `every` seconds, during the block."""
    recovering = asyncio.create_task(_recover(recover_images, every))
    try:
        yield
    finally:
        recovering.cancel()
        await asyncio.wait([recovering])


async def _recover(recover_images: RecoverImages, every: float) -> None:
    await asyncio.sleep(every)
    await _repeat(recover_images, "abandoned images recovered", every)


async def _repeat(work: Callable[[], Awaitable[int]], event: str, every: float) -> None:
    while True:
        await _do(work, event)
        await asyncio.sleep(every)


async def _upgrade(upgrade_data: UpgradeData, every: float) -> None:
    async def upgrade() -> int:
        done = await upgrade_data()
        for sentence in done:
            _log.info("data upgrade finished", extra={"done": sentence})
        return 0

    while True:
        if await _do(upgrade, "data upgrades finished"):
            return
        await asyncio.sleep(every)


async def _do(work: Callable[[], Awaitable[int]], event: str) -> bool:
    """Do the work, log the outcome, and return whether it succeeded."""
    try:
        number = await work()
    except PixyProxyException as exc:
        _log.warning("housekeeping failed", extra={"problem": type(exc).__name__, "detail": exc.detail})
    except Exception:  # noqa: BLE001 -- the next round may succeed
        _log.exception("housekeeping failed unexpectedly")
    else:
        if number:
            _log.info(event, extra={"number": number})
        return True
    return False
