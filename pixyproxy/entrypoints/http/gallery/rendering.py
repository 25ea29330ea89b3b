"""Renders templates as pages."""

import gzip
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response

from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.http.content.representations import EncodedResponse, conditional_response, entity_tag_of
from pixyproxy.entrypoints.http.gallery.compression import accepts_gzip
from pixyproxy.entrypoints.http.gallery.security import security_headers
from pixyproxy.entrypoints.http.gallery.static import StaticFiles
from pixyproxy.entrypoints.http.paths import GALLERY_PATH
from pixyproxy.entrypoints.http.service_path import known_address, prefix_of
from pixyproxy.entrypoints.settings import Settings

_TEMPLATES: Final = Path(__file__).with_name("templates")
_MEDIA_TYPE: Final = "text/html; charset=utf-8"
# Never `no-store`: most browsers could not return to such a page without loading it again.
_CACHING: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Authorization, Cookie"}


class Renderer:
    """Renders templates as answers; texts are escaped, and an undefined name is an error."""

    def __init__(self, settings: Settings) -> None:
        self._static = StaticFiles.load()
        self._headers = {**_CACHING, **security_headers(settings)}
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        *,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> Response[Any]:
        """Answer with a page; a 200 is revalidated by its entity tag.

        Besides `context`, templates know `prefix`, the path prefix of the service, and `address`, its URL;
        `static(name)`, the address of a file; `user`, the principal's name or None; and `login_url`, the address of
        the login page, which leads back.
        """
        text = self._templates.get_template(template).render(**self._common(request), **context)
        body, kept = text.encode(), {**self._headers, **(headers or {})}
        tag = f"W/{entity_tag_of(body)}"
        if accepts_gzip(request):
            body = gzip.compress(body, compresslevel=6, mtime=0)
            kept["Content-Encoding"] = "gzip"
        if status == HTTPStatus.OK:
            return conditional_response(request, body, _MEDIA_TYPE, tag, kept)
        kept |= {"Content-Type": _MEDIA_TYPE, "Content-Length": str(len(body))}
        return EncodedResponse(
            body, [(name.lower().encode(), value.encode("latin-1")) for name, value in kept.items()], status
        )

    def _common(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        scope = request.scope
        prefix, user = prefix_of(scope), scope.get("user") or ANONYMOUS
        return {
            "prefix": prefix,
            "address": known_address(scope),
            "static": lambda name: f"{prefix}{self._static.path_of(name)}",
            "user": user.name,
            "login_url": f"{prefix}{login_path(request)}",
        }


def login_path(request: Request[Any, Any, Any]) -> str:
    """Return the path of the login page, which leads back here: from the front page to one's own images."""
    path, query = quote(request.scope["path"], safe="/"), request.scope["query_string"].decode("latin-1")
    here = f"{path}?{query}" if query else path
    login = f"{GALLERY_PATH}/login"
    return login if here == GALLERY_PATH else f"{login}?{urlencode({'next': here})}"
