"""Running services, and the programs of clients."""

from collections.abc import Iterator

import pytest

from tests.clients.endpoint import Endpoint, Upstream, running_endpoint, running_upstream
from tests.clients.program import Programs
from tests.doubles.openai_server import KEY


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """The programs of clients, which go on from test to test."""
    with Programs() as programs:
        yield programs


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def sketching(tmp_path_factory: pytest.TempPathFactory, programs: Programs) -> Iterator[Endpoint]:
    """A service on SQLite that draws sketches."""
    with running_endpoint(tmp_path_factory.mktemp("sketching"), programs, {}) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def buying(tmp_path_factory: pytest.TempPathFactory, programs: Programs, upstream: Upstream) -> Iterator[Endpoint]:
    """A service on SQLite that buys images from the stand-in."""
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.url}
    with running_endpoint(tmp_path_factory.mktemp("buying"), programs, environment) as endpoint:
        yield endpoint
