"""What reads cost beside handlers that others would write: requests per second, waits, and CPU.

    make bench-reads
    PYTHONPATH=. .venv/bin/python bench/reads.py --only details,list --json -

Needs wrk, nginx, MariaDB and two processors. All servers run on the first one, each with one worker process: PixyProxy
as `pixyproxy serve` starts it, with request ids and its log in a file; the applications of `bench/peers` on uvicorn
without an access log; nginx with one. The clients and a MariaDB of their own run on the second processor. There are
20,000 images with two tags each; the peers keep them in tables of their own. Each comparison begins with a check that
PixyProxy and FastAPI answer the same JSON.

Each comparison has rounds, in which every server has a turn; a ratio is the median of the rounds. CPU is what the
server's processes used (`utime` and `stime` of `/proc/PID/stat`) divided by the requests; on a busy machine it is
steadier than requests per second.

PIXYPROXY_BENCH_SECONDS (of a turn; 4), PIXYPROXY_BENCH_ROUNDS (7) and PIXYPROXY_BENCH_IMAGES (20,000) make a quick try.
The results are written to docs/benchmarks.md only if none of them is set and nothing is left out.

    --only CASES        some of details, list, private, thumbnail, unchanged, content, memory
    --without-peers     PixyProxy and the bare handlers only
    --asyncmy           PixyProxy with `mysql+asyncmy://`, too
    --json FILE         all figures as JSON; `-` for standard output

A quick look at a change, in about a minute:

    PIXYPROXY_BENCH_SECONDS=1 PIXYPROXY_BENCH_ROUNDS=5 PYTHONPATH=. .venv/bin/python bench/reads.py \\
        --only details,list,thumbnail --without-peers
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec
from delivery_servers import CLIENTS_CORE, Server, awake, on_core
from reads_servers import (
    ASYNCMY,
    BARE,
    FASTAPI,
    FASTAPI_SHORT,
    LOGIN,
    NGINX,
    ORIGINAL,
    PIXYPROXY,
    THUMBNAIL,
    Library,
    all_servers,
    cpu_seconds,
    database,
    library,
    peer,
    pixyproxy,
    rss_mib,
)

SECONDS: Final = int(os.environ.get("PIXYPROXY_BENCH_SECONDS", "4"))
ROUNDS: Final = int(os.environ.get("PIXYPROXY_BENCH_ROUNDS", "7"))
IMAGES: Final = int(os.environ.get("PIXYPROXY_BENCH_IMAGES", "20000"))
IS_QUICK: Final = bool(
    {"PIXYPROXY_BENCH_SECONDS", "PIXYPROXY_BENCH_ROUNDS", "PIXYPROXY_BENCH_IMAGES"} & os.environ.keys()
)
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- reads -->"
END_MARK: Final = "<!-- end of reads -->"

CLIENTS: Final = 32
DOWNLOADS: Final = 16
BASIC: Final = f"Authorization: Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"
WITH_LOGIN: Final = "PixyProxy, private route with Basic"


class Contender(msgspec.Struct, frozen=True):
    """One server in a comparison, and what it is asked for."""

    name: str
    server: Server
    paths: Sequence[str]
    header: str | None = None
    status: int = 200


class Case(msgspec.Struct, frozen=True):
    """A comparison."""

    key: str
    what: str
    contenders: Sequence[Contender]
    connections: int = CLIENTS


class Turn(msgspec.Struct, frozen=True):
    """What one server did in one round: times in ms, and CPU in µs per request."""

    requests_per_second: float
    p50: float
    p99: float
    cpu_us: float


# The turns by case and by contender, round by round.
Turns = Mapping[str, Mapping[str, Sequence[Turn]]]


class Target(msgspec.Struct, frozen=True):
    """A figure of each round, and what its median is to be."""

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
        """Whether it is as wanted."""
        is_enough = self.at_least is None or self.figure >= self.at_least
        return is_enough and (self.at_most is None or self.figure <= self.at_most)


def make_cases(servers: Mapping[str, Server], library: Library) -> Iterator[Case]:
    """Yield the comparisons."""
    details = [f"/image/{guid}" for guid in library.guids]
    yield Case("details", "details", [*read_contenders(servers, details)])
    yield Case("list", "list of 100", [*read_contenders(servers, ["/image"])])
    service, bare, nginx = servers[PIXYPROXY], servers[BARE], servers.get(NGINX)
    private = [f"/private{path}" for path in details]
    yield Case(
        "private",
        "private details beside public",
        [Contender(PIXYPROXY, service, details), Contender(WITH_LOGIN, service, private, BASIC)],
    )
    yield Case(
        "thumbnail",
        f"one of {len(library.thumbnails)} thumbnails that exist",
        [
            Contender(PIXYPROXY, service, [f"/image/{guid}/content?{THUMBNAIL}" for guid in library.thumbnails]),
            Contender(BARE, bare, ["/bytes/2000"]),
            *([Contender(NGINX, nginx, [f"/thumbnails/{guid}" for guid in library.thumbnails])] if nginx else []),
        ],
    )
    small = f"/image/{library.contents['50 KB']}/content"
    etag = httpx.get(service.url + small).headers["ETag"]
    yield Case(
        "unchanged",
        "304",
        [
            Contender(PIXYPROXY, service, [small], f"If-None-Match: {etag}", 304),
            Contender(BARE, bare, ["/unchanged"], status=304),
        ],
    )
    for name, size, connections in (("50 KB", 50_000, CLIENTS), ("0.9 MB", 900_000, DOWNLOADS)):
        guid = library.contents[name]
        contenders = [
            Contender(PIXYPROXY, service, [f"/image/{guid}/content"]),
            Contender(BARE, bare, [f"/bytes/{size}"]),
        ]
        if nginx:
            contenders.append(Contender(NGINX, nginx, [f"/images/{library.file(guid)}"]))
        yield Case("content", f"content of {name}", contenders, connections)


def read_contenders(servers: Mapping[str, Server], paths: Sequence[str]) -> Iterator[Contender]:
    """Yield all that answer with records."""
    for name in (PIXYPROXY, ASYNCMY, BARE, FASTAPI, ORIGINAL):
        if name in servers:
            yield Contender(name, servers[name], paths)
    if FASTAPI in servers:
        yield Contender(FASTAPI_SHORT, servers[FASTAPI], [f"/short{path}" for path in paths])


def check(case: Case) -> None:
    """Stop if an answer is not as wanted, or two that should be the same are not."""
    answers = {}
    for contender in case.contenders:
        headers = dict([contender.header.split(": ", 1)]) if contender.header else {}
        answer = httpx.get(contender.server.url + contender.paths[0], headers=headers)
        if answer.status_code != contender.status:
            raise SystemExit(f"{case.what}: {contender.name} answers {answer.status_code}: {answer.text[:500]}")
        answers[contender.name] = answer
    if case.key in {"details", "list"}:
        ours = answers[PIXYPROXY].json()
        for name in {ASYNCMY, FASTAPI} & answers.keys():
            if answers[name].json() != ours:
                raise SystemExit(f"{case.what}: {name} answers {answers[name].text[:500]}, PixyProxy {str(ours)[:500]}")
        bare = answers[BARE].json()
        if case.key == "list" and len(ours) != len(bare):
            raise SystemExit(f"{case.what}: {len(ours)} images, {BARE} {len(bare)}")


def ask(contender: Contender, paths: Path, connections: int, seconds: int = SECONDS) -> Turn:
    """Let wrk ask for something; return what it took."""
    script = Path(__file__).with_name("reads.lua")
    header = [contender.header] if contender.header else []
    before = cpu_seconds(contender.server.pid)
    done = subprocess.run(  # noqa: S603 -- our own command
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script),
            *(contender.server.url, "--", paths, *header),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    used = cpu_seconds(contender.server.pid) - before
    found = json.loads(done.stdout.splitlines()[-1])
    if found["errors"] or not found["requests"]:
        raise SystemExit(f"{contender.name}: {done.stdout}{done.stderr}")
    return Turn(found["requests"] / found["seconds"], found["p50"], found["p99"], used / found["requests"] * 1e6)


def race(case: Case, folder: Path) -> Mapping[str, Sequence[Turn]]:
    """Return the turns of each contender, round by round."""
    print(case.what, flush=True)
    files = {}
    for number, contender in enumerate(case.contenders):
        files[contender.name] = folder / f"paths-{number}"
        files[contender.name].write_text("\n".join(contender.paths), encoding="ascii")
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in case.contenders}
    with on_core(CLIENTS_CORE):
        for contender in case.contenders:
            ask(contender, files[contender.name], case.connections, 1)
        for turn in range(ROUNDS):
            # The order changes with each round.
            first = turn % len(case.contenders)
            for contender in (*case.contenders[first:], *case.contenders[:first]):
                turns[contender.name].append(ask(contender, files[contender.name], case.connections))
    for name, found in turns.items():
        speed, p50, p99, cpu = medians(found)
        print(f"  {name:<40} {speed:>10,.0f}/s  {p50:6.1f} · {p99:6.1f} ms  {cpu:8,.0f} µs", flush=True)
    return turns


def medians(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the median of each figure."""
    return tuple(statistics.median(figures) for figures in zip(*map(msgspec.structs.astuple, turns), strict=True))


def targets_of(turns: Turns) -> Iterator[Target]:
    """Yield what is wanted of the cases that were measured."""
    if "details" in turns:
        yield from read_targets("details", turns["details"], beside_bare=2.2, speed=1.5)
        spread = [turn.p99 / turn.p50 for turn in turns["details"][PIXYPROXY]]
        yield Target("details: p99 / p50", spread, at_most=3)
    if found := turns.get("list of 100"):
        if FASTAPI in found:
            yield cpu_target("list of 100", found, FASTAPI, 0.5)
        yield from read_targets("list of 100", found, speed=2)
        if ORIGINAL in found:
            yield speed_target("list of 100", found, ORIGINAL, 2)
    if found := turns.get("private details beside public"):
        yield speed_target("private details with Basic", found, PIXYPROXY, 0.85, of=WITH_LOGIN)
    for what, found in turns.items():
        if "thumbnails" in what:
            yield cpu_target("a thumbnail that exists", found, BARE, 2)


def read_targets(
    what: str, found: Mapping[str, Sequence[Turn]], *, beside_bare: float | None = None, speed: float
) -> Iterator[Target]:
    """Yield what is wanted of details and lists."""
    if beside_bare is not None:
        yield cpu_target(what, found, BARE, beside_bare)
    if FASTAPI in found:
        yield speed_target(what, found, FASTAPI, speed)
    if ASYNCMY in found:
        yield speed_target(what, found, PIXYPROXY, 1, of=ASYNCMY)


def cpu_target(what: str, found: Mapping[str, Sequence[Turn]], beside: str, at_most: float) -> Target:
    """Return how much of the processor PixyProxy takes beside another."""
    figures = [one.cpu_us / other.cpu_us for one, other in zip(found[PIXYPROXY], found[beside], strict=True)]
    return Target(f"{what}: CPU beside {beside}", figures, at_most=at_most)


def speed_target(
    what: str, found: Mapping[str, Sequence[Turn]], beside: str, at_least: float, of: str = PIXYPROXY
) -> Target:
    """Return how many requests one serves beside another."""
    pairs = zip(found[of], found[beside], strict=True)
    figures = [one.requests_per_second / other.requests_per_second for one, other in pairs]
    name = "" if of == PIXYPROXY else f"{of}, "
    return Target(f"{what}: {name}requests/s beside {beside}", figures, at_least=at_least)


def memory(library: Library) -> Target:
    """Compare the memory of new processes that nothing was asked of yet."""
    with pixyproxy(library) as service, peer(library, "bare") as bare:
        ours, theirs = rss_mib(service.pid), rss_mib(bare.pid)
    print(f"RSS idle: {ours:.0f} MiB, {BARE} {theirs:.0f} MiB", flush=True)
    return Target(f"RSS idle beside {BARE}", [ours / theirs], at_most=1.6)


def turns_table(turns: Turns) -> str:
    """Return what was measured."""
    lines = ["| what | who | requests/s | p50 · p99 ms | CPU µs per request |", "| --- | --- | ---: | ---: | ---: |"]
    for what, found in turns.items():
        for name, its_turns in found.items():
            speed, p50, p99, cpu = medians(its_turns)
            lines.append(f"| {what} | {name} | {speed:,.0f} | {p50:.1f} · {p99:.1f} | {cpu:,.0f} |")
    return "\n".join(lines)


def targets_table(targets: Sequence[Target]) -> str:
    """Return what is wanted, and whether it is reached."""
    lines = ["| what | figure | lowest and highest | wanted | |", "| --- | ---: | ---: | ---: | --- |"]
    for target in targets:
        wanted = f"≥ {target.at_least:g}" if target.at_least is not None else f"≤ {target.at_most:g}"
        spread = f"{min(target.figures):.2f} to {max(target.figures):.2f}"
        verdict = "reached" if target.is_reached else "**missed**"
        lines.append(f"| {target.what} | {target.figure:.2f} | {spread} | {wanted} | {verdict} |")
    return "\n".join(lines)


def write(results: str) -> None:
    """Put the results in their place in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN}\n{results}\n{END_MARK}{after}", encoding="utf-8")


SPECIALS: Final = {"memory": memory}
KEYS: Final = ("details", "list", "private", "thumbnail", "unchanged", "content", *SPECIALS)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CASES", type=lambda text: text.split(","), default=[*KEYS])
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--asyncmy", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    found = parser.parse_args()
    if unknown := set(found.only) - {*KEYS}:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(KEYS)}")
    return found


def run(library: Library, chosen: argparse.Namespace) -> tuple[Turns, Sequence[Target]]:
    """Measure what is chosen."""
    turns = {}
    with all_servers(library, with_peers=not chosen.without_peers, with_asyncmy=chosen.asyncmy) as servers:
        for case in make_cases(servers, library):
            if case.key in chosen.only:
                check(case)
                turns[case.what] = race(case, library.folder)
    targets = [*targets_of(turns)]
    for key, special in SPECIALS.items():
        if key in chosen.only:
            targets.append(special(library))
    return turns, targets


def main() -> None:
    """Measure, print, and write."""
    chosen = options()
    with (
        tempfile.TemporaryDirectory(prefix="pixyproxy-") as folder,
        awake(),
        database() as server,
        library(server, Path(folder), IMAGES) as images,
    ):
        turns, targets = run(images, chosen)
        ((version,),) = server.execute("SELECT VERSION()")
    results = f"""\
Measured on {datetime.now(UTC):%d %B %Y} with `make bench-reads`, {ROUNDS} rounds of {SECONDS} s, {IMAGES:,} images, \
{CLIENTS} clients: {version}, Python {sys.version.split()[0]}.

{turns_table(turns)}

{targets_table(targets)}
"""
    print(results)
    if chosen.json:
        text = json.dumps(
            {"turns": msgspec.to_builtins(turns), "targets": [as_json(target) for target in targets]}, indent=1
        )
        if chosen.json == "-":
            print(text)
        else:
            Path(chosen.json).write_text(text, encoding="utf-8")
    if not IS_QUICK and {*chosen.only} == {*KEYS} and not chosen.without_peers:
        write(results)


def as_json(target: Target) -> Mapping[str, object]:
    """Return a target with its verdict."""
    return {**msgspec.structs.asdict(target), "figure": target.figure, "is_reached": target.is_reached}


if __name__ == "__main__":
    main()
