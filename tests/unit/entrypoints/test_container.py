"""Which objects the container builds, and how a host replaces them."""

from pathlib import Path

import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.database import InMemoryDatabase
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import Settings, load_settings
from tests.doubles.container import in_memory_container

PORTS = ("schema", "images", "users", "secrets", "access_version", "upgrade_progress")


def container_on(url: str) -> Container:
    return Container(settings=load_settings({"PIXYPROXY_DATABASE_URL": url}))


@pytest.mark.parametrize(
    ("url", "kind"), [("sqlite:///pixyproxy.db", SQLiteDatabase), ("mysql://a:b@localhost/c", MySQLDatabase)]
)
def test_all_ports_of_the_database_are_those_of_one_database(url: str, kind: type) -> None:
    container = container_on(url)
    database = container.database()
    assert isinstance(database, kind)
    for port in PORTS:
        assert getattr(container, port)().database is database
        assert getattr(container, port)() is getattr(container, port)()


def test_a_host_replaces_one_port_of_the_database_and_keeps_the_others(tmp_path: Path) -> None:
    container = container_on(f"sqlite:///{tmp_path}/pixyproxy.db")
    images = InMemoryImageRepository()
    container.images.override(providers.Object(images))
    assert container.get_image().images is images
    assert container.add_user().users is container.database().users


def test_a_host_replaces_the_database_and_all_its_ports(tmp_path: Path) -> None:
    container = container_on(f"sqlite:///{tmp_path}/pixyproxy.db")
    database = InMemoryDatabase()
    container.database.override(providers.Object(database))
    assert container.get_image().images is database.images
    assert container.add_user().users is database.users
    assert container.schema() is database.schema


class WatchedContentStore(InMemoryContentStore):
    """Records when it is prepared and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def prepare(self) -> None:
        self.calls.append("prepare")

    async def close(self) -> None:
        self.calls.append("close")


async def test_a_content_store_of_the_hosts_is_prepared_and_closed_with_the_container() -> None:
    container = in_memory_container(Settings())
    contents = WatchedContentStore()
    container.contents.override(providers.Object(contents))
    async with opened(container):
        assert contents.calls == ["prepare"]
    assert contents.calls == ["prepare", "close"]


def test_the_generator_offers_the_models_of_the_settings() -> None:
    environment = {
        "OPENAI_API_KEY": "sk-test",
        "PIXYPROXY_OPENAI_MODEL": "gpt-image-1.5",
        "PIXYPROXY_OPENAI_MODELS": "gpt-image-2,gpt-image-1.5",
        "PIXYPROXY_OPENAI_ALLOW_ANY": "true",
        "PIXYPROXY_OPENAI_QUALITY": "low",
    }
    capabilities = Container(settings=load_settings(environment)).generator().capabilities()
    assert [model.id for model in capabilities.models] == ["gpt-image-2", "gpt-image-1.5"]
    assert [model.defaults for model in capabilities.models] == [{"quality": "low", "output_format": "png"}] * 2
    assert capabilities.default == "gpt-image-1.5"
    assert capabilities.others is not None
