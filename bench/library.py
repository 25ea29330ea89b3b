"""The cost of lists in a large library: time, rows examined, and the index that is scanned.

    make bench-library

Fills 10,000 images into one database and 1,000,000 into another, on the server that PIXYPROXY_TEST_MYSQL_URL names or
on one of its own, and lists them in all ways through the repository: the first page, and pages deep inside. SQLite does
the same with 100,000. PIXYPROXY_BENCH_IMAGES makes the 1,000,000 fewer, for a quick try; only with the full number the
results are written to docs/benchmarks.md.

Rows examined are those that `SHOW SESSION STATUS` counts on the connection for a page: all of `Handler_read_…`, and the
index entries that were rejected without reading their row (`Handler_icp_attempts` less `Handler_icp_match`). The work
inside the full-text index is not counted, but its time is.
"""

import asyncio
import os
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from library_images import AUTHORS, CHUNK, END, NEVER_TOGETHER, RARE, RAREST, SELDOM_TOGETHER, START, TAGS, make_chunk

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.list_queries import Query
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagFilter
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from tests.doubles.image_rows import Rows, rows_of, write_rows, write_sqlite_rows
from tests.doubles.mariadb import MySQLServer, ThrowawayServer

IMAGES: Final = 1_000_000
FEW_IMAGES: Final = 10_000
SQLITE_IMAGES: Final = 100_000
SERVER_OPTIONS: Final = ("--innodb-buffer-pool-size=2G", "--innodb-log-file-size=512M")
LIMIT: Final = 20
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"

# Each page is fetched so often, or for so long, but a few times at least.
REPETITIONS: Final = 100
SECONDS: Final = 0.3
REPETITIONS_MIN: Final = 10

# How far inside a list the pages begin.
DEPTHS: Final = (0.0, 0.5, 0.95)

FREQUENT_WORD: Final = "cat"
FREQUENT_MODEL: Final = "gpt-image-2"
RARE_MODEL: Final = "gpt-image-2.6-flare"
RARE_TAG: Final = TAGS[2_000]
MONTH: Final[Mapping[str, Any]] = {
    "created_after": START + (END - START) / 2 - timedelta(days=30),
    "created_before": START + (END - START) / 2,
}

BEGIN: Final = "<!-- results -->"
END_MARK: Final = "<!-- end of the results -->"

Work = Callable[[ImagePorts, float], Awaitable[object]]


class Case(msgspec.Struct, frozen=True):
    """Something to measure: its name, a function of the depth, and whether the depth matters."""

    name: str
    work: Work
    has_depth: bool = True


class Cost(msgspec.Struct, frozen=True):
    """The cost of a case at one depth; no `rows` where they can't be counted."""

    found: int
    times_ms: Sequence[float]
    rows: int | None
    plans: Sequence[str]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.times_ms)

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


Results = Mapping[str, Sequence[Cost]]


def listed(
    name: str, order: ImageOrder = ImageOrder.NEWEST_FIRST, *, limit: int = LIMIT, q: str | None = None, **wanted: Any
) -> Case:
    """Return the case of a list, of public images unless it says something else."""
    wanted.setdefault("visibility", Visibility.PUBLIC)
    image_filter = ImageFilter(search=None if q is None else Search.parse(q), **wanted)

    async def work(images: ImagePorts, depth: float) -> Sequence[Image]:
        after = position_at(depth, order, image_filter)
        return await images.list(image_filter, limit=limit, order=order, after=after)

    return Case(name, work)


def counted(name: str, q: str | None = None, **wanted: Any) -> Case:
    """Return the case of counting public images."""
    image_filter = ImageFilter(visibility=Visibility.PUBLIC, search=None if q is None else Search.parse(q), **wanted)

    async def work(images: ImagePorts, _: float) -> Sequence[None]:
        return [None] * await images.count_listed(image_filter)

    return Case(name, work, has_depth=False)


def tags_listed(name: str, *, descending: bool = False, **wanted: Any) -> Case:
    """Return the case of a list of tags."""
    tag_filter = TagFilter(**wanted)

    async def work(images: ImagePorts, depth: float) -> object:
        after = tag_at(1 - depth if descending else depth) if depth else None
        return await images.list_tags(tag_filter, limit=LIMIT, after=after, descending=descending)

    return Case(name, work, has_depth=not tag_filter.prefix)


def position_at(depth: float, order: ImageOrder, wanted: ImageFilter) -> ImagePosition | None:
    """Return where in a list a page begins; images are spread evenly over the time."""
    if not depth:
        return None
    first, end = wanted.created_after or START, wanted.created_before or END
    descending = order is ImageOrder.NEWEST_FIRST
    return ImagePosition(first + (end - first) * (1 - depth if descending else depth), UUID(int=0))


def tag_at(depth: float) -> Tag:
    """Return the tag after which a page begins."""
    return sorted(TAGS)[int(depth * len(TAGS))]


def make_cases() -> Iterator[Case]:
    """Yield the cases: each filter alone, and the hardest combinations."""
    yield gotten("one image, by its guid")
    yield from make_cases_of_columns()
    yield from make_cases_of_tags()
    yield from make_cases_of_words()
    yield tags_listed("tags", visibility=Visibility.PUBLIC)
    yield tags_listed("tags, falling", visibility=Visibility.PUBLIC, descending=True)
    yield tags_listed("tags that begin with `c`", visibility=Visibility.PUBLIC, prefix="c")
    yield tags_listed("own tags, frequent author", author=AUTHORS[0])
    yield counted("count of all")
    yield counted("count of a rare model", model=RARE_MODEL)
    yield counted("count of a frequent tag", tags=TAGS[:1])
    yield counted("count of 2 frequent tags", tags=TAGS[:2])
    yield counted("count of a frequent word", q=FREQUENT_WORD)
    yield counted("count of a rare word", q=RARE[0])


def make_cases_of_columns() -> Iterator[Case]:
    """Yield the lists by columns of which each image has one value."""
    yield listed("no filter")
    yield listed("no filter, 100 a page", limit=100)
    yield listed("no filter, the oldest first", ImageOrder.OLDEST_FIRST)
    yield listed("created within a month", **MONTH)
    for kind, author in (("frequent", AUTHORS[0]), ("rare", AUTHORS[900])):
        yield listed(f"{kind} author", author=author)
        yield listed(f"own, {kind} author", visibility=None, author=author)
        yield listed(f"own, {kind} author, private", visibility=Visibility.PRIVATE, author=author)
    yield listed("frequent model", model=FREQUENT_MODEL)
    yield listed("rare model", model=RARE_MODEL)
    yield listed("frequent media type", media_type=MediaType.PNG)
    yield listed("rare media type", media_type=MediaType.GIF)
    yield listed("rare model, rare media type", model=RARE_MODEL, media_type=MediaType.GIF)
    yield listed("frequent author, rare model", author=AUTHORS[0], model=RARE_MODEL)
    yield listed("own, frequent author, rare model", visibility=None, author=AUTHORS[0], model=RARE_MODEL)
    yield listed("own, frequent author, rare media type", visibility=None, author=AUTHORS[0], media_type=MediaType.GIF)


def make_cases_of_tags() -> Iterator[Case]:
    """Yield the lists by tags."""
    yield listed("frequent tag", tags=TAGS[:1])
    yield listed("frequent tag, 100 a page", limit=100, tags=TAGS[:1])
    yield listed("frequent tag, the oldest first", ImageOrder.OLDEST_FIRST, tags=TAGS[:1])
    yield listed("frequent tag, created within a month", tags=TAGS[:1], **MONTH)
    yield listed("rare tag", tags=(RARE_TAG,))
    yield listed("2 frequent tags", tags=TAGS[:2])
    yield listed("2 frequent tags, the oldest first", ImageOrder.OLDEST_FIRST, tags=TAGS[:2])
    yield listed("3 frequent tags", tags=TAGS[:3])
    yield listed("frequent and rare tag", tags=(TAGS[0], RARE_TAG))
    yield listed("2 frequent tags that are never together", tags=NEVER_TOGETHER)
    yield listed("frequent tag, frequent author", tags=TAGS[:1], author=AUTHORS[0])
    yield listed("own, frequent tag, frequent author", tags=TAGS[:1], visibility=None, author=AUTHORS[0])
    yield listed("frequent tag, rare author", tags=TAGS[:1], author=AUTHORS[900])
    yield listed("frequent tag, rare model", tags=TAGS[:1], model=RARE_MODEL)
    yield listed("frequent tag, rare media type", tags=TAGS[:1], media_type=MediaType.GIF)


def make_cases_of_words() -> Iterator[Case]:
    """Yield the searches."""
    rare, rarest = RARE[0], RAREST[0]
    yield listed("frequent word", q=FREQUENT_WORD)
    yield listed("frequent word, 100 a page", limit=100, q=FREQUENT_WORD)
    yield listed("frequent word, the oldest first", ImageOrder.OLDEST_FIRST, q=FREQUENT_WORD)
    yield listed("fairly frequent word", q="observatory")
    yield listed("rare word", q=rare)
    yield listed("very rare word", q=rarest)
    yield listed("word in no prompt", q="quasar")
    yield listed("beginning of frequent words", q="ca*")
    yield listed("beginning of a rare word", q=f"{rare[:3]}*")
    yield listed("phrase", q='"red cat"')
    yield listed("phrase in no prompt, of frequent words", q='"cat photograph"')
    yield listed("2 frequent words", q="cat fox")
    yield listed("2 frequent words that seldom meet", q=" ".join(SELDOM_TOGETHER[:2]))
    yield listed("frequent word, frequent tag", q=FREQUENT_WORD, tags=TAGS[:1])
    yield listed("frequent word, rare tag", q=FREQUENT_WORD, tags=(RARE_TAG,))
    yield listed("rare word, frequent tag", q=rare, tags=TAGS[:1])
    yield listed("rare word, rare tag", q=rare, tags=(RARE_TAG,))
    yield listed("frequent word, frequent author", q=FREQUENT_WORD, author=AUTHORS[0])
    yield listed("own, frequent word, rare author", q=FREQUENT_WORD, visibility=None, author=AUTHORS[900])
    yield listed("own, rare word, frequent author", q=rare, visibility=None, author=AUTHORS[0])
    yield listed("frequent word, rare model", q=FREQUENT_WORD, model=RARE_MODEL)
    yield listed("rare word, created within a month", q=rare, **MONTH)
    yield listed("frequent word, 2 frequent tags that are never together", q=FREQUENT_WORD, tags=NEVER_TOGETHER)
    yield listed(
        "everything at once",
        q=FREQUENT_WORD,
        tags=TAGS[:2],
        author=AUTHORS[0],
        model=FREQUENT_MODEL,
        media_type=MediaType.PNG,
    )


def gotten(name: str) -> Case:
    """Return the case of getting one image by its guid."""
    guid: UUID | None = None

    async def work(images: ImagePorts, _: float) -> Sequence[Image]:
        nonlocal guid
        if guid is None:
            (image,) = await images.list(ImageFilter(author=AUTHORS[0]), limit=1)
            guid = image.guid
        return [await images.get(guid)]

    return Case(name, work, has_depth=False)


class CountingDatabase(MySQLDatabase):
    """A database with one connection that records its queries."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=1)
        self.asked: list[Query] = []

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Any]:
        """Yield a cursor that records its queries."""
        async with super().autocommit() as cursor:
            execute = cursor.execute

            async def remember(sql: str, parameters: Mapping[str, object] | None = None) -> int:
                self.asked.append((sql, parameters or {}))
                return int(await execute(sql, parameters))

            cursor.execute = remember
            yield cursor

    async def rows_examined(self) -> int:
        """Return how many rows the connection has examined so far, as the module says."""
        async with super().autocommit() as cursor:
            await cursor.execute(
                "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler\\_read\\_%'"
                " OR Variable_name IN ('Handler_icp_attempts', 'Handler_icp_match')"
            )
            counters = {name: int(number) for name, number in await cursor.fetchall()}
        return sum(-number if name == "Handler_icp_match" else number for name, number in counters.items())

    async def plans(self, asked: Sequence[Query]) -> Sequence[str]:
        """Return which indexes queries are answered by."""
        plans = []
        async with super().autocommit() as cursor:
            for sql, parameters in asked:
                # A search sets its time limit in comments that servers execute.
                plain = re.sub(r"/\*.*?\*/", "", sql)
                await cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {plain}", parameters)
                names = [name for name, *_ in cursor.description]
                for values in await cursor.fetchall():
                    plan = dict(zip(names, values, strict=True))
                    if plan["key"] is not None:
                        extra = plan["Extra"] or ""
                        sorts = " (sorted)" if "filesort" in extra else ""
                        plans.append(f"{plan['key']}{sorts}" if plan["key"] != "PRIMARY" else f"{plan['table']}{sorts}")
        return plans


class PlanningDatabase(SQLiteDatabase):
    """A database that records its queries."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[Query] = []

    async def fetch_all(self, sql: str, parameters: Mapping[str, object] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of a query, and remember it."""
        self.asked.append((sql, parameters or {}))
        return await super().fetch_all(sql, parameters)

    async def fetch_list(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """Return all rows of a query of a list, and remember it."""
        self.asked.append((sql, parameters))
        return await super().fetch_list(sql, parameters)

    async def plans(self, asked: Sequence[Query]) -> Sequence[str]:
        """Return how queries are answered."""
        plans: list[str] = []
        for sql, parameters in asked:
            plans += [detail for *_, detail in await super().fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return plans


async def measure(database: CountingDatabase | PlanningDatabase, images: ImagePorts, case: Case) -> Sequence[Cost]:
    """Return the cost of a case at each depth."""
    costs = []
    for depth in DEPTHS if case.has_depth else DEPTHS[:1]:
        found: Any = await case.work(images, depth)
        rows = None
        database.asked.clear()
        if isinstance(database, CountingDatabase):
            before = await database.rows_examined()
            nothing = await database.rows_examined() - before
            await case.work(images, depth)
            rows = await database.rows_examined() - before - 2 * nothing
        else:
            await case.work(images, depth)
        asked = tuple(database.asked)
        times: list[float] = []
        end = time.perf_counter() + SECONDS
        while len(times) < REPETITIONS_MIN or (len(times) < REPETITIONS and time.perf_counter() < end):
            start = time.perf_counter()
            await case.work(images, depth)
            times.append((time.perf_counter() - start) * 1e3)
        costs.append(Cost(len(found), times, rows, await database.plans(asked)))
    return costs


def rows_of_chunk(number: int, chunks: int) -> Rows:
    """Return the rows of a chunk of images, by table."""
    return rows_of(make_chunk(number, chunks))


def fill_mysql(url: str, chunks: int, number: int) -> None:
    """Write a chunk of images to a database."""
    write_rows(url, rows_of_chunk(number, chunks))


async def on_mysql(server: MySQLServer, count: int, cases: Sequence[Case]) -> tuple[Results, str]:
    """Fill a new database and measure; return the costs by case, and the sizes of the tables."""
    with server.new_database() as url:
        database = CountingDatabase(url)
        await database.open()
        await database.schema.upgrade()
        with timed(f"MySQL: {count:,} images are written"), ProcessPoolExecutor(2) as processes:
            chunks = count // CHUNK
            for _ in processes.map(partial(fill_mysql, url, chunks), range(chunks)):
                pass
        async with database.dedicated() as cursor:
            await cursor.execute("ANALYZE TABLE images, image_tags, image_words")
        results = await measure_all(database, database.images, cases)
        sizes = await table_sizes(database)
        await database.close()
    return results, sizes


async def table_sizes(database: MySQLDatabase) -> str:
    """Return the sizes of each table and each index."""
    async with database.autocommit() as cursor:
        await cursor.execute(
            "SELECT table_name, index_name, stat_value * @@innodb_page_size / 1048576 FROM mysql.innodb_index_stats"
            " WHERE database_name = DATABASE() AND stat_name = 'size'"
            " AND table_name IN ('images', 'image_tags', 'image_words') ORDER BY table_name, index_name"
        )
        rows = [
            f"| {table} | {'the rows' if index == 'PRIMARY' else index} | {mib:,.0f} |"
            for table, index, mib in await cursor.fetchall()
        ]
        await cursor.execute("SELECT VERSION()")
        ((version,),) = await cursor.fetchall()
        spaces = "innodb_sys_tablespaces" if "MariaDB" in version else "innodb_tablespaces"
        await cursor.execute(
            f"SELECT SUM(file_size) / 1048576 FROM information_schema.{spaces}"  # noqa: S608 -- our own names
            " WHERE name LIKE CONCAT(DATABASE(), '/FTS%')"
        )
        ((words,),) = await cursor.fetchall()
    rows.append(f"| image_words | image_words_words (an index of words has tables of its own) | {words or 0:,.0f} |")
    return "\n".join(["| table | index | MiB |", "| --- | --- | ---: |", *rows])


async def on_sqlite(count: int, cases: Sequence[Case]) -> Results:
    """Fill a new file and measure; return the costs by case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixyproxy.db"
        database = PlanningDatabase(path)
        await database.open()
        await database.schema.upgrade()
        chunks = count // CHUNK
        with timed(f"SQLite: {count:,} images are written"), ProcessPoolExecutor(2) as processes:
            for tables in processes.map(partial(rows_of_chunk, chunks=chunks), range(chunks)):
                write_sqlite_rows(path, tables)
        results = await measure_all(database, database.images, cases)
        await database.close()
        return results


async def measure_all(
    database: CountingDatabase | PlanningDatabase, images: ImagePorts, cases: Sequence[Case]
) -> Results:
    """Return the costs by case."""
    results = {}
    with timed("All is measured"):
        for case in cases:
            results[case.name] = costs = await measure(database, images, case)
            print(f"{case.name:<50} {'  '.join(map(summary, costs))}", flush=True)
    return results


def summary(cost: Cost) -> str:
    """Return one cost in a few words."""
    rows = "" if cost.rows is None else f" {cost.rows:,} rows,"
    return f"{cost.found}:{rows} {cost.p50:.1f}/{cost.p99:.1f} ms {'; '.join(dict.fromkeys(cost.plans))}"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.0f} s", flush=True)


def table(few: Results, many: Results, images: int) -> str:
    """Return the costs on MySQL side by side."""
    counts = f"{FEW_IMAGES:,} | {images:,}"
    lines = [
        f"| list | index | rows examined: {counts} | p50 in ms: {counts} | p99 in ms: {counts} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, costs in many.items():
        both = (few[name], costs)
        cells = [
            *(side_by_side(f"{cost.rows:,}" for cost in some) for some in both),
            *(side_by_side(f"{cost.p50:,.1f}" for cost in some) for some in both),
            *(side_by_side(f"{cost.p99:,.1f}" for cost in some) for some in both),
        ]
        lines.append(f"| {name} | {plan_of(costs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sqlite_table(results: Results) -> str:
    """Return the costs on SQLite."""
    lines = ["| list | p50 in ms | p99 in ms | sorts |", "| --- | ---: | ---: | --- |"]
    for name, costs in results.items():
        p50 = side_by_side(f"{cost.p50:,.1f}" for cost in costs)
        p99 = side_by_side(f"{cost.p99:,.1f}" for cost in costs)
        sorts = any("TEMP B-TREE" in plan for cost in costs for plan in cost.plans)
        lines.append(f"| {name} | {p50} | {p99} | {'yes' if sorts else ''} |")
    return "\n".join(lines)


def side_by_side(numbers: Iterable[str]) -> str:
    """Return the numbers of the first page and the deeper ones."""
    return " · ".join(numbers)


def plan_of(costs: Sequence[Cost]) -> str:
    """Return the indexes that a case has used at any depth, without those that only lead from one row to another."""
    return ", ".join(dict.fromkeys(plan for cost in costs for plan in cost.plans))


def write(results: str) -> None:
    """Put the results in their place in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN}\n{results}\n{END_MARK}{after}", encoding="utf-8")


async def run(server: MySQLServer, options: str) -> None:
    """Measure everything, and print and write the tables."""
    images = int(os.environ.get("PIXYPROXY_BENCH_IMAGES", IMAGES))
    sqlite_images = min(images, SQLITE_IMAGES)
    cases = list(make_cases())
    ((version,),) = server.execute("SELECT VERSION()")
    print(f"Server {version}, {options}")
    few, _ = await on_mysql(server, FEW_IMAGES, cases)
    many, sizes = await on_mysql(server, images, cases)
    small = await on_sqlite(sqlite_images, cases)
    results = f"""\
Measured on {datetime.now(UTC):%d %B %Y} with `make bench-library`: {version}, {options};
SQLite {sqlite3.sqlite_version}; {os.cpu_count()} processors, which the client and the server share.

#### {FEW_IMAGES:,} and {images:,} images

{table(few, many, images)}

#### What {images:,} images take

{sizes}

#### SQLite, {sqlite_images:,} images

{sqlite_table(small)}
"""
    print(results)
    if images == IMAGES:
        write(results)


def main() -> None:
    """Find a server, and measure."""
    if url := os.environ.get("PIXYPROXY_TEST_MYSQL_URL"):
        asyncio.run(run(MySQLServer(url), "as it was set up"))
        return
    with ThrowawayServer(*SERVER_OPTIONS) as server:
        asyncio.run(run(server, " ".join(f"`{option}`" for option in SERVER_OPTIONS)))


if __name__ == "__main__":
    main()
