"""Health over HTTP."""

from dependency_injector import providers

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import Client
from tests.unit.entrypoints.http.problem_bodies import problem


class BrokenContentStore(InMemoryContentStore):
    """A store whose disk is full."""

    async def check(self) -> None:
        raise ContentStoreError("The content store is full.")


def test_a_working_service_is_live_and_ready(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}


def test_a_service_whose_store_fails_is_live_but_not_ready(client: Client, container: Container) -> None:
    with container.contents.override(providers.Object(BrokenContentStore())):
        container.check_readiness.reset()

        assert client.get("/health/live").status_code == 200
        assert problem(client.get("/health/ready"), 503)["detail"] == "The content store is full."
