"""What became of all that clients were told."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from tests.cluster.clients import READS, WRITES, Client, playing
from tests.cluster.events import Happening
from tests.cluster.ledger import Creation, Ledger
from tests.cluster.world import AUTHORS, World

_ATTEMPTS: Final = 60
# Kinds of problems after which the same request may be sent again; nginx's own have no kind.
_PASSING: Final = (
    "",
    "db-connection",
    "content-store",
    "overloaded",
    "generation-not-started",
    "idempotency-key-in-use",
)
# How a promised image may end. What OpenAI may have billed for a replica that died is not bought again.
_KEPT: Final = ("ready", "unknown")
# The end of an event is followed, too.
_SECONDS_AFTER: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of one event.

    `lost` says what is wrong with images that were acknowledged, `broken` which promises were not kept, and `twice`
    what was billed or recorded more than once. `unknown` images are those whose process died while OpenAI drew: they
    are not bought again. `doctor` is what `pixyproxy doctor` said, if it was asked and something is wrong.
    """

    ledger: Ledger
    acknowledged: int
    promised: int
    lost: Sequence[str]
    broken: Sequence[str]
    twice: Sequence[str]
    unknown: int
    doctor: str = ""

    @property
    def faults(self) -> Sequence[str]:
        """What is never right, whatever happens."""
        return [
            *(f"lost: {each}" for each in self.lost),
            *(f"promise broken: {each}" for each in self.broken),
            *(f"billed or recorded twice: {each}" for each in self.twice),
            *([f"doctor: {self.doctor}"] if self.doctor else []),
        ]

    @property
    def slowest_read(self) -> float:
        """The seconds of the slowest GET."""
        return self.ledger.slowest(READS)

    @property
    def slowest_write(self) -> float:
        """The seconds of the slowest POST or PATCH."""
        return self.ledger.slowest(WRITES)


def play(world: World, event: Happening, seconds: float, *, with_doctor: bool = True) -> Verdict:
    """Play an event under load, bring all images to their end, and check them one by one."""
    event.prepare(world)
    ledger = Ledger()
    with playing(world.url, ledger):
        event.happen(world, ledger, seconds)
        time.sleep(max(_SECONDS_AFTER, ledger.began_at + seconds - time.monotonic()))
    return judge(world, ledger, with_doctor=with_doctor)


def judge(world: World, ledger: Ledger, *, with_doctor: bool = True) -> Verdict:
    """Return the verdict on what the world has and OpenAI has billed."""
    world.heal()
    acknowledged = sum(creation.is_acknowledged for creation in ledger.creations)
    promised = sum(creation.is_promised for creation in ledger.creations)
    with ExitStack() as stack:
        clients = {author: stack.enter_context(Client(world.url, author, Ledger())) for author in AUTHORS}
        for creation in ledger.creations:
            if not creation.is_acknowledged:
                _find(clients[creation.author], creation)
        world.wait_until_settled()
        checked = [(each, _check(clients[each.author], each)) for each in ledger.creations if each.guid]
    billed = world.openai.times_billed()
    recorded = Counter(prompt for (prompt,) in world.query("SELECT prompt FROM images"))
    prompts = [creation.prompt for creation in ledger.creations]
    lost = [f"{creation.prompt}: {found.problem}" for creation, found in checked if found.problem]
    lost += [
        f"{prompt}: billed, and there is no record" for prompt in prompts if billed[prompt] and not recorded[prompt]
    ]
    return Verdict(
        ledger=ledger,
        acknowledged=acknowledged,
        promised=promised,
        lost=lost,
        broken=[
            f"{creation.prompt}: {found.status}"
            for creation, found in checked
            if creation.is_promised and found.status not in _KEPT
        ],
        twice=[prompt for prompt in prompts if billed[prompt] > 1 or recorded[prompt] > 1],
        unknown=sum(found.status == "unknown" for _, found in checked),
        doctor=_doctor(world) if with_doctor else "",
    )


@dataclass(frozen=True, slots=True)
class _Found:
    status: str
    problem: str = ""


def _find(client: Client, creation: Creation) -> None:
    """Find an image whose response did not arrive by its key, as a client would."""
    for _ in range(_ATTEMPTS):
        is_found = client.send(creation, waits=True) is not None
        if is_found or client.kind_of_problem not in _PASSING:
            return
        time.sleep(0.5)


def _check(client: Client, creation: Creation) -> _Found:
    """Return the state of an image, and what is wrong with it, if anything."""
    details = client.request("details", "GET", f"/private/image/{creation.guid}")
    if details is None:
        return _Found("missing", client.ledger.requests[-1].error)
    found = details.json()
    if found["status"] != "ready":
        return _Found(found["status"], "no longer ready" if creation.is_confirmed else "")
    content = client.request("content", "GET", f"/private/image/{creation.guid}/content")
    if content is None:
        return _Found("ready", f"content: {client.ledger.requests[-1].error}")
    digests = {hashlib.sha256(content.content).hexdigest(), found["sha256"], creation.sha256}
    if len(digests) > 1:
        return _Found("ready", "other bytes")
    if "".join(found["tags"]) not in creation.tags:
        return _Found("ready", f"tags {found['tags']} instead of {creation.tags}")
    return _Found("ready")


def _doctor(world: World) -> str:
    done = world.doctor()
    return "" if done.returncode == 0 else done.stdout + done.stderr
