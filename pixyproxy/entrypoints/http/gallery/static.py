"""The style sheets, modules and pictures of the gallery."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from pixyproxy.entrypoints.http.content.representations import REVALIDATED, conditional_response, entity_tag_of
from pixyproxy.entrypoints.http.gallery.compression import accepts_gzip

_FOLDER: Final = Path(__file__).with_name("static")
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Comments with lines of their own, which are for people who read the file; no file has a text of several lines.
_COMMENTS_AND_INDENTS: Final = re.compile(rb"^[ \t]*(?:/\*\*.*?\*/\n|//[^\n]*\n)?", re.DOTALL | re.MULTILINE)
# No text in a style sheet has these characters; before a colon, a space is a combinator.
_SPACE_BETWEEN: Final = re.compile(rb"\s*([{};])\s*|(?<=[:,])\s+")
STYLE_SHEET: Final = "style.css"
_STYLES: Final = ("gallery.css", "image.css", "create.css")
_FOR_A_YEAR: Final = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    """A file in both encodings."""

    media_type: str
    body: bytes
    compressed: bytes


class StaticFiles:
    """The files of the folder `static`; their addresses contain a digest of them all, so that browsers keep them."""

    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        self._files = files
        named = b"".join(name.encode() + b"\0" + files[name].body for name in sorted(files))
        self.digest = hashlib.sha256(named).hexdigest()[:12]

    @classmethod
    @cache
    def load(cls) -> Self:
        """Read the files, once in a process; the style sheets are one file, which takes fewer bytes and requests."""
        files = {path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}
        styles = b"".join(files.pop(name).body for name in _STYLES)
        return cls({**files, STYLE_SHEET: _file(".css", styles)})

    def path_of(self, name: str) -> str:
        """Return the path of a file below the service's prefix; raise `KeyError` for an unknown one."""
        if name not in self._files:
            raise KeyError(name)
        return f"/gallery/static/{self.digest}/{name}"

    def answer(self, request: Request[Any, Any, Any], digest: str, name: str) -> Response[Any]:
        """Answer with a file, for an address of another release with this one's, which browsers do not keep.

        Raises `NotFoundException` for an unknown name.
        """
        file = self._files.get(name)
        if file is None:
            raise NotFoundException
        headers = {
            "Cache-Control": _FOR_A_YEAR if digest == self.digest else REVALIDATED,
            "Vary": "Accept-Encoding",
        }
        if accepts_gzip(request):
            tag = entity_tag_of(file.body, prefix="gzip-")
            return conditional_response(
                request, file.compressed, file.media_type, tag, {**headers, "Content-Encoding": "gzip"}
            )
        return conditional_response(request, file.body, file.media_type, entity_tag_of(file.body), headers)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    if path.suffix != ".svg":
        body = _COMMENTS_AND_INDENTS.sub(b"", body)
    if path.suffix == ".css":
        body = _SPACE_BETWEEN.sub(rb"\1", body)
    return _file(path.suffix, body)


def _file(suffix: str, body: bytes) -> StaticFile:
    return StaticFile(_MEDIA_TYPES[suffix], body, gzip.compress(body, mtime=0))


def static_route() -> HTTPRouteHandler:
    """Return the route of the static files."""
    files = StaticFiles.load()

    @get("/static/{digest:str}/{name:str}")
    async def get_static_file(
        request: Request[Any, Any, Any], digest: FromPath[str], name: FromPath[str]
    ) -> Response[Any]:
        """Return a style sheet, a module or a picture."""
        return files.answer(request, digest, name)

    return get_static_file
