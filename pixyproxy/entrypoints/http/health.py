"""Whether the service lives, and whether it can serve."""

from litestar import Router, get
from litestar.di import NamedDependency

from pixyproxy.application import CheckReadiness
from pixyproxy.entrypoints.http.images.responses import problems
from pixyproxy.entrypoints.http.images.schemas import Health


@get("/live", summary="Does the process answer?", response_description="It does.")
async def live() -> Health:
    """Answer as long as the process does; restart it when it does not."""
    return Health()


@get("/ready", summary="Do database and content store work?", response_description="Both do.", responses=problems(503))
async def ready(check_readiness: NamedDependency[CheckReadiness]) -> Health:
    """Answer when database and content store both work; send no requests here while they don't."""
    await check_readiness()
    return Health()


health = Router("/health", route_handlers=[live, ready], tags=["Health"])
