"""The contract of `ContentLinks`, whose URLs a client follows."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import msgspec
import pytest

from pixyproxy.adapters.s3.content_links import S3ContentLinks
from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports import Audience, ContentLinks, ContentPorts, LinkTerms, ShownAs
from tests.contents import KEY, NAME, OTHER_KEY, OTHER_NAME, in_chunks, put
from tests.doubles.linked_contents import LinkedContents
from tests.doubles.seaweedfs import SeaweedFS

DATA, VARIANT = b"content" * 100, b"variant" * 50

Answer = tuple[int, Mapping[str, str], bytes]


class Shelf(msgspec.Struct, frozen=True):
    """A store, what signs URLs of it, and what answers them."""

    store: ContentPorts
    links: ContentLinks
    fetch: Callable[[str], Awaitable[Answer]]


class Present:
    """The time that a test takes for now."""

    time = datetime.min.replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not when the file is read: that may be long before.
    monkeypatch.setattr(Present, "time", datetime.now(UTC).replace(microsecond=0))


async def filled(shelf: Shelf) -> Shelf:
    """Return the shelf with a content and a variant of it."""
    await put(shelf.store, DATA)
    await shelf.store.put_variant(KEY, NAME, in_chunks(VARIANT))
    return shelf


@pytest.fixture
async def memory_shelf() -> Shelf:
    store = LinkedContents()
    return await filled(Shelf(store, store, lambda url: store.fetch(url, Present.time)))


@pytest.fixture
async def s3_shelf(seaweedfs: SeaweedFS) -> AsyncIterator[Shelf]:
    url = parse_s3_url(seaweedfs.url(public_endpoint=f"http://localhost:{seaweedfs.port}"))
    store = S3ContentStore(url)
    await store.prepare()

    async def fetch(url: str) -> Answer:
        async with httpx.AsyncClient() as client:
            response = await client.get(url)
        return response.status_code, response.headers, response.content

    yield await filled(Shelf(store, S3ContentLinks(url, os.environ), fetch))
    await store.close()


@pytest.fixture(params=["memory", "s3"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    """A store of each kind with a content and a variant of it."""
    shelf: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    return shelf


def terms(
    *, audience: Audience = Audience.CLIENT, age: int = 0, seconds: int = 60, shown_as: ShownAs | None = None
) -> LinkTerms:
    return LinkTerms(
        audience=audience, begins_at=Present.time - timedelta(seconds=age), seconds=seconds, shown_as=shown_as
    )


@pytest.mark.parametrize("audience", Audience)
async def test_a_url_opens_the_content_or_variant_that_it_is_of(shelf: Shelf, audience: Audience) -> None:
    content = await shelf.links.content_link(KEY, terms(audience=audience))
    variant = await shelf.links.variant_link(KEY, NAME, terms(audience=audience))

    assert (await shelf.fetch(content))[::2] == (200, DATA)
    assert (await shelf.fetch(variant))[::2] == (200, VARIANT)


async def test_each_audience_has_its_own_address(shelf: Shelf) -> None:
    urls = [await shelf.links.content_link(KEY, terms(audience=audience)) for audience in Audience]
    assert len({httpx.URL(url).host for url in urls}) == len(urls)


async def test_the_response_has_the_headers_of_the_terms(shelf: Shelf) -> None:
    shown_as = ShownAs(
        content_type="image/webp",
        content_disposition="attachment; filename=\"a red fox.webp\"; filename*=UTF-8''%C3%A4%22+%2F.webp",
        cache_control="public, must-revalidate",
        expires=format_datetime(Present.time + timedelta(minutes=1), usegmt=True),
    )

    _, headers, data = await shelf.fetch(await shelf.links.content_link(KEY, terms(shown_as=shown_as)))

    shown = {name.replace("_", "-"): value for name, value in msgspec.structs.asdict(shown_as).items()}
    assert {name: headers[name] for name in shown} == shown
    assert data == DATA


async def test_a_url_says_nothing_of_an_expiry_that_the_terms_do_not_have(shelf: Shelf) -> None:
    shown_as = ShownAs(content_type="image/png", content_disposition="inline", cache_control="private, no-cache")
    _, headers, _ = await shelf.fetch(await shelf.links.variant_link(KEY, NAME, terms(shown_as=shown_as)))
    assert headers["cache-control"] == "private, no-cache"
    assert "expires" not in headers


async def test_a_url_opens_nothing_after_its_time(shelf: Shelf) -> None:
    late = await shelf.links.content_link(KEY, terms(age=61))
    just = await shelf.links.content_link(KEY, terms(age=30))
    assert (await shelf.fetch(late))[0] == 403
    assert (await shelf.fetch(just))[0] == 200


async def test_equal_terms_have_equal_urls_and_others_have_others(shelf: Shelf) -> None:
    async def links_with(terms_: LinkTerms) -> list[str]:
        return [
            await shelf.links.content_link(KEY, terms_),
            await shelf.links.content_link(OTHER_KEY, terms_),
            await shelf.links.variant_link(KEY, NAME, terms_),
            await shelf.links.variant_link(KEY, OTHER_NAME, terms_),
        ]

    first, again, later = [await links_with(each) for each in (terms(), terms(), terms(age=1))]
    assert first == again
    assert len({*first, *later}) == 8


async def test_a_url_of_what_is_missing_answers_404(shelf: Shelf) -> None:
    for url in (
        await shelf.links.content_link(OTHER_KEY, terms()),
        await shelf.links.variant_link(KEY, OTHER_NAME, terms()),
        await shelf.links.variant_link(ContentKey("gone"), NAME, terms()),
    ):
        assert (await shelf.fetch(url))[0] == 404


async def test_a_url_that_was_tampered_with_opens_nothing(s3_shelf: Shelf) -> None:
    shown_as = ShownAs(content_type="image/png", content_disposition="inline", cache_control="private, no-cache")
    url = await s3_shelf.links.content_link(KEY, terms(shown_as=shown_as))
    assert (await s3_shelf.fetch(url))[0] == 200
    for true, false in (
        ("image%2Fpng", "text%2Fhtml"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        (str(KEY), str(OTHER_KEY)),
        ("response-content-disposition=inline&", ""),
    ):
        assert true in url
        assert (await s3_shelf.fetch(url.replace(true, false)))[0] == 403
