"""SQLite's dialect for the statements of `pixyproxy.adapters.sql`."""

from typing import Final

from pixyproxy.adapters.sql.dialect import Dialect

# SQLite calculates in milliseconds. Microseconds are whole numbers here: those since 1970.
_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_SINCE_1970: Final = (
    "(CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER) * 1000000 + CAST(substr({0}, 21) AS INTEGER))"
)
_SHIFTED: Final = f"({_SINCE_1970.format('{time}')} + {{microseconds}})"

SQLITE: Final = Dialect(
    parameter=r":\1",
    now=_NOW,
    later="strftime('%Y-%m-%d %H:%M:%f000', 'now', :seconds || ' seconds')",
    shifted_time=(
        f"(strftime('%Y-%m-%d %H:%M:%S', {_SHIFTED} / 1000000, 'unixepoch') || printf('.%06d', {_SHIFTED} % 1000000))"
    ),
    microseconds_until=f"({_SINCE_1970.format('{time}')} - {_SINCE_1970.format(_NOW)})",
    skip_taken="ON CONFLICT (name) DO NOTHING",
    skip_listed="ON CONFLICT (sha256) DO NOTHING",
    add_one="ON CONFLICT (name) DO UPDATE SET value = value + 1",
    equal_texts="{column} = {parameter}",
    scanned="{table} INDEXED BY {index}",
    join="CROSS JOIN",
    concat=lambda texts: f"({' || '.join(texts)})",
    joined="CASE WHEN SUM(LENGTH(images.prompt)) < 1000000 THEN group_concat({}, ',') END",
    # The inner query orders the tags: json_group_array has an ORDER BY of its own only since SQLite 3.44.
    indexed_tags=(
        "(SELECT json_group_array(tag) FROM (SELECT tag FROM image_tags WHERE image_id = images.id ORDER BY position))"
    ),
    tag_author=":author",
    words_id="image_words.rowid",
    # The image may have been deleted, or another process may have stored the words.
    add_words="INSERT OR REPLACE INTO image_words (rowid, words) SELECT id, :words FROM images WHERE id = :image_id",
    # A trigger deletes the words of another prompt.
    is_of_prompt=None,
    match="image_words MATCH :match",
    match_term='"{}"',
    match_all=lambda groups: " AND ".join(f"({' OR '.join(words)})" if words[1:] else words[0] for words in groups),
)
