"""A container whose adapters live in memory."""

from dependency_injector import providers

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.database import InMemoryDatabase
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.picture_source import InMemoryPictureSource
from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.linked_contents import LinkedContents


def in_memory_container(settings: Settings) -> Container:
    """Return a container that needs no file, no server and no network."""
    container = Container(settings=settings)
    container.database.override(providers.Object(InMemoryDatabase()))
    contents = LinkedContents()
    container.contents.override(providers.Object(contents))
    container.content_links.override(providers.Object(contents))
    container.upload_contents.override(providers.Object(InMemoryContentStore()))
    container.partial_contents.override(providers.Object(InMemoryContentStore()))
    container.generator.override(providers.Object(InMemoryImageGenerator()))
    container.picture_source.override(providers.Object(InMemoryPictureSource()))
    container.hasher.override(providers.Object(InMemoryPasswordHasher()))
    container.variant_maker.override(providers.Object(PillowVariantMaker()))
    return container
