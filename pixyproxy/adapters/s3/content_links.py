"""Presigned URLs of content on S3."""

from collections.abc import Mapping

from pixyproxy.adapters.s3.content_store import CONTENTS, VARIANTS
from pixyproxy.adapters.s3.presign import credentials_in, object_url, presign
from pixyproxy.adapters.s3.url import S3URL
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import Audience, ContentLinks, LinkTerms
from pixyproxy.domain.variant import VariantName


class S3ContentLinks(ContentLinks):
    """Signs URLs of what a `S3ContentStore` of the same URL stores.

    Endpoint, region and credentials that the URL lacks are those of `environment`, by the names that obstore reads. The
    credentials of an instance, a container or a web identity can't be used: obstore keeps them to itself.
    """

    def __init__(self, url: S3URL, environment: Mapping[str, str]) -> None:
        self._prefix = url.prefix
        self._region = url.region or _first(environment, "AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
        self._credentials = credentials_in(environment)
        self._endpoints = {Audience.WEB_SERVER: _internal_endpoint(url, self._region, environment)}
        if url.public_endpoint is not None:
            self._endpoints[Audience.CLIENT] = f"{url.public_endpoint}/{url.bucket}"

    async def content_link(self, key: ContentKey, terms: LinkTerms) -> str:
        return self._signed(f"{CONTENTS}/{key}", terms)

    async def variant_link(self, key: ContentKey, name: VariantName, terms: LinkTerms) -> str:
        return self._signed(f"{VARIANTS}/{key}/{name}", terms)

    def _signed(self, path: str, terms: LinkTerms) -> str:
        if self._credentials is None:
            raise ContentStoreError("There are no credentials that URLs could be signed with.")
        endpoint = self._endpoints.get(terms.audience)
        if endpoint is None:
            raise ContentStoreError("The content store has no public endpoint.")
        shown_as = terms.shown_as
        overrides = (
            {}
            if shown_as is None
            else {
                "content-type": shown_as.content_type,
                "content-disposition": shown_as.content_disposition,
                "cache-control": shown_as.cache_control,
                "expires": shown_as.expires,
            }
        )
        return presign(
            object_url(endpoint, f"{self._prefix}{path}"),
            region=self._region,
            credentials=self._credentials,
            begins_at=terms.begins_at,
            seconds=terms.seconds,
            overrides={name: value for name, value in overrides.items() if value is not None},
        )


def _internal_endpoint(url: S3URL, region: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the bucket that obstore uses."""
    endpoint = url.endpoint or _first(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    is_virtual = environment.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true"
    if endpoint is not None:
        return endpoint if is_virtual else f"{endpoint.rstrip('/')}/{url.bucket}"
    if is_virtual:
        return f"https://{url.bucket}.s3.{region}.amazonaws.com"
    return f"https://s3.{region}.amazonaws.com/{url.bucket}"


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := environment.get(name))), None)
