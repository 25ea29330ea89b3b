"""Redaction of upstream messages for the log."""

import json
import re
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

# This many characters in a row that also occur in a secret count as a part of it. A Chinese or Japanese character says
# as much as several letters.
_RUN: Final = 12
_SHORT_RUN: Final = 6
_MARK: Final = "[…]"


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """Removes the API key and the prompt from a text, even where only a part is quoted."""

    api_key: str = ""
    prompt: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __call__(self, text: object, limit: int = 500) -> str:
        """Return a text as one line of up to `limit` characters without the secrets; None for other values."""
        if not isinstance(text, str):
            return ""
        line = _line(text[: 4 * limit])[:limit]
        prompt = _line(self.prompt)
        # The secrets as URLs and foreign JSON write them.
        written = (prompt, json.dumps(prompt)[1:-1], quote(prompt, safe=""), quote_plus(prompt))
        for secret in dict.fromkeys((self.api_key, *written)):
            line = _cut(line, secret) if secret else line
        return line.strip()


def _line(text: str) -> str:
    """Return the text with each run of white space and control characters as one space."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()


def _cut(line: str, secret: str) -> str:
    run = _RUN if secret.isascii() else _SHORT_RUN
    if len(secret) <= run:
        return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _MARK, line, flags=re.IGNORECASE)
    lower = secret.lower()
    kept: list[str] = []
    position = 0
    while position < len(line):
        end = position + run
        if end > len(line) or line[position:end].lower() not in lower:
            kept.append(line[position])
            position += 1
            continue
        while end < len(line) and line[position : end + 1].lower() in lower:
            end += 1
        kept.append(_MARK)
        position = end
    return "".join(kept)
