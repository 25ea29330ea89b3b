"""The HTTP application on in-memory adapters, with two users."""

import asyncio
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container

Login = tuple[str, str]
Client = TestClient[Litestar]

ANN: Login = ("ann", "correct horse")
BOB: Login = ("bob", "battery staple")


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def container(settings: Settings) -> Container:
    container = in_memory_container(settings)
    for name, password in (ANN, BOB):
        asyncio.run(container.add_user()(name, password))
    return container


@pytest.fixture
def client(settings: Settings, container: Container) -> Iterator[Client]:
    with TestClient(create_app(settings, container), raise_server_exceptions=False) as client:
        yield client
