"""The differences between MySQL's and SQLite's SQL."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pixyproxy.adapters.sql.records import Concat, record_sql

_FIELD: Final = re.compile(r"\{(\w+)\}")
_PARAMETER: Final = re.compile(r":([a-z]\w*)")


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one database writes the variable parts of the statements in `pixyproxy.adapters.sql`.

    A statement names parameters as `:name` and fields of the dialect as `{field}`; `sql` fills in both. `parameter` is
    the replacement for `:name`. `later` is the time `:seconds` from `now`. `skip_taken` ends an INSERT that does
    nothing if the name is taken, `skip_listed` one that does nothing if the upload is listed, and `add_one` that of a
    counter, which adds 1 if the name is taken. `add_words` stores the words of one image, replacing older ones.

    `equal_texts` (exact equality of a column and a parameter), `shifted_time` (microseconds after a time),
    `microseconds_until` (a time), `scanned` (a table with the index to scan) and `match_term` (a word of the parameter
    `:match`, with which `match` queries the full-text index) are templates.
    `match_all` makes that parameter of groups of words: one word of each must be there.
    `join` reads its left side first. `is_of_prompt` is the condition that words belong to the image's prompt, None if
    they always do. `tag_author` is the author's copy in table `image_tags`, and `indexed_tags` is a JSON array of the
    tags there, or NULL. `concat` joins texts of a row. The template `joined` joins a text of all rows with commas; it
    cuts or omits results of more than about a megabyte, which would block the event loop for too long.
    """

    parameter: str
    now: str
    later: str
    shifted_time: str
    microseconds_until: str
    skip_taken: str
    skip_listed: str
    add_one: str
    equal_texts: str
    scanned: str
    join: str
    concat: Concat
    joined: str
    indexed_tags: str
    tag_author: str
    words_id: str
    add_words: str
    is_of_prompt: str | None
    match: str
    match_term: str
    match_all: Callable[[Sequence[Sequence[str]]], str]

    @property
    def record(self) -> str:
        """An image's record as JSON, without tags (null) if only the index has them."""
        return record_sql(self.concat, "COALESCE(images.tags, 'null')")

    @property
    def whole_record(self) -> str:
        """The same with all tags, which takes the database longer."""
        return record_sql(self.concat, f"COALESCE(images.tags, {self.indexed_tags}, '[]')")

    @property
    def records(self) -> str:
        """The records of all rows, with commas between them."""
        return self.joined.format(self.record)

    @property
    def has_words(self) -> str:
        """The condition that a row of `image_words` has the words of the image's prompt."""
        of_image = f"{self.words_id} = images.id"
        return of_image if self.is_of_prompt is None else f"{of_image} AND {self.is_of_prompt}"

    def sql(self, statement: str) -> str:
        """Return a statement as the driver takes it."""
        return _PARAMETER.sub(self.parameter, _FIELD.sub(lambda field: str(getattr(self, field[1])), statement))

    def equal(self, column: str, name: str) -> str:
        """Return the condition that a column has exactly the text of the parameter with this name."""
        return self.equal_texts.format(column=column, parameter=f":{name}")

    def shifted(self, time: str, name: str) -> str:
        """Return the time that is later by the microseconds, maybe negative, of the parameter with this name."""
        return self.shifted_time.format(time=time, microseconds=f":{name}")
