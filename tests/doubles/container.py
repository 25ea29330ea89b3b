"""A container whose adapters live in memory."""

from dependency_injector import providers

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.secret_store import InMemorySecretStore
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import Settings


class NoDatabase:
    """Stands where a database would be opened and closed."""

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None


def in_memory_container(settings: Settings) -> Container:
    """Return a container that needs no file, no server and no network."""
    container = Container(settings=settings)
    container.database.override(providers.Object(NoDatabase()))
    container.images.override(providers.Object(InMemoryImageRepository()))
    container.users.override(providers.Object(InMemoryUserRepository()))
    container.secrets.override(providers.Object(InMemorySecretStore()))
    container.upgrade_progress.override(providers.Object(InMemoryDataUpgrades()))
    container.contents.override(providers.Object(InMemoryContentStore()))
    container.generator.override(providers.Object(InMemoryImageGenerator()))
    container.hasher.override(providers.Object(InMemoryPasswordHasher()))
    container.variant_maker.override(providers.Object(PillowVariantMaker()))
    return container
