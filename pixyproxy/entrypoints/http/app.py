"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from litestar import Litestar, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from litestar.types import ASGIApp

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import ImageScope
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.housekeeping import housekeeping
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.content.accept import parse_accept, weight_of
from pixyproxy.entrypoints.http.errors import handle_error
from pixyproxy.entrypoints.http.gallery.routes import gallery
from pixyproxy.entrypoints.http.health import health
from pixyproxy.entrypoints.http.images.private_images import private_images
from pixyproxy.entrypoints.http.images.public_images import public_images
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.images.tags import private_tags, public_tags
from pixyproxy.entrypoints.http.json_request import MAX_BODY_SIZE
from pixyproxy.entrypoints.http.keys.private_keys import private_keys
from pixyproxy.entrypoints.http.middleware.cors import CORS
from pixyproxy.entrypoints.http.middleware.foreign_requests import ForeignRequests
from pixyproxy.entrypoints.http.middleware.head import HeadAsGet
from pixyproxy.entrypoints.http.middleware.path_prefix import PathPrefix
from pixyproxy.entrypoints.http.middleware.request_log import RequestLog
from pixyproxy.entrypoints.http.middleware.request_rules import RequestRules
from pixyproxy.entrypoints.http.models import models
from pixyproxy.entrypoints.http.openai.models import openai_models
from pixyproxy.entrypoints.http.openai.routes import openai_images
from pixyproxy.entrypoints.http.openapi.document import openapi_config, swagger_ui_file
from pixyproxy.entrypoints.http.paths import GALLERY_PATH
from pixyproxy.entrypoints.http.problems.challenges import TAKES_SESSIONS
from pixyproxy.entrypoints.http.public_shortcut import PublicShortcut
from pixyproxy.entrypoints.settings import Settings


def index(*, has_gallery: bool) -> HTTPRouteHandler:
    """Return the route of the service's root."""

    @get("/", include_in_schema=False)
    async def get_index(request: APIRequest) -> Redirect:
        """Redirect browsers, which name `text/html`, to the gallery, and others to the description of the API."""
        accepted = parse_accept(", ".join(request.headers.getall("accept", [])))
        is_browser = weight_of("text/html", accepted, by_name=True) > 0
        return Redirect(GALLERY_PATH if has_gallery and is_browser else "/schema", headers={"Vary": "Accept"})

    return get_index


def create_app(settings: Settings, container: Container | None = None) -> Litestar:
    """Return the ASGI application for `settings`; a host may pass a `container` with adapters of its own.

    The application opens its database when it starts and closes it when it ends. The schema must be up to date.
    """
    container = container or Container(settings=settings)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with (
            opened(container),
            container.prepare_thumbnails().running() if settings.has_gallery else nullcontext(),
            housekeeping(
                container.recover_images(),
                container.finish_deletions(),
                container.upgrade_data(),
                container.index_prompts(),
                container.images(),
                sweep_uploads=container.sweep_uploads(),
                sweep_sessions=container.sweep_sessions() if settings.has_gallery else None,
                every=settings.lease / 3,
            ),
        ):
            await container.generator().open()
            container.dispatcher().serve()
            yield

    app = Litestar(
        route_handlers=[
            index(has_gallery=settings.has_gallery),
            *([gallery(container, settings)] if settings.has_gallery else []),
            public_images(container, settings),
            private_images(container, settings),
            public_tags(container),
            private_tags(container),
            private_keys(container),
            models(container),
            openai_models(container, settings),
            openai_images(container, settings),
            health(container),
            swagger_ui_file,
        ],
        debug=False,
        exception_handlers={PixyProxyException: handle_error, HTTPException: handle_error, Exception: handle_error},
        lifespan=[lifespan],
        logging_config=None,
        opt=TAKES_SESSIONS if settings.has_gallery else None,
        openapi_config=openapi_config(settings),
        request_max_body_size=MAX_BODY_SIZE,
    )
    public_url, origins = settings.public_address, settings.allowed_origins
    public = ImageResource.of(container, ImageScope.PUBLIC)
    handler: ASGIApp = HeadAsGet(PublicShortcut(app.asgi_handler, public, takes_sessions=settings.has_gallery))
    handler = ForeignRequests(
        handler,
        allowed_hosts=settings.host_names,
        origins=origins,
        public_url=public_url,
        takes_sessions=settings.has_gallery,
    )
    handler = RequestRules(handler)
    if origins:
        handler = CORS(handler, origins)
    # Outside the rules, whose refusals depend on the path below the prefix.
    app.asgi_handler = RequestLog(PathPrefix(handler, public_url))
    return app
