"""The OpenAPI document, and the page that shows it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from litestar import HttpMethod, Litestar, Request, Response, Router, get
from litestar.enums import OpenAPIMediaType
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIHeader,
    OpenAPIType,
    Parameter,
    Schema,
    SecurityScheme,
)
from litestar.params import FromPath
from litestar.serialization import encode_json

import pixyproxy
from pixyproxy.application.bulk import BULK_MAX
from pixyproxy.domain.api_key import DEFAULT_SCOPES, KEY_NAME_MAX_LENGTH
from pixyproxy.domain.batch import BATCH_MAX_SIZE
from pixyproxy.domain.content import FILENAME_PATTERN, MediaType
from pixyproxy.domain.generation_request import (
    MODEL_MAX_LENGTH,
    OPTION_MAX_LENGTH,
    OUTPUT_FORMATS,
    PARTIAL_IMAGES_MAX_COUNT,
    PROMPT_MAX_LENGTH,
)
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.listing import ImageOrder
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT
from pixyproxy.domain.tag import TAG_MAX_LENGTH, TAGS_MAX_COUNT
from pixyproxy.domain.variant import VariantFormat
from pixyproxy.entrypoints.http.auth.security import OPTIONAL_LOGIN, PASSWORD, SESSION
from pixyproxy.entrypoints.http.content.representations import REVALIDATED, conditional_response, entity_tag_of
from pixyproxy.entrypoints.http.images.parameters import TAG_PATTERN
from pixyproxy.entrypoints.http.images.responses import ANY_IMAGE
from pixyproxy.entrypoints.http.openapi.forms import add_form
from pixyproxy.entrypoints.http.problems.challenges import BASIC_CHALLENGE, SESSION_CHALLENGE, WRONG_KEY_CHALLENGE
from pixyproxy.entrypoints.http.problems.headers import REPLAYED
from pixyproxy.entrypoints.http.service_path import prefix_of
from pixyproxy.entrypoints.http.session_cookie import COOKIE, SECURE_COOKIE
from pixyproxy.entrypoints.settings import Settings

PATH: Final = "/schema"
UI_PATH: Final = "/schema/ui"
_UI_FOLDER: Final = Path(__file__).with_name("swagger_ui")
_UI_FILES: Final = {
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui-standalone-preset.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}

# Swagger UI shows pictures as blobs and has icons as data; all else comes from this service.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>PixyProxy</title>
<link rel="icon" type="image/png" href="%(folder)s/favicon-32x32.png">
<link rel="stylesheet" href="%(folder)s/swagger-ui.css">
</head>
<body>
<div id="swagger-container"></div>
<script src="%(folder)s/swagger-ui-bundle.js"></script>
<script src="%(folder)s/swagger-ui-standalone-preset.js"></script>
<script src="%(folder)s/start.js"></script>
</body>
</html>
"""

# The domain's rules, as regular expressions that mean the same in Python and in ECMAScript.
_PROMPT_PATTERN: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"
_SIZE_PATTERN: Final = r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$"
_HEADER_PATTERN: Final = r"^[!-~]([ -~]*[!-~])?$"

_CREATIONS: Final[Mapping[str, Visibility]] = {
    "CreatePublicImage": Visibility.PUBLIC,
    "CreatePublicBatch": Visibility.PUBLIC,
    "CreatePrivateImage": Visibility.PRIVATE,
    "CreatePrivateBatch": Visibility.PRIVATE,
}
_CONTENT_MEDIA_TYPES: Final = (*MediaType, VariantFormat.AVIF.media_type)
_CONDITIONS: Final[Mapping[str, str]] = {
    "Range": "`bytes=0-99`, `bytes=100-`, `bytes=-100`: only this part.",
    "If-Range": "The part only if the rest that you have is of this `ETag`, or of this `Last-Modified`; else all.",
    "If-None-Match": "The `ETag` of your copy: no body is sent if it is still current.",
    "If-Modified-Since": "The `Last-Modified` of your copy, if you have no `ETag`.",
    "If-Match": "The `ETag` that the picture must have, else nothing is sent.",
    "If-Unmodified-Since": "The `Last-Modified` that the picture must have, if you have no `ETag`.",
}
_CONTENT_HEADER_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "Accept-Ranges": "`bytes`.",
    "Cache-Control": "Who may keep it, and for how many seconds without asking again.",
    "Content-Disposition": "Whether to show or to save it, and under which name.",
    "Content-Range": "Which bytes of how many these are.",
    "ETag": "The SHA-256 of the bytes.",
    "Location": "A presigned URL of the content store.",
    "Last-Modified": "When the image was asked for, and absent for a variant, which may be made anew.",
    "Repr-Digest": "The SHA-256 of all of the bytes, also where a part is sent (RFC 9530).",
    "Vary": "The request headers on which the answer depends.",
}
_KEPT_HEADERS: Final = ("Cache-Control", "ETag", "Last-Modified", "Vary")
_SENT_HEADERS: Final = (*_KEPT_HEADERS, "Accept-Ranges", "Content-Disposition", "Repr-Digest")
_CONTENT_HEADERS: Final[Mapping[str, Sequence[str]]] = {
    "200": _SENT_HEADERS,
    "206": (*_SENT_HEADERS, "Content-Range"),
    "304": _KEPT_HEADERS,
    "307": ("Cache-Control", "Location", "Vary"),
    "416": ("Content-Range",),
}

_DESCRIPTION = """\
PixyProxy generates images through the OpenAI images API and keeps them: the bytes, the prompt, the author, the tags, \
the time.

Public images are readable by anyone. Writing needs a login with HTTP Basic, or an API key with the scope for it: \
`read`, `create` or `manage`. Everything below `/private` is about your own images.

Where there is GET there is HEAD, with the same headers and no body. Details, lists and pictures have an `ETag`: send \
it as `If-None-Match`, and the answer is a 304 without a body as long as nothing has changed.

Every error is a problem (RFC 9457) with the media type `application/problem+json`; below `/v1` it has OpenAI's \
shape. Every response carries an \
`X-Request-ID`: yours, if you sent one of 1 to 64 letters, digits, `_` and `-`, else a new one. A trailing slash \
changes nothing."""

_CHALLENGES: Final = (
    f"`{BASIC_CHALLENGE}`, with an API key `{WRONG_KEY_CHALLENGE}`, or to pages of the gallery `{SESSION_CHALLENGE}`."
)

# Statuses of requests that are refused before the idempotency key is read.
_BEFORE_CREATION: Final = {"400", "401", "403", "404", "408", "413", "415"}


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """Serve the document at /schema/openapi.json and the page at /schema, with nothing fetched from elsewhere."""
    pages = _Pages(settings)
    return OpenAPIConfig(
        openapi_router=Router(PATH, route_handlers=[], include_in_schema=False, before_request=pages.answer),
        title="PixyProxy",
        version=pixyproxy.__version__,
        description=_DESCRIPTION,
        path=PATH,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "basic": SecurityScheme(type="http", scheme="basic", description="A user name and its password."),
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="pixy_…",
                    description="An API key, which acts as its user.",
                ),
                **({SESSION: _session_scheme(settings)} if settings.has_gallery else {}),
            }
        ),
        # Litestar's own page has an inline script, and no validators.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
    )


def _session_scheme(settings: Settings) -> SecurityScheme:
    public_url = settings.public_address
    is_secure = public_url is not None and public_url.origin.startswith("https:")
    return SecurityScheme(
        type="apiKey",
        name=SECURE_COOKIE if is_secure else COOKIE,
        security_scheme_in="cookie",
        description="A session of a browser that has logged in to the gallery.",
    )


def _complete(document: OpenAPI, settings: Settings) -> None:
    """Add to the document what Litestar can't derive from the handlers.

    These are the rules of the domain, the refusal of unknown fields, and the headers and media types of responses.
    """
    schemas: Any = document.components.schemas
    # The parameter `sort` refers to it.
    schemas["ImageOrder"] = Schema(type=OpenAPIType.STRING, title="ImageOrder", enum=list(ImageOrder))
    _complete_bodies(schemas)
    _complete_security(document, settings)
    for operation in _operations(document):
        for status, response in operation.responses.items():
            response.headers = {**(response.headers or {}), **_headers(status)}
            if "202" in operation.responses:
                response.headers |= _creation_headers(status)
            if response.content and (content := response.content.pop(ANY_IMAGE, None)):
                response.content |= dict.fromkeys(_CONTENT_MEDIA_TYPES, content)
        _complete_conditions(operation)
        if (body := _body_of(operation)) in _CREATIONS:
            add_form(operation, schemas[body])
    for item in (document.paths or {}).values():
        if item.head:
            _complete_head(item.head)


@get(f"{UI_PATH}/{{name:str}}", include_in_schema=False)
async def swagger_ui_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """Return one of the page's files."""
    if name not in _UI_FILES:
        raise NotFoundException
    content = await asyncio.to_thread(_UI_FOLDER.joinpath(name).read_bytes)
    headers = {"Cache-Control": "public, max-age=3600"}
    return conditional_response(request, content, _UI_FILES[name], entity_tag_of(content), headers)


class _Pages:
    """The page and the document, which is made when it is first requested."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = asyncio.Lock()
        self._document: dict[str, object] | None = None

    async def answer(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        """Answer with the page or the document; pass unknown pages to the error handler."""
        if request.method == HttpMethod.OPTIONS:
            return None
        headers = {"Cache-Control": REVALIDATED}
        prefix = prefix_of(request.scope)
        match request.scope["path"].rstrip("/"):
            case "/schema":
                headers["Content-Security-Policy"] = _PAGE_POLICY
                page = (_PAGE % {"folder": escape(f"{prefix}{UI_PATH}")}).encode()
                return conditional_response(request, page, "text/html; charset=utf-8", entity_tag_of(page), headers)
            case "/schema/openapi.json":
                async with self._making:
                    if self._document is None:
                        # It takes a tenth of a second.
                        self._document = await asyncio.to_thread(self._make, request.app)
                # Relative to the document's own address, so that the page works under each name of the service.
                body = encode_json({**self._document, "servers": [{"url": prefix or "/"}]})
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                return conditional_response(request, body, OpenAPIMediaType.OPENAPI_JSON, entity_tag_of(body), headers)
            case _:
                raise NotFoundException

    def _make(self, app: Litestar) -> dict[str, object]:
        document = app.openapi_schema
        _complete(document, self._settings)
        return document.to_schema()


def _complete_bodies(schemas: Any) -> None:
    for name, visibility in _CREATIONS.items():
        properties = _only(schemas[name])
        schemas[name].properties = {"prompt": properties["prompt"], **properties}
        _add(properties["prompt"], min_length=1, max_length=PROMPT_MAX_LENGTH, pattern=_PROMPT_PATTERN)
        _add_options(properties)
        _add_tags(properties["tags"], default=[])
        _add(properties["visibility"], default=visibility)
        if name.endswith("Batch"):
            _add(properties["n"], minimum=1, maximum=BATCH_MAX_SIZE, default=1)
        else:
            _add(properties["n"], one_of=[Schema(type=OpenAPIType.INTEGER, const=1), Schema(type=OpenAPIType.NULL)])
    options = schemas["RequestOptions"]
    options.required = list(options.properties)
    changes = _only(schemas["ChangeImageBody"])
    _add_tags(_given(changes["tags"]))
    _add(_given(changes["filename"]), pattern=FILENAME_PATTERN)
    tagging = _only(schemas["TagImagesBody"])
    _add_tags(tagging["add"], default=[])
    _add_tags(tagging["remove"], default=[])
    _only(schemas["CreateLinkBody"])
    key = _only(schemas["CreateKeyBody"])
    _add(key["name"], min_length=1, max_length=KEY_NAME_MAX_LENGTH, pattern=TAG_PATTERN)
    _add(key["scopes"], min_items=1, default=list(DEFAULT_SCOPES))
    _add_tags(key["tags"], default=[])
    for body in ("TagImagesBody", "SetVisibilityBody", "DownloadImagesBody", "DeleteImagesBody"):
        _add(_only(schemas[body])["guids"], min_items=1, max_items=BULK_MAX, unique_items=True)


def _add_options(properties: Any) -> None:
    """Document the rules of a request's options that hold for all generators."""
    _add(_given(properties["model"]), min_length=1, max_length=MODEL_MAX_LENGTH, pattern=TAG_PATTERN)
    for name in ("quality", "background", "moderation", "input_fidelity"):
        _add(_given(properties[name]), min_length=1, max_length=OPTION_MAX_LENGTH, pattern=TAG_PATTERN)
    _add(_given(properties["size"]), pattern=_SIZE_PATTERN)
    _add(_given(properties["output_format"]), enum=list(OUTPUT_FORMATS))
    _add(_given(properties["output_compression"]), minimum=0, maximum=100)
    _add(_given(properties["partial_images"]), minimum=0, maximum=PARTIAL_IMAGES_MAX_COUNT)
    _add(_given(properties["references"]), max_items=REFERENCES_MAX_COUNT)


def _given(schema: Any) -> Any:
    """Return the schema of a value that is not null."""
    return next(kind for kind in schema.one_of if kind.type is not OpenAPIType.NULL)


def _body_of(operation: Any) -> str:
    """Return the name of the schema of an operation's JSON body, or nothing."""
    json = operation.request_body and operation.request_body.content.get("application/json")
    (reference,) = json.schema.all_of if json and getattr(json.schema, "all_of", None) else [None]
    return reference.ref.rpartition("/")[2] if reference else ""


def _complete_security(document: OpenAPI, settings: Settings) -> None:
    if settings.anonymous_create:
        paths: Any = document.paths
        for path in ("/image", "/image/batch"):
            paths[path].post.security = [*OPTIONAL_LOGIN]
    if settings.has_gallery:
        for operation in _operations(document):
            if PASSWORD[0] in (operation.security or ()):
                operation.security = [*operation.security, {SESSION: []}]


def _complete_conditions(operation: Any) -> None:
    if "206" in operation.responses:
        _complete_content(operation)
    elif "304" in operation.responses:
        _complete_condition(operation)


def _complete_content(operation: Any) -> None:
    for name, description in _CONDITIONS.items():
        schema = Schema(type=OpenAPIType.STRING, pattern=_HEADER_PATTERN)
        operation.parameters.append(Parameter(name=name, param_in="header", schema=schema, description=description))
    for status in operation.responses.keys() & _CONTENT_HEADERS:
        operation.responses[status].headers |= {
            name: OpenAPIHeader(
                schema=Schema(type=OpenAPIType.STRING),
                description=_CONTENT_HEADER_DESCRIPTIONS[name],
                required=name not in {"Last-Modified", "Vary"},
            )
            for name in _CONTENT_HEADERS[status]
        }


def _complete_condition(operation: Any) -> None:
    name = "If-None-Match"
    schema = Schema(type=OpenAPIType.STRING, pattern=_HEADER_PATTERN)
    parameter = Parameter(name=name, param_in="header", schema=schema, description=_CONDITIONS[name])
    operation.parameters = [*(operation.parameters or []), parameter]
    operation.responses["304"].headers |= {
        "ETag": OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description="The one that you have sent.")
    }


def _complete_head(operation: Any) -> None:
    """Document that the answer to a HEAD has no body, and is neither partial nor a redirect."""
    operation.summary += ", without the bytes"
    for status in ("206", "307", "416"):
        operation.responses.pop(status, None)
    operation.parameters = [each for each in operation.parameters if each.name not in {"Range", "If-Range"}]
    for response in operation.responses.values():
        response.content = None


def _only(body: Any) -> Any:
    """Document that a body has no other fields, and return its fields."""
    body.additional_properties = False
    return body.properties


def _add_tags(tags: Any, **rules: Any) -> None:
    _add(tags, max_items=TAGS_MAX_COUNT, unique_items=True, **rules)
    _add(tags.items, min_length=1, max_length=TAG_MAX_LENGTH, pattern=TAG_PATTERN)


def _add(schema: Any, **rules: Any) -> None:
    for name, value in rules.items():
        setattr(schema, name, value)


def _operations(document: OpenAPI) -> Iterator[Any]:
    for item in (document.paths or {}).values():
        yield from filter(None, (item.get, item.head, item.post, item.patch, item.delete))


def _headers(status: str) -> dict[str, OpenAPIHeader]:
    text = Schema(type=OpenAPIType.STRING)
    headers = {"X-Request-ID": OpenAPIHeader(schema=text, description="Under which the log says more.", required=True)}
    if status == "401":
        headers["WWW-Authenticate"] = OpenAPIHeader(schema=text, description=_CHALLENGES, required=True)
    if status in {"409", "429", "503"}:
        seconds = Schema(type=OpenAPIType.INTEGER, minimum=0)
        headers["Retry-After"] = OpenAPIHeader(
            schema=seconds, description="In how many seconds to try again, if known."
        )
    return headers


def _creation_headers(status: str) -> dict[str, OpenAPIHeader]:
    text = Schema(type=OpenAPIType.STRING)
    headers: dict[str, OpenAPIHeader] = {}
    if status in {"200", "202"}:
        headers["Preference-Applied"] = OpenAPIHeader(
            schema=text, description="The preferences that the answer follows; absent if none."
        )
    if status == "202":
        headers["Location"] = OpenAPIHeader(schema=text, description="Where to look for the image.", required=True)
    if status not in _BEFORE_CREATION:
        headers[REPLAYED] = OpenAPIHeader(
            schema=text, description="`true` if an earlier request with this idempotency key was answered with this."
        )
    return headers
