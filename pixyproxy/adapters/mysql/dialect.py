"""MySQL's and MariaDB's dialect for the statements of `pixyproxy.adapters.sql`."""

from typing import Final

from pixyproxy.adapters.sql.dialect import Dialect

MYSQL: Final = Dialect(
    parameter=r"%(\1)s",
    now="CURRENT_TIMESTAMP(6)",
    later="CURRENT_TIMESTAMP(6) + INTERVAL :seconds SECOND",
    shifted_time="{time} + INTERVAL {microseconds} MICROSECOND",
    microseconds_until="TIMESTAMPDIFF(MICROSECOND, CURRENT_TIMESTAMP(6), {time})",
    skip_taken="ON DUPLICATE KEY UPDATE name = name",
    skip_listed="ON DUPLICATE KEY UPDATE sha256 = sha256",
    add_one="ON DUPLICATE KEY UPDATE value = value + 1",
    # Equality ignores trailing spaces, even with utf8mb4_bin.
    equal_texts="{column} = {parameter} AND CHAR_LENGTH({column}) = CHAR_LENGTH({parameter})",
    # Without the hint, MariaDB reads everything before the cursor.
    scanned="{table} FORCE INDEX ({index})",
    join="STRAIGHT_JOIN",
    concat=lambda texts: f"CONCAT({', '.join(texts)})",
    joined="GROUP_CONCAT({} SEPARATOR ',')",
    indexed_tags=(
        "(SELECT CONCAT('[', GROUP_CONCAT(JSON_QUOTE(tag) ORDER BY position SEPARATOR ','), ']')"
        " FROM image_tags WHERE image_id = images.id)"
    ),
    # No author is the empty text: foreign keys with NULL are not enforced.
    tag_author="COALESCE(:author, '')",
    words_id="image_words.image_id",
    # The image may have been deleted, or another process may have stored the words.
    add_words="""
        INSERT INTO image_words (image_id, words, prompt_digest)
        SELECT id, :words, :prompt_digest FROM images WHERE id = :image_id
        ON DUPLICATE KEY UPDATE words = :words, prompt_digest = :prompt_digest
    """,
    is_of_prompt="image_words.prompt_digest = SHA2(images.prompt, 256)",
    match="MATCH (image_words.words) AGAINST (:match IN BOOLEAN MODE)",
    match_term="{}",
    match_all=lambda groups: " ".join(f"+({' '.join(words)})" if words[1:] else f"+{words[0]}" for words in groups),
)
