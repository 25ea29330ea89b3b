"""Health checks."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.problems.responses import problems


class Health(msgspec.Struct, frozen=True):
    """The status of a service that works."""

    status: Annotated[str, Meta(description="Always `ok`: anything else is a problem.", examples=["ok"])] = "ok"


def health(container: Container) -> Router:
    """Return the routes of the health checks."""
    check_readiness = container.check_readiness()

    @get("/live", summary="Does the process answer?", response_description="It does.")
    async def live() -> Health:
        """Answer as long as the process runs; restart it if it does not."""
        return Health()

    @get(
        "/ready",
        summary="Do database and content store work?",
        response_description="Both do.",
        responses=problems(503),
    )
    async def ready() -> Health:
        """Answer when database and content store both work; send no requests here while they don't.

        A process that is about to stop is not ready.
        """
        await check_readiness()
        return Health()

    return Router("/health", route_handlers=[live, ready], tags=["Health"])
