"""Presigned URLs of content on S3, beside those of the client that the store uses."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import obstore
import pytest

from pixyproxy.adapters.s3.client import S3Client
from pixyproxy.adapters.s3.content_links import S3ContentLinks
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import Audience, LinkTerms, ShownAs
from pixyproxy.domain.variant import VariantName

KEY, NAME = ContentKey("0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"), VariantName("0123456789abcdef-64x-contain-80.webp")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "se/cr+et"}
PUBLIC_URL = "s3://bucket/a/b?endpoint=http://10.0.0.5:8333&public_endpoint=https://files.example.org"


def terms(audience: Audience = Audience.WEB_SERVER, shown_as: ShownAs | None = None) -> LinkTerms:
    now = datetime.now(UTC).replace(microsecond=0)
    return LinkTerms(audience=audience, begins_at=now, seconds=60, shown_as=shown_as)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"},
        {"AWS_DEFAULT_REGION": "eu-west-2"},
        {"AWS_ENDPOINT_URL": "http://10.0.0.5:8333"},
        {"AWS_ENDPOINT": "http://10.0.0.5:8333/"},
        {"AWS_ENDPOINT_URL_S3": "http://10.0.0.5:1", "AWS_ENDPOINT_URL": "http://10.0.0.5:2"},
        {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true", "AWS_REGION": "eu-west-1"},
        {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true", "AWS_ENDPOINT_URL": "http://bucket.example.org:9000"},
        {"AWS_SESSION_TOKEN": "a token/+="},
        {"AWS_TOKEN": "a token"},
    ],
)
@pytest.mark.parametrize("options", [{}, {"endpoint": "http://10.0.0.9:8333"}, {"region": "eu-central-1"}])
async def test_the_web_server_gets_the_url_that_the_store_uses(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], options: Mapping[str, str]
) -> None:
    for name, value in {**CREDENTIALS, **environment}.items():
        monkeypatch.setenv(name, value)
    query = "&".join(f"{name}={value}" for name, value in options.items())
    url = parse_s3_url(f"s3://bucket/prefix?{query}".rstrip("?"))
    links = S3ContentLinks(url, {**CREDENTIALS, **environment})

    async def both() -> tuple[object, object]:
        own = await links.content_link(KEY, terms())
        store = S3Client(url)._quick
        return parts(own), parts(obstore.sign(store, "GET", f"prefix/images/{KEY}", timedelta(seconds=60)))

    own, other = await both()
    if own != other:
        # Another second may have begun in between.
        own, other = await both()
    assert own == other


def parts(url: str) -> tuple[str, Mapping[str, str]]:
    """Return a URL without its query, and the query, whose order does not matter."""
    place, _, query = url.partition("?")
    return place, dict(parse_qsl(query, strict_parsing=True))


async def test_clients_get_the_public_address_of_the_bucket() -> None:
    links = S3ContentLinks(parse_s3_url(PUBLIC_URL), CREDENTIALS)
    shown_as = ShownAs(content_type="image/png", content_disposition="inline", cache_control="private, no-cache")

    content = await links.content_link(KEY, terms(Audience.CLIENT, shown_as))
    variant = await links.variant_link(KEY, NAME, terms(Audience.CLIENT))

    assert content.startswith(f"https://files.example.org/bucket/a/b/images/{KEY}?X-Amz-Algorithm=")
    assert "&response-cache-control=private%2C%20no-cache&response-content-disposition=inline&" in content
    assert "response-expires" not in content
    assert variant.startswith(f"https://files.example.org/bucket/a/b/variants/{KEY}/{NAME}?X-Amz-Algorithm=")


async def test_nothing_is_signed_for_clients_without_a_public_address() -> None:
    links = S3ContentLinks(parse_s3_url("s3://bucket?endpoint=http://10.0.0.5:8333"), CREDENTIALS)
    with pytest.raises(ContentStoreError, match="public endpoint"):
        await links.content_link(KEY, terms(Audience.CLIENT))


@pytest.mark.parametrize("environment", [{}, {"AWS_ACCESS_KEY_ID": "AKIA"}, {"AWS_SECRET_ACCESS_KEY": "secret"}])
async def test_nothing_is_signed_without_credentials(environment: Mapping[str, str]) -> None:
    with pytest.raises(ContentStoreError, match="credentials"):
        await S3ContentLinks(parse_s3_url(PUBLIC_URL), environment).content_link(KEY, terms(Audience.CLIENT))
