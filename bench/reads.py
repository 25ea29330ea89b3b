"""The cost of reads beside handwritten handlers: requests per second, waits, and CPU.

    make bench-reads
    PYTHONPATH=. .venv/bin/python bench/reads.py --only details,list --json -

Needs wrk, nginx, MariaDB and two processors. All servers run on the first one, each with one worker process: PixyProxy
as `pixyproxy serve` starts it, with request ids and its log in a file; the applications of `bench/peers` on uvicorn
without an access log; nginx with one. The clients and a MariaDB of their own run on the second processor. There are
20,000 images with two tags each; the peers keep them in tables of their own. Each comparison begins with a check that
PixyProxy and FastAPI answer the same JSON.

Each comparison has rounds, in which every server has a turn; a ratio is the median of the rounds. CPU is the time of
the server's processes (`utime` and `stime` of `/proc/PID/stat`) divided by the requests; on a busy machine it is
steadier than requests per second.

PIXYPROXY_BENCH_SECONDS (of a turn; 4), PIXYPROXY_BENCH_ROUNDS (7) and PIXYPROXY_BENCH_IMAGES (20,000) make a quick try.
The results are written to docs/benchmarks.md only if none of them is set and nothing is left out.

    --only CASES        some of details, list, private, thumbnail, unchanged, content, memory, creation, workers
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
from reads_figures import Target, Turn, Turns, as_json, medians, targets_of, targets_table, turns_table
from reads_servers import (
    ASYNCMY,
    BARE,
    FASTAPI,
    FASTAPI_SHORT,
    NGINX,
    ORIGINAL,
    ORIGINAL_PURE,
    PIXYPROXY,
    THUMBNAIL,
    TWO_WORKERS,
    WITH_LOGIN,
    Library,
    cpu_seconds,
    database,
    library,
    run_servers,
)
from reads_specials import creation, memory, shares

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


class Contender(msgspec.Struct, frozen=True):
    """One server in a comparison, and the paths to request."""

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


def make_cases(servers: Mapping[str, Server], library: Library) -> Iterator[Case]:
    """Yield the comparisons."""
    details = [f"/image/{guid}" for guid in library.guids]
    yield Case("details", "details", [*read_contenders(servers, details)])
    yield Case("list", "list of 100", [*read_contenders(servers, ["/image"])])
    service, bare, nginx = servers[PIXYPROXY], servers[BARE], servers.get(NGINX)
    private = [f"/private{path}" for path in details]
    basic = f"Authorization: Basic {base64.b64encode(':'.join(library.login).encode()).decode()}"
    yield Case(
        "private",
        "private details beside public",
        [Contender(PIXYPROXY, service, details), Contender(WITH_LOGIN, service, private, basic)],
    )
    yield Case(
        "thumbnail",
        "a thumbnail that exists",
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
    if TWO_WORKERS in servers:
        contenders = [Contender(name, servers[name], details) for name in (PIXYPROXY, TWO_WORKERS)]
        yield Case("workers", "details from two workers", contenders)


def read_contenders(servers: Mapping[str, Server], paths: Sequence[str]) -> Iterator[Contender]:
    """Yield all that answer with records."""
    for name in (PIXYPROXY, ASYNCMY, BARE, FASTAPI, ORIGINAL, ORIGINAL_PURE):
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
    """Run wrk, and return its figures."""
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
        if ROUNDS > 1:
            for contender in case.contenders:
                ask(contender, files[contender.name], case.connections, 1)
        for turn in range(ROUNDS):
            # The order changes with each round.
            first = turn % len(case.contenders)
            for contender in (*case.contenders[first:], *case.contenders[:first]):
                turns[contender.name].append(ask(contender, files[contender.name], case.connections))
    for name, found in turns.items():
        speed, p50, p99, cpu = medians(found)
        print(f"  {name:<52} {speed:>10,.0f}/s  {p50:6.1f} · {p99:6.1f} ms  {cpu:8,.0f} µs", flush=True)
    return turns


def write(results: str) -> None:
    """Put the results in their place in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN}\n{results}\n{END_MARK}{after}", encoding="utf-8")


SPECIALS: Final = {"memory": memory, "creation": creation, "workers": shares}
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
    """Run the chosen comparisons."""
    names = {PIXYPROXY, BARE}
    if not chosen.without_peers:
        names |= {FASTAPI, ORIGINAL, ORIGINAL_PURE, NGINX}
    if chosen.asyncmy:
        names.add(ASYNCMY)
    if "workers" in chosen.only:
        names.add(TWO_WORKERS)
    turns = {}
    with run_servers(library, names) as servers:
        for case in make_cases(servers, library):
            if case.key in chosen.only:
                check(case)
                turns[case.what] = race(case, library.folder)
    targets = [*targets_of(turns)]
    for key, special in SPECIALS.items():
        if key in chosen.only:
            print(key, flush=True)
            targets += special(library, ROUNDS)
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


if __name__ == "__main__":
    main()
