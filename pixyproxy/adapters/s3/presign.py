"""Presigned URLs (AWS Signature Version 4, query parameters)."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
# Besides letters and digits (RFC 3986, section 2.3).
_UNRESERVED: Final = "-._~"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What S3 requests are signed with; temporary credentials have a session token."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        # Keep secrets out of logs and tracebacks.
        return f"{type(self).__name__}(…)"


def credentials_in(environment: Mapping[str, str]) -> Credentials | None:
    """Return the credentials that an environment has, by the names that obstore reads, if any."""
    key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        return None
    token = environment.get("AWS_SESSION_TOKEN") or environment.get("AWS_TOKEN") or None
    return Credentials(access_key_id=key_id, secret_access_key=secret, session_token=token)


def object_url(endpoint: str, key: str) -> str:
    """Return the URL of an object below `endpoint`, which includes the bucket unless its host name does."""
    return f"{endpoint.rstrip('/')}/{quote(key, safe=f'/{_UNRESERVED}')}"


def presign(
    url: str,
    *,
    region: str,
    credentials: Credentials,
    begins_at: datetime,
    seconds: int,
    overrides: Mapping[str, str] = _NOTHING,
) -> str:
    """Return a URL that opens the object at `url` to a GET for `seconds` from `begins_at` on.

    `url` is one of `object_url`. `overrides` are headers of the response, such as `content-type`, in place of those
    that are stored with the object. Equal arguments give equal URLs.
    """
    parts = urlsplit(url)
    # Clients leave out a default port, and S3 checks what they send.
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
    time = begins_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    parameters = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": time,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **{f"response-{name}": value for name, value in overrides.items()},
    }
    if credentials.session_token is not None:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{_encoded(name)}={_encoded(parameters[name])}" for name in sorted(parameters))
    request = f"GET\n{parts.path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"{parts.scheme}://{host}{parts.path}?{query}&X-Amz-Signature={key.hex()}"


def _encoded(text: str) -> str:
    return quote(text, safe=_UNRESERVED)
