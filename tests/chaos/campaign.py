"""A seeded schedule of creations and faults, and the account of each outcome.

A trial is one image that a client wants, or a batch, with an idempotency key that it never changes. A round puts some
trials where they are to be struck, strikes them all at once, mends what was broken, lets the clients ask again, and
compares what the stand-in has billed with what the database, the disk and the service say.
"""

import asyncio
import base64
import hashlib
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import httpx
import msgspec

from pixyproxy.domain import errors
from pixyproxy.domain.image import ImageStatus
from pixyproxy.entrypoints.http.problems.problem_types import problem_type_of
from tests.chaos.halting_service import PARTIAL_STEPS, Step
from tests.chaos.world import AUTHORS, PASSWORD, PICTURE_SIZE, SETTINGS, Service, World
from tests.doubles.openai_server import Order
from tests.doubles.strange_answers import CODINGS, ENCODINGS, USAGES

ROUND_SIZE: Final = 20
BATCH_SIZE: Final = 3
PATIENCE: Final = float(SETTINGS["PIXYPROXY_PATIENCE"])
LEASE: Final = float(SETTINGS["PIXYPROXY_LEASE"])
IN_PLACE_SECONDS: Final = 30.0
LEFT_OVER_SECONDS: Final = 5.0

READY, FAILED, UNKNOWN = ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN


class Strike(StrEnum):
    """The fault that strikes once all trials of a round are in place."""

    NOTHING = "nothing"
    KILLED = "service killed"
    KILLED_TWICE = "service killed twice"
    KILLED_AT_RANDOM = "service killed at random"
    TERMINATED = "service terminated"
    FROZEN = "service frozen"
    DATABASE_KILLED_BRIEFLY = "database killed, back soon"
    DATABASE_KILLED_FOR_LONG = "database killed, back late"
    DATABASE_KILLED_AT_RANDOM = "database killed at random"
    DATABASE_FROZEN = "database frozen"
    BOTH_KILLED = "service, database killed"
    DISK_FULL_BRIEFLY = "disk full, room soon"
    DISK_FULL_FOR_LONG = "disk full, room late"


class Gate(StrEnum):
    """Where the stand-in can hold an image that it has billed."""

    DRAWING = "gate"
    SENDING = "gate-body"


Place = Step | Gate

REFUSED_IN_A_GOOD_ANSWER: Final = 'says 200 {"error": {"code": "moderation_blocked", "message": "No."}}'

PLACES: Final[Sequence[Place]] = (*Step, *Gate)
# Paid, and no picture that any browser shows: it has to be in quarantine.
GARBAGE: Final = frozenset(
    {
        "html",
        "truncated",
        "bad-base64",
        "not-json",
        "no-picture",
        "html-picture",
        "broken-svg",
        "empty-data",
        "no-data",
        "a-list",
        "url-only",
        "number-base64",
    }
)
# Paid and truncated: the part must be in quarantine, unless it is a picture already.
CUT: Final = frozenset({"cut", "reset", "part 100"})
# Perhaps paid, and nothing came back but an error.
ERRORS: Final = frozenset({"error 500", "error 503"})
SILENT: Final = frozenset({"hang", "drop"})
UNBILLED: Final = frozenset({"refuse", "rate-limit 0", "rate-limit 0.2", REFUSED_IN_A_GOOD_ANSWER})
# Strange, and a picture all the same.
STRANGE: Final = frozenset(
    {
        "wrong-format",
        "wrong-label",
        "label jpg",
        "label image/jpeg",
        "label nonsense",
        "trailing 1",
        "trailing 2000",
        "two",
        "part",
        *(f"encoding {name}" for name in ENCODINGS),
        *(f"coding {name}" for name in CODINGS),
        *(f"usage {name}" for name in USAGES),
    }
)
PLAIN: Final = frozenset({"ok", "big 200000", "chunked", "slow 0.3"})
GOOD: Final = PLAIN | STRANGE
# Whose content is another picture than that of the prompt, or more than it.
OTHER_PICTURES: Final = frozenset({"big 200000", "wrong-format", "trailing 1", "trailing 2000"})
KINDS: Final[Sequence[frozenset[str]]] = (GARBAGE, CUT, ERRORS | SILENT, UNBILLED, PLAIN, STRANGE, STRANGE)
AT_RANDOM: Final = frozenset({Strike.KILLED_AT_RANDOM, Strike.DATABASE_KILLED_AT_RANDOM})

KILLS: Final = frozenset({Strike.KILLED, Strike.KILLED_TWICE, Strike.KILLED_AT_RANDOM, Strike.BOTH_KILLED})
# Where the generator may find its time over.
AT_THE_GENERATOR: Final = frozenset(Gate) | PARTIAL_STEPS

# The free space is checked before the purchase.
NOT_BOUGHT: Final = frozenset({Step.UNWRITTEN, Step.WAITING, Step.PENDING})
NOT_BEGUN: Final = NOT_BOUGHT | {Step.CHECKED}
DISK_FULL: Final = frozenset({Strike.DISK_FULL_BRIEFLY, Strike.DISK_FULL_FOR_LONG})
ENDED: Final = frozenset({Strike.KILLED, Strike.KILLED_TWICE, Strike.TERMINATED, Strike.BOTH_KILLED})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a client."""

    status: int
    body: Any
    """The details of an image, those of the images of a batch, or a problem."""

    @property
    def images(self) -> list[dict[str, Any]]:
        """The details in the answer."""
        if isinstance(self.body, list):
            return self.body
        return [self.body] if "prompt" in self.body else []

    @property
    def problem(self) -> dict[str, Any]:
        """The problem that the answer is, if it is one."""
        return {} if self.images else self.body

    @property
    def guids(self) -> set[str]:
        """The images and the batch that the answer speaks of."""
        named = [self.problem.get("guid"), self.problem.get("batch"), *(image["guid"] for image in self.images)]
        return {guid for guid in named if guid}


@dataclass(kw_only=True)
class Trial:
    """What a client wants, one image or several: where they are to be when the strike comes, and how it behaves."""

    number: int
    strike: Strike
    place: Place | None
    behaviour: str
    author: str
    path: str
    count: int
    prefers_async: bool
    leaves: bool
    early_retries: int
    late_retries: int
    partial_images: int = 0
    is_edit: bool = False
    has_neighbour: bool = False
    answers: list[Answer | None] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """The client's prompt, with directives for the stand-in and for the halting service."""
        drawn = f"{self.place} {self.number}" if isinstance(self.place, Gate) else self.behaviour
        halted = f" {{{{halt {self.place}}}}}" if isinstance(self.place, Step) else ""
        return f"trial {self.number} [[{drawn}]]{halted}"

    @property
    def sort(self) -> str:
        """Where the trial was struck, or what the stand-in did to it."""
        if self.is_batch:
            return f"batch {self._sort}"
        return self._sort

    @property
    def is_batch(self) -> bool:
        """Whether it is about several images."""
        return self.count > 1

    @property
    def url_path(self) -> str:
        """The path of the creation."""
        return f"{self.path}/batch" if self.is_batch else self.path

    @property
    def _sort(self) -> str:
        if self.place:
            return f"at {self.place.name.lower()}"
        # The ways to write a picture down are too many for the table.
        name = self.behaviour.split(" ")[0] if self.behaviour in STRANGE | UNBILLED else self.behaviour
        return f"stand-in: {name}"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An image's row."""

    prompt: str
    guid: str
    status: ImageStatus
    failure_kind: str | None
    maybe_billed: bool | None
    sha256: str | None
    byte_size: int | None
    failure_detail: str | None
    batch: str | None

    @property
    def attempt(self) -> str:
        """The guid of the batch, or of an image without one."""
        return self.batch or self.guid

    @property
    def is_not_begun(self) -> bool:
        """Whether it was given up before anything was bought."""
        return self.failure_kind == errors.GenerationNotStartedError.__name__ and self.maybe_billed is False


class Outcome(StrEnum):
    """The outcome of a trial."""

    VISIBLE = "visible"
    FAILED_AND_KEPT = "failed, kept"
    UNKNOWN_AND_KEPT = "unknown, kept"
    FAILED_AFTER_BILLING = "failed, billed"
    UNKNOWN = "unknown, billed"
    UNBILLED = "not billed"
    NEEDLESSLY_UNKNOWN = "unknown, not billed"
    LOST = "lost"
    TWICE = "billed twice"


def outcome_of(row: Row | None, billed: int, *, is_kept: bool = False) -> Outcome:
    """Return the outcome of an image that was billed `billed` times; `is_kept` says if quarantine has a part of it."""
    if billed > 1:
        return Outcome.TWICE
    if row is None:
        return Outcome.LOST if billed else Outcome.UNBILLED
    if row.status is READY:
        return Outcome.VISIBLE
    if not row.maybe_billed:
        return Outcome.LOST if billed else Outcome.UNBILLED
    if not billed:
        return Outcome.NEEDLESSLY_UNKNOWN
    return _ENDS_WITHOUT_PICTURE[row.status, is_kept]


_ENDS_WITHOUT_PICTURE: Final = {
    (FAILED, True): Outcome.FAILED_AND_KEPT,
    (FAILED, False): Outcome.FAILED_AFTER_BILLING,
    (UNKNOWN, True): Outcome.UNKNOWN_AND_KEPT,
    (UNKNOWN, False): Outcome.UNKNOWN,
}


def statuses_allowed(trial: Trial) -> frozenset[ImageStatus]:
    """Return how the image of a trial may end: exactly, where place and strike leave no choice."""
    if trial.behaviour not in GOOD:
        return frozenset({FAILED, UNKNOWN})
    if trial.place is None:
        return frozenset({READY} if trial.strike is Strike.NOTHING else {READY, FAILED, UNKNOWN})
    allowed = next(
        statuses
        for strikes, places, statuses in _ALLOWED
        if trial.strike in (strikes or Strike) and trial.place in (places or PLACES)
    )
    # The neighbour, which is not struck, may have claimed the image.
    return allowed | {READY} if trial.has_neighbour else allowed


# The first line that fits counts; an empty set stands for all.
_ALLOWED: Final[Sequence[tuple[frozenset[Strike], frozenset[Place], frozenset[ImageStatus]]]] = (
    # A durable image is shown, whatever happens.
    (frozenset(), frozenset({Step.STORED, Step.READY}), frozenset({READY})),
    # Without space, an image is not bought until there is room, or was bought already and could not be kept.
    (DISK_FULL, NOT_BOUGHT, frozenset({READY})),
    (frozenset({Strike.DISK_FULL_FOR_LONG}), frozenset(), frozenset({READY, FAILED})),
    # Another process buys an image that was not begun; the second blow may strike that purchase.
    (frozenset({Strike.KILLED_TWICE}), NOT_BEGUN, frozenset({READY, UNKNOWN})),
    # An image that was not stored yet is bought when the client asks again, and any other that was not begun is not
    # given up: it waits in the queue until a process can make it.
    (frozenset(), NOT_BEGUN, frozenset({READY})),
    (ENDED, frozenset(), frozenset({UNKNOWN})),
    # The generator's time may be over when everything moves again.
    (frozenset({Strike.FROZEN, Strike.DATABASE_FROZEN}), AT_THE_GENERATOR, frozenset({READY, UNKNOWN})),
    (frozenset(), frozenset(), frozenset({READY})),
)


def plan_round(seed: int, number: int, first_trial: int) -> tuple[Strike, bool, list[Trial]]:
    """Return the strike of a round, whether there is a second service, and the trials: the same for the same seed."""
    strikes = list(Strike)
    deck, position = divmod(number, len(strikes))
    random.Random(f"{seed} deck {deck}").shuffle(strikes)  # noqa: S311
    strike = strikes[position]
    rng = random.Random(f"{seed} round {number}")  # noqa: S311
    places: list[Place | None] = [None] * ROUND_SIZE
    if strike not in AT_RANDOM:
        # A partial image that is deleted makes room on a full disk.
        reached = [place for place in PLACES if strike not in DISK_FULL or place not in PARTIAL_STEPS]
        places[: len(reached)] = reached
    trials = [
        Trial(
            number=first_trial + index,
            strike=strike,
            place=place,
            behaviour="ok" if place else rng.choice(sorted(rng.choice(KINDS))),
            author=rng.choice(AUTHORS),
            path=rng.choice(["/image", "/private/image"]),
            count=rng.choice([1, 1, BATCH_SIZE]),
            prefers_async=rng.random() < 0.15,
            leaves=rng.random() < 0.15,
            early_retries=rng.choice([0, 0, 1, 2]),
            late_retries=rng.choice([0, 1, 2]),
            partial_images=0 if strike in DISK_FULL else rng.choice([1, 2] if place in PARTIAL_STEPS else [0, 0, 1, 2]),
            is_edit=rng.random() < 0.3,
        )
        for index, place in enumerate(places)
    ]
    has_neighbour = rng.random() < 0.4
    for trial in trials:
        trial.has_neighbour = has_neighbour
    return strike, has_neighbour, trials


class Campaign:
    """Rounds in one world, which pass on what they have not repaired; `outcomes` is the account."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.outcomes: Counter[tuple[Strike, str, Outcome]] = Counter()
        self.trials = 0
        self.rounds = 0
        self._client = httpx.AsyncClient(timeout=40, limits=httpx.Limits(max_connections=200))

    async def close(self) -> None:
        """Close the connections of the clients."""
        await self._client.aclose()

    async def run_round(self) -> list[str]:
        """Run the next round and return what is wrong after it."""
        strike, has_neighbour, trials = plan_round(self.seed, self.rounds, self.trials)
        self.rounds += 1
        self.trials += len(trials)
        await self._have_services(2 if has_neighbour else 1)
        self.world.hold()
        victim, other = self.world.services[0], self.world.services[-1]
        first = {trial.number: asyncio.create_task(self._ask(trial, victim, is_first=True)) for trial in trials}
        if strike not in AT_RANDOM:
            await self._until_in_place(trials, first)
        early = [self._ask(trial, other) for trial in trials for _ in range(trial.early_retries)]
        asked = [*first.values(), *map(asyncio.create_task, early)]
        for trial in trials:
            if trial.leaves:
                first[trial.number].cancel()
        await _STRIKES[strike](self, trials)
        late = [self._ask(trial) for trial in trials for _ in range(trial.late_retries)]
        for left in await asyncio.gather(*asked, *late, return_exceptions=True):
            if isinstance(left, Exception):
                raise left
        await self.world.until("status IN ('ready', 'failed', 'unknown')")
        wrong = self._untruths_about_the_bill(trials)
        last = await asyncio.gather(*(self._ask(trial) for trial in trials for _ in range(2)))
        await self.world.until("status IN ('ready', 'failed', 'unknown')")
        attempts: dict[str, dict[str, list[Row]]] = {}
        for row in await self._rows():
            attempts.setdefault(row.prompt, {}).setdefault(row.attempt, []).append(row)
        for index, trial in enumerate(trials):
            written = list(attempts.get(trial.prompt, {}).values())
            stored = written[-1] if written else []
            # No image is given up before it is begun, so that the key stays with the first attempt.
            wrong += [f"{trial.prompt!r}, {strike}: before {stored} there was {earlier}" for earlier in written[:-1]]
            found = await self._examine(trial, stored, last[2 * index : 2 * index + 2]) + self._account(trial, stored)
            for row in stored:
                found += await self._left_over(trial, row) + await self._lost_reference(trial, row)
            wrong += [f"{trial.prompt!r}, {strike}: {problem}" for problem in found]
        return wrong

    def _account(self, trial: Trial, rows: Sequence[Row]) -> list[str]:
        """Record the outcomes of a trial's images, and return its faults."""
        billed = self.world.openai.billed.count(trial.prompt)
        wrong = [] if len(rows) == trial.count else [f"{len(rows)} images: {rows}"]
        # Which of them was billed only its own state tells.
        likely = sorted(rows, key=lambda row: (row.status is not READY, not row.maybe_billed))
        for row in likely[:-1]:
            wrong += self._account_for(trial, row, min(1, billed))
            billed = max(0, billed - 1)
        return wrong + self._account_for(trial, likely[-1] if likely else None, billed)

    def _account_for(self, trial: Trial, row: Row | None, billed: int) -> list[str]:
        kept = self._quarantined(row)
        outcome = outcome_of(row, billed, is_kept=bool(kept))
        self.outcomes[trial.strike, trial.sort, outcome] += 1
        if outcome in {Outcome.LOST, Outcome.TWICE}:
            return [f"{outcome}; billed {billed} times, {row}"]
        if billed and trial.strike in DISK_FULL and trial.place in NOT_BOUGHT and row and row.status is not READY:
            return [f"bought when there was no room for it; {row}"]
        if row and row.is_not_begun:
            return [f"given up before it was begun; {row}"]
        if problem := self._loss(trial, row, kept):
            return [f"{problem}; {row}"]
        # A machine that is very slow has no answer of the stand-in in time, wherever the image was struck: it may have
        # been bought only then. If the database is away, recovery gives up what ran out of time, and finds in
        # quarantine what had come.
        is_late = row and (
            row.failure_kind == errors.GenerationTimedOutError.__name__
            or (bool(kept) and trial.strike is Strike.DATABASE_KILLED_FOR_LONG and trial.place in AT_THE_GENERATOR)
        )
        if row and row.status not in statuses_allowed(trial) and not is_late:
            return [f"must not be {row}"]
        return []

    async def _left_over(self, trial: Trial, row: Row) -> list[str]:
        """Return the partial images that are left of an image; those of a process that was killed may be."""
        ends_at = time.monotonic() + LEFT_OVER_SECONDS
        while names := [name for name in self.world.partials() if name.startswith(row.guid)]:
            # A process dies between the last change of the record and what comes after it.
            is_excused = trial.strike in KILLS and trial.place in {None, Step.READY}
            if is_excused or trial.strike is Strike.KILLED_TWICE:
                return []
            if time.monotonic() > ends_at:
                return [f"left over is {names}, {row}"]
            await asyncio.sleep(0.05)
        return []

    def _quarantined(self, row: Row | None) -> list[bytes]:
        """Return an image's item in quarantine."""
        folder = self.world.content_folder / "set-aside"
        return [path.read_bytes() for path in sorted(folder.glob(f"{row.guid}*"))] if row else []

    def _loss(self, trial: Trial, row: Row | None, kept: Sequence[bytes]) -> str | None:
        """Return the part of a paid answer that was lost: it has to be shown or, as it came, in quarantine."""
        bodies = self.world.openai.bodies.get(trial.prompt)
        if row is None or bodies is None or row.status is READY:
            return None
        sent = [*bodies, _picture(trial.prompt), *(piece for body in bodies for piece in _decoded(body))]
        if any(not any(whole.startswith(piece) for whole in sent) for piece in kept):
            return "in quarantine is something that was never sent"
        is_told = "is kept in quarantine" in (row.failure_detail or "")
        # Another process may have given the image up before this one had kept the bytes.
        may_be_silent = row.failure_kind == errors.GenerationAbandonedError.__name__
        if is_told != bool(kept) and not (kept and may_be_silent):
            return f"its reason tells {'' if is_told else 'not '}of a quarantine that holds {len(kept)} things"
        is_whole = any(piece in sent for piece in kept)
        if row.failure_kind == errors.GenerationFailedError.__name__ and trial.behaviour in GARBAGE and not is_whole:
            # A disk that stays full is the only excuse.
            return None if trial.strike in DISK_FULL and "could not be kept" in str(row.failure_detail) else "not kept"
        if row.failure_kind == errors.GenerationBrokenOffError.__name__ and trial.behaviour in CUT and not kept:
            return None if trial.strike in DISK_FULL and "could not be kept" in str(row.failure_detail) else "not kept"
        return None

    async def _rows(self) -> list[Row]:
        sql = (
            "SELECT prompt, guid, status, failure_kind, maybe_billed, sha256, byte_size, failure, batch FROM images"
            " ORDER BY batch_position"
        )
        return msgspec.convert(await self.world.query(sql), list[Row], strict=False)

    async def _have_services(self, number: int) -> None:
        while len(self.world.services) > number:
            await self.world.end(self.world.services[-1], signal.SIGTERM)
        while len(self.world.services) < number:
            service = await self.world.start()
            # The first login of each author costs a hash, and the number of concurrent hashes is limited.
            for author in AUTHORS:
                await self._client.get(f"{service.url}/private/image?limit=1", auth=(author, PASSWORD))

    async def _ask(self, trial: Trial, service: Service | None = None, *, is_first: bool = False) -> Answer | None:
        """Ask for the image of a trial, always with the same key; return None when no answer comes."""
        service = service or self.world.services[trial.number % len(self.world.services)]
        headers = {"Idempotency-Key": f"key-{trial.number}"}
        if is_first and trial.prefers_async:
            headers["Prefer"] = "respond-async"
        answer = None
        try:
            response = await self._client.post(
                f"{service.url}{trial.url_path}",
                **_body(trial),
                auth=(trial.author, PASSWORD),
                headers=headers,
            )
            answer = Answer(status=response.status_code, body=response.json())
        except httpx.TransportError:
            pass
        finally:
            trial.answers.append(answer)
        return answer

    async def _lost_reference(self, trial: Trial, row: Row) -> list[str]:
        """Return whether an image has lost the upload that it refers to."""
        if not trial.is_edit:
            return []
        url = f"{self.world.services[0].url}/private/image/{row.guid}/reference/0/content"
        kept = await self._client.get(url, auth=(trial.author, PASSWORD))
        return [] if kept.content == _reference(trial) else [f"its reference is {kept.status_code}, {row}"]

    async def _until_in_place(self, trials: Sequence[Trial], first: dict[int, "asyncio.Task[Answer | None]"]) -> None:
        """Return when each trial is where it is to be struck, or has come to its end."""
        ends_at = time.monotonic() + IN_PLACE_SECONDS
        for trial in trials:
            asked = first[trial.number]
            # Some of it is known by another process alone.
            while not self._is_in_place(trial) and (trial.prefers_async or not asked.done()):
                if time.monotonic() > ends_at:
                    rows = [row for row in await self._rows() if row.prompt == trial.prompt]
                    raise AssertionError(f"not in place: {trial}, {rows}")
                await asyncio.sleep(0.01)

    def _is_in_place(self, trial: Trial) -> bool:
        if isinstance(trial.place, Step):
            # They are written together.
            expected = 1 if trial.place is Step.UNWRITTEN else trial.count
            return self.world.halted()[trial.prompt] >= expected
        if isinstance(trial.place, Gate):
            return self.world.openai.waiting[str(trial.number)] >= trial.count
        return trial.prefers_async or trial.prompt in self.world.openai.billed

    def _untruths_about_the_bill(self, trials: Sequence[Trial]) -> list[str]:
        """Return which clients that asked once were told that it surely cost nothing, and it did."""
        return [
            f"{trial.prompt!r}, {trial.strike}: is billed, and was not: {answer}"
            for trial in trials
            if len(trial.answers) == 1
            and (answer := trial.answers[0]) is not None
            and self.world.openai.billed.count(trial.prompt) > _most_billed(answer, trial)
        ]

    async def _examine(self, trial: Trial, rows: Sequence[Row], last: Sequence[Answer | None]) -> list[str]:
        """Return the faults in a trial's answers and in its visible images."""
        if not rows:
            return ["there is no row, though it was asked for"]
        wrong = [f"untrue: {answer} for {rows}" for answer in trial.answers if answer and _is_untrue(answer, rows)]
        wrong += [f"not the whole truth: {answer} for {rows}" for answer in last if not _is_final_truth(answer, rows)]
        if trial.is_batch:
            wrong += await self._examine_batch(trial, rows)
        for row in rows:
            wrong += await self._examine_image(trial, row)
        return wrong

    async def _examine_batch(self, trial: Trial, rows: Sequence[Row]) -> list[str]:
        url = f"{self.world.services[0].url}{trial.url_path}/{rows[0].batch}"
        shown = await self._client.get(url, auth=(trial.author, PASSWORD))
        found = [(image["guid"], image["status"]) for image in shown.json()] if shown.is_success else shown.text
        return [] if found == [(row.guid, row.status) for row in rows] else [f"its author sees {found} for {rows}"]

    async def _examine_image(self, trial: Trial, row: Row) -> list[str]:
        wrong = []
        url = f"{self.world.services[0].url}{trial.path}/{row.guid}"
        login = (trial.author, PASSWORD)
        details, content = await asyncio.gather(
            self._client.get(url, auth=login), self._client.get(f"{url}/content", auth=login)
        )
        if details.status_code != 200 or details.json()["status"] != row.status:
            wrong.append(f"its author sees {details.text} for {row}")
        if row.status is not READY:
            return wrong if content.status_code == 404 else [*wrong, f"visible as {row}"]
        digest = hashlib.sha256(content.content).hexdigest()
        if (content.status_code, len(content.content), digest) != (200, row.byte_size, row.sha256):
            wrong.append(f"its content is {content.status_code}, {len(content.content)} bytes, {digest} for {row}")
        elif trial.behaviour not in OTHER_PICTURES and content.content != _picture(trial.prompt):
            wrong.append("its content is not the picture that was sent")
        elif (
            not any(content.content in _decoded(body) for body in self.world.openai.bodies[trial.prompt])
            and trial.behaviour in OTHER_PICTURES
        ):
            wrong.append("its content is not what was sent")
        return wrong

    # The faults.

    def _let_go(self, trials: Sequence[Trial]) -> None:
        self.world.release()
        for trial in trials:
            self.world.openai.open_gate(str(trial.number))

    async def _nothing(self, trials: Sequence[Trial]) -> None:
        self._let_go(trials)

    async def _kill(self, trials: Sequence[Trial], number: signal.Signals = signal.SIGKILL) -> None:
        await self.world.end(self.world.services[0], number)
        self._let_go(trials)
        await self._have_services(max(1, len(self.world.services)))

    async def _terminate(self, trials: Sequence[Trial]) -> None:
        await self._kill(trials, signal.SIGTERM)

    async def _kill_twice(self, trials: Sequence[Trial]) -> None:
        await self._kill(trials)
        # The leases run out about now, and the next recovery is at work.
        await asyncio.sleep(self._moment(trials, LEASE * 0.8, LEASE * 1.6))
        await self.world.end(self.world.services[0])
        await self._have_services(max(1, len(self.world.services)))

    async def _kill_at_random(self, trials: Sequence[Trial]) -> None:
        await asyncio.sleep(self._moment(trials, 0.0, 0.5))
        await self._kill(trials)

    async def _freeze(self, trials: Sequence[Trial]) -> None:
        victim = self.world.services[0]
        victim.freeze()
        try:
            self._let_go(trials)
            await asyncio.sleep(self._moment(trials, LEASE * 0.5, LEASE * 1.6))
        finally:
            victim.thaw()

    async def _kill_database(self, trials: Sequence[Trial], seconds: float = PATIENCE / 5) -> None:
        await asyncio.to_thread(self.world.database.kill)
        self._let_go(trials)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.world.database.start)

    async def _kill_database_at_random(self, trials: Sequence[Trial]) -> None:
        await asyncio.sleep(self._moment(trials, 0.0, 0.5))
        await self._kill_database(trials)

    async def _kill_database_for_long(self, trials: Sequence[Trial]) -> None:
        await self._kill_database(trials, PATIENCE * 1.5)

    async def _freeze_database(self, trials: Sequence[Trial]) -> None:
        self.world.database.freeze()
        try:
            self._let_go(trials)
            await asyncio.sleep(self._moment(trials, 0.2, PATIENCE * 1.3))
        finally:
            self.world.database.thaw()

    async def _kill_both(self, trials: Sequence[Trial]) -> None:
        await asyncio.gather(self.world.end(self.world.services[0]), asyncio.to_thread(self.world.database.kill))
        self._let_go(trials)
        await asyncio.to_thread(self.world.database.start)
        await self._have_services(max(1, len(self.world.services)))

    async def _fill_disk(self, trials: Sequence[Trial], seconds: float = PATIENCE / 3) -> None:
        services = list(self.world.services)
        self.world.disk.fill(services)
        try:
            self._let_go(trials)
            await asyncio.sleep(seconds)
        finally:
            self.world.disk.free(services)

    async def _fill_disk_for_long(self, trials: Sequence[Trial]) -> None:
        await self._fill_disk(trials, PATIENCE * 1.8)

    def _moment(self, trials: Sequence[Trial], least: float, most: float) -> float:
        return random.Random(f"{self.seed} moment {trials[0].number}").uniform(least, most)  # noqa: S311


_STRIKES: Final[dict[Strike, Callable[[Campaign, Sequence[Trial]], Coroutine[Any, Any, None]]]] = {
    Strike.NOTHING: Campaign._nothing,
    Strike.KILLED: Campaign._kill,
    Strike.KILLED_TWICE: Campaign._kill_twice,
    Strike.KILLED_AT_RANDOM: Campaign._kill_at_random,
    Strike.TERMINATED: Campaign._terminate,
    Strike.FROZEN: Campaign._freeze,
    Strike.DATABASE_KILLED_BRIEFLY: Campaign._kill_database,
    Strike.DATABASE_KILLED_FOR_LONG: Campaign._kill_database_for_long,
    Strike.DATABASE_KILLED_AT_RANDOM: Campaign._kill_database_at_random,
    Strike.DATABASE_FROZEN: Campaign._freeze_database,
    Strike.BOTH_KILLED: Campaign._kill_both,
    Strike.DISK_FULL_BRIEFLY: Campaign._fill_disk,
    Strike.DISK_FULL_FOR_LONG: Campaign._fill_disk_for_long,
}


def _body(trial: Trial) -> dict[str, Any]:
    """Return the body of a trial's requests, as options of the client: JSON, or a form with a picture."""
    fields = {"prompt": trial.prompt, "n": trial.count, "partial_images": trial.partial_images}
    if not trial.is_edit:
        return {"json": fields}
    return {"data": fields, "files": {"reference": ("reference.png", _reference(trial), "image/png")}}


def _reference(trial: Trial) -> bytes:
    """Return the picture that a trial edits; neighbours upload the same."""
    return _picture(f"reference {trial.number // 2}")


def _picture(prompt: str) -> bytes:
    return Order({"prompt": prompt, "size": PICTURE_SIZE, "output_format": "png"}).picture()


def _decoded(body: bytes) -> list[bytes]:
    """Return the bytes that the ordinary base64 in an answer stands for."""
    texts = re.findall(rb'"b64_json": "([A-Za-z0-9+/]+)', body)
    return [base64.b64decode(text + b"===") for text in texts if len(text) % 4 != 1]


def _most_billed(answer: Answer, trial: Trial) -> int:
    """Return how many images may be billed by what the answer says."""
    if answer.problem:
        return 0 if answer.problem.get("maybe_billed") is False else trial.count
    return sum((image["problem"] or {}).get("maybe_billed") is not False for image in answer.images)


def _is_untrue(answer: Answer, rows: Sequence[Row]) -> bool:
    """Whether an answer contradicts the images' outcomes, even if it came before the end."""
    if answer.problem.get("type") == "about:blank" or _knows_nothing(answer):
        # The service had to end before it could answer, or does not know whether the request was stored.
        return answer.status != 503 or answer.problem["maybe_billed"] is not True
    if not answer.guids <= {rows[0].attempt, *(row.guid for row in rows)}:
        return True
    if answer.problem:
        # A problem with a guid speaks for the image or the batch, any other for its own request only.
        is_free = answer.problem.get("maybe_billed") is False
        return bool(answer.guids) and is_free and any(row.maybe_billed is not False for row in rows)
    if len(answer.images) != len(rows):
        return True
    final = {*ImageStatus} - {ImageStatus.PENDING, ImageStatus.GENERATING} if rows[0].batch else {READY}
    if answer.status == 200 and any(image["status"] not in final for image in answer.images):
        return True
    return any(_is_untrue_of(image, row) for image, row in zip(answer.images, rows, strict=True))


def _knows_nothing(answer: Answer) -> bool:
    return str(answer.problem.get("detail")).startswith("It is unknown whether the request is in the queue")


def _is_untrue_of(image: dict[str, Any], row: Row) -> bool:
    """Whether the details of an image contradict its outcome."""
    if image["guid"] != row.guid:
        return True
    if image["status"] == "ready":
        return row.status is not READY or image["sha256"] != row.sha256
    return (image["problem"] or {}).get("maybe_billed") is False and row.maybe_billed is not False


def _is_final_truth(answer: Answer | None, rows: Sequence[Row]) -> bool:
    """Whether an answer tells how each image ended."""
    if answer is None:
        return False
    if any(row.status is READY for row in rows):
        return answer.status == 200 and [_ending(image) for image in answer.images] == [_ended(row) for row in rows]
    guid, _, kind, _ = _ended(rows[0])
    named = (answer.problem.get(name) for name in ("guid", "type", "maybe_billed"))
    is_batch = rows[0].batch is not None
    return (
        answer.status == problem_type_of(getattr(errors, str(rows[0].failure_kind))).status
        and tuple(named) == (guid, kind, any(row.maybe_billed for row in rows))
        and (answer.problem.get("batch") == rows[0].batch if is_batch else True)
    )


def _ending(image: dict[str, Any]) -> tuple[str, str, str | None, bool | None]:
    """Return how details say that an image has ended."""
    problem = image["problem"] or {}
    return image["guid"], image["status"], problem.get("type"), problem.get("maybe_billed")


def _ended(row: Row) -> tuple[str, str, str | None, bool | None]:
    """Return the same of a row."""
    if row.failure_kind is None:
        return row.guid, row.status, None, None
    return row.guid, row.status, problem_type_of(getattr(errors, row.failure_kind)).type, row.maybe_billed


def table(outcomes: Counter[tuple[Strike, str, Outcome]], *, by_strike: bool) -> str:
    """Return the account, a line for each strike or else for each place and behaviour."""
    columns = list(Outcome)
    lines: dict[str, Counter[Outcome]] = {}
    for (strike, sort, outcome), number in sorted(outcomes.items()):
        for name in (str(strike) if by_strike else sort, "~ all"):
            lines.setdefault(name, Counter())[outcome] += number
    text = [" ".join([f"{'':28}", f"{'images':>8}", *(f"{column:>20}" for column in columns)])]
    for name, counts in sorted(lines.items()):
        numbers = [counts[column] for column in columns]
        text.append(" ".join([f"{name:28}", f"{sum(numbers):>8,}", *(f"{number:>20,}" for number in numbers)]))
    return "\n".join(text)
