"""The SQL of lists: any combination of filters, on MySQL and on SQLite.

A page comes from an index scan in the order of the list, from the cursor until the page is full. This module chooses
the index, because query planners sometimes read and sort all matches instead. If several indexes fit, it samples each
and scans the one that reads the fewest images.

The images of a batch are few, and so are those drawn from another image: a list of them sorts what their indexes find.

The full-text index returns matches in no useful order. So a search scans, too, and checks the words of each image:
frequent words fill a page soon, and a short scan has seen everything. Only rare words use the full-text index.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from operator import attrgetter
from typing import Final

import msgspec

from pixyproxy.adapters.sql.database import Fetch, Parameters
from pixyproxy.adapters.sql.dialect import Dialect
from pixyproxy.adapters.sql.records import image_from_record, images_from_page
from pixyproxy.adapters.sql.rows import phrase_to_text, sender_term_to_text, term_to_text, time_to_text
from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ChangePosition, ImageFilter, ImageOrder, ImagePosition, TagFilter
from pixyproxy.domain.search import Search, character_count
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName

# Images per sample by which scans are compared, and on which a search starts.
SAMPLE_SIZE: Final = 500

# Images that a search for a page of one image scans before it uses the full-text index, times the square root of the
# page size. The more it scans, the rarer are the words that it looks up in the index.
SEARCH_SCAN_SIZE: Final = 1_000

# Words in one of this many sampled images are too frequent for the full-text index.
FREQUENT_ONE_IN: Final = 100

# Limits on queries of the full-text index. Servers can't be interrupted inside it, so no query has prefixes that many
# words start with, nor more than the longest few words, which tend to be the rarest.
_PREFIX_MIN_LENGTH: Final = 2
_MATCHED_MAX_COUNT: Final = 3

# The first columns of each index; the columns of the list order follow.
_INDEXES: Final[Mapping[str, Sequence[str]]] = {
    "images_public": ("visibility", "status"),
    "images_author": ("author", "status"),
    "images_author_visibility": ("author", "visibility", "status"),
    "images_model": ("visibility", "status", "model"),
    "images_media_type": ("visibility", "status", "media_type"),
    "images_batch": ("batch",),
    "image_references_guid": (),
    "image_tags_public": ("visibility", "status"),
    "image_tags_author": ("author", "status"),
}

_COPIED_TO_TAGS: Final = ("author", "visibility", "status")

Query = tuple[str, Parameters]


class IndexScan(msgspec.Struct, frozen=True):
    """A scan in list order: of an index of images, of one of tags for the images of `tag`, or of one of references."""

    index: str
    tag: Tag | None = None

    @property
    def table(self) -> str:
        """The table that the index belongs to."""
        return "images" if self.tag is None else "image_tags"

    @property
    def image_id(self) -> str:
        """The column with the image's id."""
        return "scan.id" if self.tag is None else "scan.image_id"


class Sample(msgspec.Struct, frozen=True):
    """The first images of a scan: how many, and up to which time; None if the scan ends here."""

    scan: IndexScan
    length: int
    end: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLists:
    """Finds the images of lists with as few queries as possible, by `fetch_all`.

    All images of a page come from one query, so that they are consistent with each other.
    """

    dialect: Dialect
    fetch_all: Fetch

    async def page(
        self, wanted: ImageFilter, order: ImageOrder, after: ImagePosition | None, limit: int
    ) -> Sequence[Image]:
        """Return the images of a page, in its order."""
        queries = ImageListQueries(self.dialect, wanted, order, after)
        if wanted.search is None:
            scan = await self._best_scan(queries)
            return await self._images(queries, queries.page(scan, limit))
        if not wanted.search.phrases:
            return []
        near = await self._sample(queries, SAMPLE_SIZE, queries.scans)
        images = await self._images(queries, queries.page(near.scan, limit, until=near.end))
        if len(images) == limit or near.end is None:
            return images
        far = await self._sample(queries, SEARCH_SCAN_SIZE * isqrt(limit), [near.scan])
        images = await self._images(queries, queries.page(far.scan, limit, until=far.end))
        if len(images) == limit or far.end is None:
            return images
        if not queries.match or await self._are_frequent(queries, far):
            return await self._images(queries, queries.page(far.scan, limit))
        return await self._images(queries, queries.page_by_words(wanted.search, limit))

    async def count(self, wanted: ImageFilter) -> int:
        """Return how many images a list has."""
        queries = ImageListQueries(self.dialect, wanted)
        if wanted.search is not None and not wanted.search.phrases:
            return 0
        if wanted.search is not None and queries.match and not queries.is_short:
            query = queries.count_by_words(wanted.search)
        else:
            query = queries.count(await self._best_scan(queries))
        ((number,),) = await self.fetch_all(*query)
        return int(number)

    async def _images(self, queries: "ImageListQueries", found: Query) -> Sequence[Image]:
        """Return the images with the ids that a query finds, in the order of the list.

        Their records come as one text. If it can't be read, they come again one by one: a record may be damaged, its
        tags may be in their index alone, or the text is too long.
        """
        ids, parameters = found
        source = f"FROM ({ids}) AS found {self.dialect.join} images ON images.id = found.id"
        ((count, records),) = await self.fetch_all(f"SELECT COUNT(*), {{records}} {source}", parameters)
        images = images_from_page(count, records)
        if images is None:
            rows = await self.fetch_all(f"SELECT images.guid, {{whole_record}} {source}", parameters)
            images = []
            for guid, record in rows:
                images.append(image_from_record(guid, record))
                # Others go on meanwhile.
                await asyncio.sleep(0)
        return sorted(images, key=attrgetter("created_at", "guid"), reverse=queries.order is ImageOrder.NEWEST_FIRST)

    async def _are_frequent(self, queries: "ImageListQueries", sample: Sample) -> bool:
        """Whether the words are frequent, and other conditions are rare."""
        if not queries.is_narrow(sample.scan):
            return False
        ((found,),) = await self.fetch_all(*queries.count_words(sample))
        return bool(found * FREQUENT_ONE_IN > sample.length)

    async def _best_scan(self, queries: "ImageListQueries") -> IndexScan:
        if len(queries.scans) == 1:
            return queries.scans[0]
        return (await self._sample(queries, SAMPLE_SIZE, queries.scans)).scan

    async def _sample(self, queries: "ImageListQueries", length: int, scans: Sequence[IndexScan]) -> Sample:
        """Return the sample of the scan that reads the fewest images."""
        rows = await self.fetch_all(*queries.samples(length, scans))
        samples = [Sample(scans[number], found, end if found == length else None) for number, found, end in rows]
        ended = [sample for sample in samples if sample.end is None]
        if ended:
            return min(ended, key=lambda sample: sample.length)
        farthest = min if queries.order is ImageOrder.NEWEST_FIRST else max
        return farthest(samples, key=lambda sample: sample.end or "")


class ImageListQueries(msgspec.Struct, frozen=True):
    """The queries for the images that match a filter, from a cursor on."""

    dialect: Dialect
    wanted: ImageFilter
    order: ImageOrder = ImageOrder.NEWEST_FIRST
    after: ImagePosition | None = None

    @property
    def scans(self) -> Sequence[IndexScan]:
        """The scans that find all images of the list."""
        wanted, scans = self.wanted, list[IndexScan]()
        if wanted.batch is not None:
            return [IndexScan("images_batch")]
        if wanted.derived_from is not None:
            return [IndexScan("image_references_guid")]
        if wanted.tags:
            index = "image_tags_public" if wanted.author is None else "image_tags_author"
            scans += [IndexScan(index, tag) for tag in wanted.tags]
        elif wanted.author is not None:
            scans.append(IndexScan("images_author" if wanted.visibility is None else "images_author_visibility"))
        if wanted.model is not None and wanted.visibility is not None:
            scans.append(IndexScan("images_model"))
        if wanted.media_type is not None and wanted.visibility is not None:
            scans.append(IndexScan("images_media_type"))
        return scans or [IndexScan("images_public")]

    @property
    def is_short(self) -> bool:
        """Whether the list has few images, words aside."""
        return self.wanted.batch is not None or self.wanted.derived_from is not None

    def samples(self, length: int, scans: Sequence[IndexScan]) -> Query:
        """Return the query for a row per scan: its number, the length of its sample, and where that ends."""
        farthest = "MIN" if self.order is ImageOrder.NEWEST_FIRST else "MAX"
        sql = " UNION ALL ".join(
            f"SELECT {number}, COUNT(*), CAST({farthest}(created_at) AS CHAR) FROM ("
            f"SELECT scan.created_at FROM {self._scanned(scan)} {_where([*self._on_index(scan), *self._range('scan')])}"
            f" {self._ordered('scan')} LIMIT {length}) AS sample_{number}"
            for number, scan in enumerate(scans)
        )
        return sql, self._parameters()

    def page(self, scan: IndexScan, limit: int, *, until: str | None = None) -> Query:
        """Return the query for the ids of a page by a scan, up to the time `until`."""
        source, conditions = self._read(scan, until)
        sql = f"SELECT {scan.image_id} AS id FROM {source} {_where(conditions)} {self._ordered('scan')} LIMIT :limit"
        return sql, {**self._parameters(), "until": until, "limit": limit}

    def page_by_words(self, search: Search, limit: int) -> Query:
        """Return the query for the ids of a page by the full-text index."""
        sql = (
            f"SELECT images.id FROM {self._words} {_where(self._found_by_words(search))}"
            f" {self._ordered('images')} LIMIT :limit"
        )
        return sql, {**self._parameters(), "limit": limit}

    def count(self, scan: IndexScan) -> Query:
        """Return the query for the number of images by a scan."""
        source, conditions = self._read(scan)
        return f"SELECT COUNT(*) FROM {source} {_where(conditions)}", self._parameters()

    def count_by_words(self, search: Search) -> Query:
        """Return the query for the number of images by the full-text index."""
        return f"SELECT COUNT(*) FROM {self._words} {_where(self._found_by_words(search))}", self._parameters()

    def count_words(self, sample: Sample) -> Query:
        """Return the query for how many images of a sample have the words, ignoring the other conditions."""
        scan, search = sample.scan, self.wanted.search
        conditions = [*self._on_index(scan), *self._range("scan", sample.end)]
        if search is not None:
            conditions += self._has_phrases(search)
        sql = f"SELECT COUNT(*) FROM {self._scanned(scan)}{self._with_words(scan)} {_where(conditions)}"
        return sql, {**self._parameters(), "until": sample.end}

    def is_narrow(self, scan: IndexScan) -> bool:
        """Whether a scan reads images outside the list, leaving words aside."""
        return bool(self._beside_index(scan))

    def _read(self, scan: IndexScan, until: str | None = None) -> tuple[str, Sequence[str]]:
        """Return the tables and conditions of a scan."""
        source = self._scanned(scan)
        conditions = [*self._on_index(scan), *self._beside_index(scan), *self._range("scan", until)]
        reads_images = any(condition.startswith("images.") for condition in conditions)
        if self.wanted.search is not None:
            source += self._with_words(scan)
            conditions += [*self._has_phrases(self.wanted.search), *self._are_of_prompt]
            reads_images = reads_images or bool(self._are_of_prompt)
        if reads_images:
            source += self._with_images(scan)
        return source, conditions

    def _scanned(self, scan: IndexScan) -> str:
        if scan.index == "image_references_guid":
            references = self.dialect.scanned.format(table="image_references", index=scan.index)
            # An image may refer to another one twice.
            children = f"SELECT DISTINCT image_id FROM {references} WHERE guid = :derived_from"
            return f"({children}) AS child {self.dialect.join} images AS scan ON scan.id = child.image_id"
        return self.dialect.scanned.format(table=f"{scan.table} AS scan", index=scan.index)

    def _with_images(self, scan: IndexScan) -> str:
        return f" {self.dialect.join} images ON images.id = {scan.image_id}"

    def _with_words(self, scan: IndexScan) -> str:
        return f" {self.dialect.join} image_words ON {self.dialect.words_id} = {scan.image_id}"

    @property
    def _words(self) -> str:
        return f"image_words {self.dialect.join} images ON images.id = {self.dialect.words_id}"

    def _on_index(self, scan: IndexScan) -> Sequence[str]:
        """The conditions on the first columns of the index."""
        conditions = [self._column("scan", column) for column in self._columns if column in _INDEXES[scan.index]]
        if scan.tag is not None:
            conditions.append(f"scan.tag = {self._tag(scan.tag)}")
        return conditions

    def _beside_index(self, scan: IndexScan) -> Sequence[str]:
        """The other conditions on each image of the scan."""
        conditions = [
            self._column("scan" if scan.tag is None or column in _COPIED_TO_TAGS else "images", column)
            for column in self._columns
            if column not in _INDEXES[scan.index]
        ]
        tags = [tag for tag in self.wanted.tags if tag != scan.tag]
        parents = [] if scan.index == "image_references_guid" else self._with_parent(scan.image_id)
        return [*conditions, *self._with_tags(scan.image_id, tags), *parents]

    def _found_by_words(self, search: Search) -> Sequence[str]:
        return [
            self.dialect.match,
            *self._has_phrases(search),
            *self._are_of_prompt,
            *(self._column("images", column) for column in self._columns),
            *self._with_tags("images.id", self.wanted.tags),
            *self._with_parent("images.id"),
            *self._range("images"),
        ]

    @property
    def _columns(self) -> Sequence[str]:
        """The columns of `images` that the filter compares."""
        columns = ("visibility", "author", "model", "media_type", "batch")
        return ["status", *(column for column in columns if getattr(self.wanted, column) is not None)]

    def _column(self, table: str, column: str) -> str:
        if column in {"author", "model"}:
            return self.dialect.equal(f"{table}.{column}", column)
        return f"{table}.{column} = :{column}"

    def _tag(self, tag: Tag) -> str:
        return f":tag_{self.wanted.tags.index(tag)}"

    def _with_tags(self, image_id: str, tags: Sequence[Tag]) -> Sequence[str]:
        if not tags:
            return []
        # A count instead of EXISTS, which could become a join that reads the scan second.
        having = f"other.image_id = {image_id} AND other.tag IN ({', '.join(map(self._tag, tags))})"
        return [f"(SELECT COUNT(*) FROM image_tags AS other WHERE {having}) = {len(tags)}"]

    def _with_parent(self, image_id: str) -> Sequence[str]:
        if self.wanted.derived_from is None:
            return []
        having = f"parent.image_id = {image_id} AND parent.guid = :derived_from"
        return [f"(SELECT COUNT(*) FROM image_references AS parent WHERE {having}) > 0"]

    @property
    def _are_of_prompt(self) -> Sequence[str]:
        return [] if self.dialect.is_of_prompt is None else [self.dialect.is_of_prompt]

    def _has_phrases(self, search: Search) -> Sequence[str]:
        kinds = ("phrase", "sender_phrase") if self.wanted.searches_senders else ("phrase",)
        return [
            f"({' OR '.join(f'INSTR(image_words.words, :{kind}_{number}) > 0' for kind in kinds)})"
            for number in range(len(search.phrases))
        ]

    def _range(self, table: str, until: str | None = None) -> Sequence[str]:
        descending = self.order is ImageOrder.NEWEST_FIRST
        first, end, after = self.wanted.created_after, self.wanted.created_before, self.after
        # Of two bounds on one side, SQLite may use the wider one and read everything in between. So there is one per
        # side: `until` lies within the range, and the narrower of cursor and range end counts.
        if after is not None and descending and end is not None:
            after, end = (None, end) if after.created_at >= end else (after, None)
        if after is not None and not descending and first is not None:
            after, first = (None, first) if after.created_at < first else (after, None)
        if until is not None:
            first, end = (None, end) if descending else (first, None)
        conditions = []
        if first is not None:
            conditions.append(f"{table}.created_at >= :created_after")
        if end is not None:
            conditions.append(f"{table}.created_at < :created_before")
        if until is not None:
            conditions.append(f"{table}.created_at {'>=' if descending else '<='} :until")
        if after is not None:
            sign = "<" if descending else ">"
            # MariaDB scans the whole table for the shorter (created_at, guid) < (…, …).
            conditions.append(f"{table}.created_at {sign}= :after_created_at")
            conditions.append(f"({table}.created_at {sign} :after_created_at OR {table}.guid {sign} :after_guid)")
        return conditions

    def _ordered(self, table: str) -> str:
        way = "DESC" if self.order is ImageOrder.NEWEST_FIRST else "ASC"
        return f"ORDER BY {table}.created_at {way}, {table}.guid {way}"

    def _parameters(self) -> Mapping[str, object]:
        wanted, after = self.wanted, self.after
        parameters: dict[str, object] = {
            "status": wanted.status.value,
            "visibility": wanted.visibility and wanted.visibility.value,
            "author": wanted.author,
            "model": wanted.model,
            "media_type": wanted.media_type and wanted.media_type.value,
            "batch": wanted.batch and str(wanted.batch),
            "derived_from": wanted.derived_from and str(wanted.derived_from),
            "created_after": wanted.created_after and time_to_text(wanted.created_after),
            "created_before": wanted.created_before and time_to_text(wanted.created_before),
            "after_created_at": after and time_to_text(after.created_at),
            "after_guid": after and str(after.guid),
        }
        parameters |= {f"tag_{number}": tag for number, tag in enumerate(wanted.tags)}
        if wanted.search is not None:
            phrases = wanted.search.phrases
            for number, phrase in enumerate(phrases):
                parameters[f"phrase_{number}"] = phrase_to_text(phrase)
                parameters[f"sender_phrase_{number}"] = phrase_to_text(phrase, sender_term_to_text)
            parameters["match"] = self.match
        return parameters

    @property
    def match(self) -> str:
        """The query of the full-text index: it matches at least all images with the phrases. Empty if it is no help."""
        terms: dict[str, str] = {}
        for phrase in self.wanted.search.phrases if self.wanted.search is not None else ():
            *whole, last = phrase.terms
            terms |= dict.fromkeys(whole, "")
            if not phrase.is_prefix:
                terms[last] = ""
            elif character_count(last) >= _PREFIX_MIN_LENGTH:
                terms.setdefault(last, "*")
        longest = sorted(terms, key=character_count, reverse=True)[:_MATCHED_MAX_COUNT]
        kinds = [term_to_text, sender_term_to_text] if self.wanted.searches_senders else [term_to_text]
        return self.dialect.match_all(
            [[self.dialect.match_term.format(to_text(term)) + terms[term] for to_text in kinds] for term in longest]
        )


def tags_query(dialect: Dialect, wanted: TagFilter, after: Tag | None, limit: int, *, descending: bool) -> Query:
    """Return the query for a page of tags with their counts."""
    conditions = ["status = 'ready'"]
    if wanted.visibility is not None:
        conditions.append("visibility = :visibility")
    if wanted.author is not None:
        conditions.append(dialect.equal("author", "author"))
    if after is not None:
        conditions.append(f"tag {'<' if descending else '>'} :after")
    end = _after_prefix(wanted.prefix)
    if wanted.prefix:
        conditions.append("tag >= :prefix")
        # Not SUBSTR, LEFT or LIKE: MariaDB 11.8 turns them into ranges that end before characters beyond U+FFFF.
        conditions.append("INSTR(tag, :prefix) = 1")
    if end is not None:
        conditions.append("tag < :end")
    scanned = dialect.scanned.format(
        table="image_tags", index="image_tags_public" if wanted.author is None else "image_tags_author"
    )
    sql = (
        f"SELECT tag, COUNT(*) FROM {scanned} {_where(conditions)}"
        f" GROUP BY tag ORDER BY tag {'DESC' if descending else 'ASC'} LIMIT :limit"
    )
    return sql, {
        "visibility": wanted.visibility and wanted.visibility.value,
        "author": wanted.author,
        "after": after,
        "prefix": wanted.prefix,
        "end": end,
        "limit": limit,
    }


def changes_query(dialect: Dialect, author: UserName, after: ChangePosition, limit: int) -> Query:
    """Return the query for the last changes of an author's images: guid, version, time and id of each."""
    # The index ends with the id, so nothing is sorted.
    scanned = dialect.scanned.format(table="images", index="images_author_updated")
    conditions = [
        dialect.equal("author", "author"),
        "updated_at >= :after",
        "(updated_at > :after OR id > :after_id)",
    ]
    sql = (
        f"SELECT guid, version, CAST(updated_at AS CHAR), id FROM {scanned} {_where(conditions)}"
        " ORDER BY updated_at, id LIMIT :limit"
    )
    return sql, {
        "author": author,
        "after": time_to_text(after.updated_at),
        "after_id": after.id,
        "limit": limit,
    }


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _after_prefix(prefix: str) -> str | None:
    """Return the first text after all that start with `prefix`, or None."""
    if not prefix or prefix[-1] == "\U0010ffff":
        return None
    # Skip surrogates.
    return prefix[:-1] + ("\ue000" if prefix[-1] == "\ud7ff" else chr(ord(prefix[-1]) + 1))
