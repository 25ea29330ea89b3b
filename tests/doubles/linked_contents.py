"""A content store with presigned URLs, in memory."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.ports import Audience, ContentLinks, LinkTerms, StoredContent
from pixyproxy.domain.variant import VariantName

ADDRESSES: Mapping[Audience, str] = {
    Audience.CLIENT: "https://files.example.org/bucket",
    Audience.WEB_SERVER: "http://store.internal:8333/bucket",
}


class LinkedContents(InMemoryContentStore, ContentLinks):
    """Keeps content in memory, under URLs that `fetch` follows in place of a server.

    `opened` has the range of each content that was opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[int, int | None]] = []

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        self.opened.append((start, end))
        return await super().open(key, start=start, end=end)

    async def content_link(self, key: ContentKey, terms: LinkTerms) -> str:
        return _url(f"images/{key}", terms)

    async def variant_link(self, key: ContentKey, name: VariantName, terms: LinkTerms) -> str:
        return _url(f"variants/{key}/{name}", terms)

    async def fetch(self, url: str, now: datetime) -> tuple[int, Mapping[str, str], bytes]:
        """Return the status, the headers and the body of the answer to a GET."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        begins_at = datetime.fromisoformat(query.pop("begins_at"))
        if not begins_at <= now < begins_at + timedelta(seconds=int(query.pop("seconds"))):
            return 403, {}, b""
        _, _, kind, key, *names = urlsplit(url).path.split("/")
        try:
            if kind == "images":
                content = await super().open(ContentKey(key))
            else:
                content = await self.open_variant(ContentKey(key), VariantName(names[0]))
        except ContentNotFoundError:
            return 404, {}, b""
        shown_as = {name.replace("_", "-"): value for name, value in query.items()}
        return 200, shown_as, b"".join([chunk async for chunk in content.chunks])


def _url(path: str, terms: LinkTerms) -> str:
    shown_as = {} if terms.shown_as is None else msgspec.structs.asdict(terms.shown_as)
    query = {
        "begins_at": terms.begins_at.isoformat(),
        "seconds": terms.seconds,
        **{name: value for name, value in shown_as.items() if value is not None},
    }
    return f"{ADDRESSES[terms.audience]}/{path}?{urlencode(query)}"
