"""The content security policy of the gallery's pages."""

from collections.abc import Mapping
from typing import Final

from pixyproxy.entrypoints.settings import ContentKind, DeliveryKind, Settings

_HEADERS: Final[Mapping[str, str]] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


def security_headers(settings: Settings) -> Mapping[str, str]:
    """Return the headers with which a page loads nothing but the service's own files and pictures.

    Where pictures are redirected to S3, that origin is allowed for pictures, too. With Trusted Types, HTML gets into
    the document through the one policy of `gallery.js` alone.
    """
    pictures = ["'self'", "blob:", *_content_origins(settings)]
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": " ".join(pictures),
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "pixy",
    }
    return {**_HEADERS, "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items())}


def _content_origins(settings: Settings) -> list[str]:
    if settings.content_kind is not ContentKind.S3 or settings.delivery_kind is not DeliveryKind.REDIRECT:
        return []
    endpoint = settings.content_bucket.public_endpoint
    return [] if endpoint is None else [endpoint]
