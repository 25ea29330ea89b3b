"""Attacks with slow searches, and the wait of lists without words."""

import asyncio
import http.client
import sqlite3
import string
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from embedded_library import prepare
from hostile_kit import Target, attack
from library_images import CHUNK, make_chunk

from pixyproxy.adapters.sql.rows import image_to_row

_CHUNKS: Final = 20
_SEARCHERS: Final = 50
# Each word is the beginning of many others, so that every image has to be looked at.
_SEARCH: Final = f"/image?q={'+'.join(f'{letter}*' for letter in string.ascii_lowercase)}"
_LIST: Final = "/image?limit=10"
_INDEXING_SECONDS: Final = 120.0


def _library(folder: Path) -> None:
    """Write images without contents or words; the service makes the words by itself."""
    data = folder / "data"
    data.mkdir()
    asyncio.run(prepare(data))
    rows = (image_to_row(image) for number in range(_CHUNKS) for image in make_chunk(number, _CHUNKS))
    first = next(rows)
    names, places = ", ".join(first), ", ".join(f":{name}" for name in first)
    connection = sqlite3.connect(data / "pixyproxy.db")
    with connection:
        connection.execute(f"INSERT INTO images ({names}) VALUES ({places})", first)  # noqa: S608 -- our own names
        connection.executemany(f"INSERT INTO images ({names}) VALUES ({places})", rows)  # noqa: S608
    connection.close()


@attack(f"{_SEARCHERS} clients that search {_CHUNKS * CHUNK:,} images for `a* b* … z*` and count", prepare=_library)
def searches(target: Target) -> str:
    """Repeat the slowest searches, and measure a list without words meanwhile."""
    _wait_for_words(target)
    statuses: Counter[int] = Counter()
    ends_at = time.monotonic() + min(10.0, target.seconds)

    def search() -> None:
        while time.monotonic() < ends_at:
            statuses[_get(target, _SEARCH, {"Prefer": "count=exact"})[0]] += 1

    alone = max(_get(target, _LIST)[1] for _ in range(50))
    threads = [threading.Thread(target=search) for _ in range(_SEARCHERS)]
    for thread in threads:
        thread.start()
    lists = []
    while time.monotonic() < ends_at:
        lists.append(_get(target, _LIST))
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    refused = sum(status != 200 for status, _ in lists)  # noqa: PLR2004
    slowest = max(seconds for _, seconds in lists)
    return (
        f"searches {dict(statuses)}; lists without words: {refused} of {len(lists)} refused,"
        f" slowest {alone * 1000:.0f} → {slowest * 1000:.0f} ms"
    )


def _wait_for_words(target: Target) -> None:
    ends_at = time.monotonic() + _INDEXING_SECONDS
    while "prompts indexed" not in target.log():
        if time.monotonic() > ends_at:
            raise SystemExit(f"the words were not indexed in {_INDEXING_SECONDS:.0f} s")
        time.sleep(0.5)


def _get(target: Target, path: str, headers: dict[str, str] | None = None) -> tuple[int, float]:
    """Return the status and the seconds until the answer was whole."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    return answer.status, time.perf_counter() - began
