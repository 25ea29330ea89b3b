"""The URL of a content store on S3; importing this module imports no client."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import msgspec

SCHEME: Final = "s3"

_OPTIONS: Final = ("endpoint", "region", "public_endpoint")
_BUCKET: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{1,253}[0-9A-Za-z]")
_SEGMENT: Final = re.compile(r"[0-9A-Za-z._-]+")
_REGION: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


class S3URL(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket, the prefix of all keys in it (empty, or with a slash at its end), and where the bucket is.

    Without `endpoint` it is at AWS, or where the environment says; `public_endpoint` is where browsers find it.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    public_endpoint: str | None = None

    @property
    def place(self) -> str:
        """Bucket and prefix, for people."""
        return f"{self.bucket}/{self.prefix}"


def parse_s3_url(url: str) -> S3URL:
    """Return the parts of `s3://bucket/prefix?endpoint=…&region=…&public_endpoint=…`, of which only the bucket must be.

    Raises `ValueError` that names the fault, and never a secret.
    """
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("The S3 URL can't be read: it must be s3://bucket/prefix?endpoint=https://host.") from None
    if parts.scheme != SCHEME:
        raise ValueError("An S3 URL must begin with s3://.")
    if "@" in parts.netloc:
        # The rest of the sentence would quote a secret.
        raise ValueError(
            "The S3 URL must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError("The S3 URL must name a bucket, such as s3://pixyproxy.")
    if parts.fragment:
        raise ValueError("The S3 URL has a fragment, which means nothing here: leave out the #.")
    if set(query) - set(_OPTIONS):
        # An unknown option may be a secret.
        raise ValueError(f"The S3 URL has an option that is not known; there are {', '.join(_OPTIONS)}.")
    if any(len(values) > 1 for values in query.values()):
        raise ValueError("The S3 URL has an option twice.")
    region = query["region"][0] if "region" in query else None
    if region is not None and not _REGION.fullmatch(region):
        raise ValueError("The S3 URL's region must be letters, digits and hyphens, such as eu-central-1.")
    return S3URL(
        bucket=parts.netloc,
        prefix=_prefix(parts.path),
        endpoint=_endpoint(query, "endpoint"),
        region=region,
        public_endpoint=_endpoint(query, "public_endpoint"),
    )


def _prefix(path: str) -> str:
    segments = path.strip("/").split("/") if path.strip("/") else []
    if not all(_SEGMENT.fullmatch(segment) and set(segment) != {"."} for segment in segments):
        raise ValueError("The S3 URL's prefix must be letters, digits, dots, hyphens and underscores between slashes.")
    return "".join(f"{segment}/" for segment in segments)


def _endpoint(query: dict[str, list[str]], name: str) -> str | None:
    if name not in query:
        return None
    try:
        parts = urlsplit(query[name][0])
        is_origin = bool(parts.hostname) and parts.port != 0 and not _is_more_than_an_origin(parts)
    except ValueError:
        is_origin = False
    if not is_origin:
        raise ValueError(
            f"The S3 URL's {name} must be scheme, host and port alone, such as https://s3.example.org:9000."
        )
    return query[name][0].rstrip("/")


def _is_more_than_an_origin(parts: SplitResult) -> bool:
    return (
        parts.scheme not in {"http", "https"}
        or "@" in parts.netloc
        or parts.path not in {"", "/"}
        or bool(parts.query or parts.fragment)
    )
