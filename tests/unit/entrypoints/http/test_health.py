"""Health over HTTP."""

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.errors import ContentStoreError
from tests.unit.entrypoints.http.conftest import Client
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import serving


class BrokenContentStore(InMemoryContentStore):
    """A store whose disk is full."""

    async def check(self) -> None:
        raise ContentStoreError("The content store is full.")


def test_a_working_service_is_live_and_ready(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}


async def test_a_service_whose_store_fails_is_live_but_not_ready() -> None:
    async with serving(contents=BrokenContentStore()) as served:
        assert (await served.get("/health/live")).status_code == 200
        assert problem(await served.get("/health/ready"), 503)["detail"] == "The content store is full."
