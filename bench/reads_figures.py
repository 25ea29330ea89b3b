"""The figures of `reads.py`: turns, targets, and their tables."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from reads_servers import ASYNCMY, BARE, FASTAPI, ORIGINAL, ORIGINAL_PURE, PIXYPROXY, TWO_WORKERS, WITH_LOGIN


class Turn(msgspec.Struct, frozen=True):
    """One server's figures in one round: times in ms, and CPU in µs per request."""

    requests_per_second: float
    p50: float
    p99: float
    cpu_us: float


# The turns by case and by contender, round by round.
Turns = Mapping[str, Mapping[str, Sequence[Turn]]]


class Target(msgspec.Struct, frozen=True):
    """A figure of each round, and the bound for its median, if any."""

    what: str
    figures: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def figure(self) -> float:
        """The median."""
        return statistics.median(self.figures)

    @property
    def is_reached(self) -> bool:
        """Whether the target is met."""
        is_enough = self.at_least is None or self.figure >= self.at_least
        return is_enough and (self.at_most is None or self.figure <= self.at_most)


def medians(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the median of each figure."""
    return tuple(statistics.median(figures) for figures in zip(*map(msgspec.structs.astuple, turns), strict=True))


def targets_of(turns: Turns) -> Iterator[Target]:
    """Yield the targets of the measured cases."""
    if "details" in turns:
        yield from read_targets("details", turns["details"], beside_bare=2.2, speed=1.5)
        spread = [turn.p99 / turn.p50 for turn in turns["details"][PIXYPROXY]]
        yield Target("details: p99 / p50", spread, at_most=3)
    if found := turns.get("list of 100"):
        if FASTAPI in found:
            yield cpu_target("list of 100", found, FASTAPI, 0.5)
        yield from read_targets("list of 100", found, speed=2)
        for name in (ORIGINAL, ORIGINAL_PURE):
            if name in found:
                yield speed_target("list of 100", found, name, 2)
    if found := turns.get("private details beside public"):
        yield speed_target("private details with Basic", found, PIXYPROXY, 0.85, of=WITH_LOGIN)
    if found := turns.get("a thumbnail that exists"):
        yield cpu_target("a thumbnail that exists", found, BARE, 2)
    if found := turns.get("details from two workers"):
        yield cpu_target("details from two workers", found, PIXYPROXY, 1.1, of=TWO_WORKERS)


def read_targets(
    what: str, found: Mapping[str, Sequence[Turn]], *, beside_bare: float | None = None, speed: float
) -> Iterator[Target]:
    """Yield the targets of details and lists."""
    if beside_bare is not None:
        yield cpu_target(what, found, BARE, beside_bare)
    if FASTAPI in found:
        yield speed_target(what, found, FASTAPI, speed)
    if ASYNCMY in found:
        yield speed_target(f"{what} with asyncmy", found, PIXYPROXY, 1, of=ASYNCMY)


def cpu_target(
    what: str, found: Mapping[str, Sequence[Turn]], beside: str, at_most: float, of: str = PIXYPROXY
) -> Target:
    """Return how much of the processor one takes for a request beside another."""
    figures = [one.cpu_us / other.cpu_us for one, other in zip(found[of], found[beside], strict=True)]
    return Target(f"{what}: CPU beside {beside}", figures, at_most=at_most)


def speed_target(
    what: str, found: Mapping[str, Sequence[Turn]], beside: str, at_least: float, of: str = PIXYPROXY
) -> Target:
    """Return how many requests one serves beside another."""
    pairs = zip(found[of], found[beside], strict=True)
    figures = [one.requests_per_second / other.requests_per_second for one, other in pairs]
    return Target(f"{what}: requests/s beside {beside}", figures, at_least=at_least)


def turns_table(turns: Turns) -> str:
    """Return the table of the figures."""
    lines = ["| what | who | requests/s | p50 · p99 ms | CPU µs per request |", "| --- | --- | ---: | ---: | ---: |"]
    for what, found in turns.items():
        for name, its_turns in found.items():
            speed, p50, p99, cpu = medians(its_turns)
            lines.append(f"| {what} | {name} | {speed:,.0f} | {p50:.1f} · {p99:.1f} | {cpu:,.0f} |")
    return "\n".join(lines)


def targets_table(targets: Sequence[Target]) -> str:
    """Return the table of the targets, and whether they are met."""
    lines = ["| what | figure | lowest and highest | wanted | |", "| --- | ---: | ---: | ---: | --- |"]
    for target in targets:
        bounds = (("≥", target.at_least), ("≤", target.at_most))
        wanted = " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        spread = f"{min(target.figures):.2f} to {max(target.figures):.2f}"
        verdict = ("reached" if target.is_reached else "**missed**") if wanted else ""
        lines.append(f"| {target.what} | {target.figure:.2f} | {spread} | {wanted} | {verdict} |")
    return "\n".join(lines)


def as_json(target: Target) -> Mapping[str, object]:
    """Return a target with its verdict."""
    return {**msgspec.structs.asdict(target), "figure": target.figure, "is_reached": target.is_reached}
