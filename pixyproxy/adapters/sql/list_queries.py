"""The SQL of lists: any combination of filters, on MySQL and on SQLite.

What decides the cost of a list is the index that it walks, in the order of the list and from the cursor on, until a
page is full. It is chosen here: left to itself, a server may read and sort all images that fit instead. Where several
indexes lead to the images of a list, the next stretch of each is measured first: the walk that gets farthest with it
comes by the fewest images, and one that ends within it does so for sure.

Words have an index of another kind, which names what has them in no useful order. So a search walks, too, and looks at
the words of each image that it comes by: frequent words fill a page soon, and a walk that ends soon has seen all. Only
for rare words the index is asked for all that have them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

import msgspec

from pixyproxy.adapters.sql.database import Fetch, Parameters
from pixyproxy.adapters.sql.dialect import Dialect
from pixyproxy.adapters.sql.records import image_from_record, images_from_page
from pixyproxy.adapters.sql.rows import phrase_to_text, term_to_text, time_to_text
from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagFilter
from pixyproxy.domain.search import Search, character_count
from pixyproxy.domain.tag import Tag

# How many images the stretch has by which walks are compared, and on which a search begins.
STRETCH: Final = 500

# How far a search then goes, for a page of one image, before it asks the index of words; the square root of the page's
# size makes it so many times farther. The farther, the rarer are the words that the index is asked for.
SEARCHED: Final = 1_000

# Words that one in so many images of the stretch has are too frequent for the index of words.
FREQUENT: Final = 100

# What the index of words is asked for. A server that is at work inside it can't be interrupted, so it is never asked
# for prefixes that many words begin with, nor for more than the longest few words, which tend to be the rarest.
_PREFIX_MIN_LENGTH: Final = 2
_MATCHED_MAX_COUNT: Final = 3

# Which columns come first in an index; behind them it has what lists are ordered by.
_INDEXES: Final[Mapping[str, Sequence[str]]] = {
    "images_public": ("visibility", "status"),
    "images_author": ("author", "status"),
    "images_author_visibility": ("author", "visibility", "status"),
    "images_model": ("visibility", "status", "model"),
    "images_media_type": ("visibility", "status", "media_type"),
    "image_tags_public": ("visibility", "status"),
    "image_tags_author": ("author", "status"),
}

_COPIED_TO_TAGS: Final = ("author", "visibility", "status")

Query = tuple[str, Parameters]


class Walk(msgspec.Struct, frozen=True):
    """One way through a list, in its order: along an index of images, or along one of tags by the images of `tag`."""

    index: str
    tag: Tag | None = None

    @property
    def table(self) -> str:
        """The table that the index belongs to."""
        return "images" if self.tag is None else "image_tags"

    @property
    def image_id(self) -> str:
        """The column with the image's id."""
        return "walk.id" if self.tag is None else "walk.image_id"


class Stretch(msgspec.Struct, frozen=True):
    """The next images on a walk: how many, and up to which time, or none if the walk ends here."""

    walk: Walk
    length: int
    end: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLists:
    """Finds the images of lists with as few queries as possible; `fetch_all` asks the database.

    All images of an answer come from one query, so that they fit together whatever others write meanwhile.
    """

    dialect: Dialect
    fetch_all: Fetch

    async def page(
        self, wanted: ImageFilter, order: ImageOrder, after: ImagePosition | None, limit: int
    ) -> Sequence[Image]:
        """Return the images of a page, in its order."""
        queries = ImageListQueries(self.dialect, wanted, order, after)
        if wanted.search is None:
            walk = await self._best_walk(queries)
            return await self._images(queries, queries.page(walk, limit))
        if not wanted.search.phrases:
            return []
        near = await self._stretch(queries, STRETCH, queries.walks)
        images = await self._images(queries, queries.page(near.walk, limit, until=near.end))
        if len(images) == limit or near.end is None:
            return images
        far = await self._stretch(queries, SEARCHED * isqrt(limit), [near.walk])
        images = await self._images(queries, queries.page(far.walk, limit, until=far.end))
        if len(images) == limit or far.end is None:
            return images
        if not queries.match or await self._are_frequent(queries, far):
            return await self._images(queries, queries.page(far.walk, limit))
        return await self._images(queries, queries.page_by_words(wanted.search, limit))

    async def count(self, wanted: ImageFilter) -> int:
        """Return how many images a list has."""
        queries = ImageListQueries(self.dialect, wanted)
        if wanted.search is not None and not wanted.search.phrases:
            return 0
        if wanted.search is not None and queries.match:
            query = queries.count_by_words(wanted.search)
        else:
            query = queries.count(await self._best_walk(queries))
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
        return sorted(images, key=ImagePosition.of, reverse=queries.order is ImageOrder.NEWEST_FIRST)

    async def _are_frequent(self, queries: "ImageListQueries", stretch: Stretch) -> bool:
        """Whether the words are frequent, and others of the conditions rare."""
        if not queries.is_narrow(stretch.walk):
            return False
        ((found,),) = await self.fetch_all(*queries.count_words(stretch))
        return bool(found * FREQUENT > stretch.length)

    async def _best_walk(self, queries: "ImageListQueries") -> Walk:
        if len(queries.walks) == 1:
            return queries.walks[0]
        return (await self._stretch(queries, STRETCH, queries.walks)).walk

    async def _stretch(self, queries: "ImageListQueries", length: int, walks: Sequence[Walk]) -> Stretch:
        """Return the stretch of the walk that comes by the fewest images."""
        rows = await self.fetch_all(*queries.stretches(length, walks))
        stretches = [Stretch(walks[number], found, end if found == length else None) for number, found, end in rows]
        ended = [stretch for stretch in stretches if stretch.end is None]
        if ended:
            return min(ended, key=lambda stretch: stretch.length)
        farthest = min if queries.order is ImageOrder.NEWEST_FIRST else max
        return farthest(stretches, key=lambda stretch: stretch.end or "")


class ImageListQueries(msgspec.Struct, frozen=True):
    """The queries for the images that a filter lets through, from a cursor on."""

    dialect: Dialect
    wanted: ImageFilter
    order: ImageOrder = ImageOrder.NEWEST_FIRST
    after: ImagePosition | None = None

    @property
    def walks(self) -> Sequence[Walk]:
        """The walks that come by all images of the list."""
        wanted, walks = self.wanted, list[Walk]()
        if wanted.tags:
            index = "image_tags_public" if wanted.author is None else "image_tags_author"
            walks += [Walk(index, tag) for tag in wanted.tags]
        elif wanted.author is not None:
            walks.append(Walk("images_author" if wanted.visibility is None else "images_author_visibility"))
        if wanted.model is not None and wanted.visibility is not None:
            walks.append(Walk("images_model"))
        if wanted.media_type is not None and wanted.visibility is not None:
            walks.append(Walk("images_media_type"))
        return walks or [Walk("images_public")]

    def stretches(self, length: int, walks: Sequence[Walk]) -> Query:
        """Return the query for one row a walk: its number, how long its next stretch is, and where that ends."""
        farthest = "MIN" if self.order is ImageOrder.NEWEST_FIRST else "MAX"
        sql = " UNION ALL ".join(
            f"SELECT {number}, COUNT(*), CAST({farthest}(created_at) AS CHAR) FROM ("
            f"SELECT walk.created_at FROM {self._walked(walk)} {_where([*self._on_index(walk), *self._range('walk')])}"
            f" {self._ordered('walk')} LIMIT {length}) AS stretch_{number}"
            for number, walk in enumerate(walks)
        )
        return sql, self._parameters()

    def page(self, walk: Walk, limit: int, *, until: str | None = None) -> Query:
        """Return the query for the ids of a page that a walk leads to, as far as it goes until that time."""
        source, conditions = self._read(walk, until)
        sql = f"SELECT {walk.image_id} AS id FROM {source} {_where(conditions)} {self._ordered('walk')} LIMIT :limit"
        return sql, {**self._parameters(), "until": until, "limit": limit}

    def page_by_words(self, search: Search, limit: int) -> Query:
        """Return the query for the ids of a page of what the index of words leads to."""
        sql = (
            f"SELECT images.id FROM {self._words} {_where(self._found_by_words(search))}"
            f" {self._ordered('images')} LIMIT :limit"
        )
        return sql, {**self._parameters(), "limit": limit}

    def count(self, walk: Walk) -> Query:
        """Return the query for the number of images that a walk leads to."""
        source, conditions = self._read(walk)
        return f"SELECT COUNT(*) FROM {source} {_where(conditions)}", self._parameters()

    def count_by_words(self, search: Search) -> Query:
        """Return the query for the number of images that the index of words leads to."""
        return f"SELECT COUNT(*) FROM {self._words} {_where(self._found_by_words(search))}", self._parameters()

    def count_words(self, stretch: Stretch) -> Query:
        """Return the query for how many images on a stretch have the words, whether they fit otherwise or not."""
        walk, search = stretch.walk, self.wanted.search
        conditions = [*self._on_index(walk), *self._range("walk", stretch.end)]
        if search is not None:
            conditions += self._has_phrases(search)
        sql = f"SELECT COUNT(*) FROM {self._walked(walk)}{self._with_words(walk)} {_where(conditions)}"
        return sql, {**self._parameters(), "until": stretch.end}

    def is_narrow(self, walk: Walk) -> bool:
        """Whether not all that a walk comes by is in the list, leaving words aside."""
        return bool(self._beside_index(walk))

    def _read(self, walk: Walk, until: str | None = None) -> tuple[str, Sequence[str]]:
        """Return the tables that a walk reads, and what it asks of their rows."""
        source = self._walked(walk)
        conditions = [*self._on_index(walk), *self._beside_index(walk), *self._range("walk", until)]
        reads_images = any(condition.startswith("images.") for condition in conditions)
        if self.wanted.search is not None:
            source += self._with_words(walk)
            conditions += [*self._has_phrases(self.wanted.search), *self._are_of_prompt]
            reads_images = reads_images or bool(self._are_of_prompt)
        if reads_images:
            source += self._with_images(walk)
        return source, conditions

    def _walked(self, walk: Walk) -> str:
        return self.dialect.walked.format(table=f"{walk.table} AS walk", index=walk.index)

    def _with_images(self, walk: Walk) -> str:
        return f" {self.dialect.join} images ON images.id = {walk.image_id}"

    def _with_words(self, walk: Walk) -> str:
        return f" {self.dialect.join} image_words ON {self.dialect.words_id} = {walk.image_id}"

    @property
    def _words(self) -> str:
        return f"image_words {self.dialect.join} images ON images.id = {self.dialect.words_id}"

    def _on_index(self, walk: Walk) -> Sequence[str]:
        """What is asked of the first columns of the index."""
        conditions = [self._column("walk", column) for column in self._columns if column in _INDEXES[walk.index]]
        if walk.tag is not None:
            conditions.append(f"walk.tag = {self._tag(walk.tag)}")
        return conditions

    def _beside_index(self, walk: Walk) -> Sequence[str]:
        """What is asked of each image that the walk comes by."""
        conditions = [
            self._column("walk" if walk.tag is None or column in _COPIED_TO_TAGS else "images", column)
            for column in self._columns
            if column not in _INDEXES[walk.index]
        ]
        return [*conditions, *self._with_tags(walk.image_id, [tag for tag in self.wanted.tags if tag != walk.tag])]

    def _found_by_words(self, search: Search) -> Sequence[str]:
        return [
            self.dialect.match,
            *self._has_phrases(search),
            *self._are_of_prompt,
            *(self._column("images", column) for column in self._columns),
            *self._with_tags("images.id", self.wanted.tags),
            *self._range("images"),
        ]

    @property
    def _columns(self) -> Sequence[str]:
        """The columns of `images` that the filter names a value for."""
        columns = ("visibility", "author", "model", "media_type")
        return ["status", *(column for column in columns if getattr(self.wanted, column) is not None)]

    def _column(self, table: str, column: str) -> str:
        if column == "status":
            return f"{table}.status = 'ready'"
        if column in {"author", "model"}:
            return self.dialect.equal(f"{table}.{column}", column)
        return f"{table}.{column} = :{column}"

    def _tag(self, tag: Tag) -> str:
        return f":tag_{self.wanted.tags.index(tag)}"

    def _with_tags(self, image_id: str, tags: Sequence[Tag]) -> Sequence[str]:
        if not tags:
            return []
        # As a number and not as EXISTS: that could become a join, and the walk would come second.
        having = f"other.image_id = {image_id} AND other.tag IN ({', '.join(map(self._tag, tags))})"
        return [f"(SELECT COUNT(*) FROM image_tags AS other WHERE {having}) = {len(tags)}"]

    @property
    def _are_of_prompt(self) -> Sequence[str]:
        return [] if self.dialect.is_of_prompt is None else [self.dialect.is_of_prompt]

    def _has_phrases(self, search: Search) -> Sequence[str]:
        return [f"INSTR(image_words.words, :phrase_{number}) > 0" for number in range(len(search.phrases))]

    def _range(self, table: str, until: str | None = None) -> Sequence[str]:
        descending = self.order is ImageOrder.NEWEST_FIRST
        first, end, after = self.wanted.created_after, self.wanted.created_before, self.after
        # Of two bounds on one side, SQLite may take the wider one, and read what lies between them. So there is one a
        # side: `until` lies within the range, and of the cursor and the range's end the narrower one counts.
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
            "visibility": wanted.visibility and wanted.visibility.value,
            "author": wanted.author,
            "model": wanted.model,
            "media_type": wanted.media_type and wanted.media_type.value,
            "created_after": wanted.created_after and time_to_text(wanted.created_after),
            "created_before": wanted.created_before and time_to_text(wanted.created_before),
            "after_created_at": after and time_to_text(after.created_at),
            "after_guid": after and str(after.guid),
        }
        parameters |= {f"tag_{number}": tag for number, tag in enumerate(wanted.tags)}
        if wanted.search is not None:
            phrases = wanted.search.phrases
            parameters |= {f"phrase_{number}": phrase_to_text(phrase) for number, phrase in enumerate(phrases)}
            parameters["match"] = self.match
        return parameters

    @property
    def match(self) -> str:
        """What the index of words is asked for: at least all that has the phrases; empty where it would be no help."""
        terms: dict[str, str] = {}
        for phrase in self.wanted.search.phrases if self.wanted.search is not None else ():
            *whole, last = phrase.terms
            terms |= dict.fromkeys(whole, "")
            if not phrase.is_prefix:
                terms[last] = ""
            elif character_count(last) >= _PREFIX_MIN_LENGTH:
                terms.setdefault(last, "*")
        longest = sorted(terms, key=character_count, reverse=True)[:_MATCHED_MAX_COUNT]
        return " ".join(self.dialect.match_term.format(term_to_text(term)) + terms[term] for term in longest)


def tags_query(dialect: Dialect, wanted: TagFilter, after: Tag | None, limit: int, *, descending: bool) -> Query:
    """Return the query for a page of tags with their numbers of images."""
    conditions = ["status = 'ready'"]
    if wanted.visibility is not None:
        conditions.append("visibility = :visibility")
    if wanted.author is not None:
        conditions.append(dialect.equal("author", "author"))
    if after is not None:
        conditions.append(f"tag {'<' if descending else '>'} :after")
    end = _behind_all_with(wanted.prefix)
    if wanted.prefix:
        conditions.append("tag >= :prefix")
        # Not SUBSTR, LEFT or LIKE: MariaDB 11.8 makes ranges of them that end before the characters beyond U+FFFF.
        conditions.append("INSTR(tag, :prefix) = 1")
    if end is not None:
        conditions.append("tag < :end")
    walked = dialect.walked.format(
        table="image_tags", index="image_tags_public" if wanted.author is None else "image_tags_author"
    )
    sql = (
        f"SELECT tag, COUNT(*) FROM {walked} {_where(conditions)}"
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


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}"


def _behind_all_with(prefix: str) -> str | None:
    """Return the first text behind all that begin with `prefix`, or None where there is none."""
    if not prefix or prefix[-1] == "\U0010ffff":
        return None
    # Surrogates are no characters.
    return prefix[:-1] + ("\ue000" if prefix[-1] == "\ud7ff" else chr(ord(prefix[-1]) + 1))
