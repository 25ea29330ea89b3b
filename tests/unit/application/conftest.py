"""The in-memory adapters that the use cases are built from."""

import pytest

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.adapters.system.token_source import RandomTokenSource
from pixyproxy.application import AddUser, CreateImage, CreateKey, FindPictures, GenerateImage, StoreUpload
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.domain.user import Principal, UserName


@pytest.fixture
def ann() -> Principal:
    return Principal(name=UserName("ann"))


@pytest.fixture
def bob() -> Principal:
    return Principal(name=UserName("bob"))


@pytest.fixture
def images() -> InMemoryImageRepository:
    return InMemoryImageRepository()


@pytest.fixture
def contents() -> InMemoryContentStore:
    return InMemoryContentStore()


@pytest.fixture
def upload_contents() -> InMemoryContentStore:
    return InMemoryContentStore()


@pytest.fixture
def find_pictures(
    images: InMemoryImageRepository, contents: InMemoryContentStore, upload_contents: InMemoryContentStore
) -> FindPictures:
    return FindPictures(
        images=images, contents=contents, upload_contents=upload_contents, inspector=PillowContentInspector()
    )


@pytest.fixture
def store_upload(images: InMemoryImageRepository, upload_contents: InMemoryContentStore) -> StoreUpload:
    return StoreUpload(uploads=images, upload_store=upload_contents, inspector=PillowContentInspector())


@pytest.fixture
def generator() -> InMemoryImageGenerator:
    return InMemoryImageGenerator()


@pytest.fixture
def access_version() -> InMemoryAccessVersion:
    return InMemoryAccessVersion()


@pytest.fixture
def access(access_version: InMemoryAccessVersion) -> AccessChanges:
    return AccessChanges(access_version)


@pytest.fixture
def users(access_version: InMemoryAccessVersion) -> InMemoryUserRepository:
    return InMemoryUserRepository(access_version)


@pytest.fixture
def keys(access_version: InMemoryAccessVersion) -> InMemoryAPIKeyRepository:
    return InMemoryAPIKeyRepository(access_version)


@pytest.fixture
def create_key(keys: InMemoryAPIKeyRepository, users: InMemoryUserRepository, clock: InMemoryClock) -> CreateKey:
    return CreateKey(keys=keys, users=users, clock=clock, guids=RandomGuidSource(), tokens=RandomTokenSource())


@pytest.fixture
def admin() -> Principal:
    return Principal(name=UserName("admin"), is_admin=True)


@pytest.fixture
def hasher() -> InMemoryPasswordHasher:
    return InMemoryPasswordHasher()


@pytest.fixture
def clock() -> InMemoryClock:
    return InMemoryClock()


@pytest.fixture
def create_image(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    generator: InMemoryImageGenerator,
    clock: InMemoryClock,
    find_pictures: FindPictures,
) -> CreateImage:
    generate_image = GenerateImage(
        images=images,
        leases=images,
        contents=contents,
        quarantine=contents,
        find_pictures=find_pictures,
        generator=generator,
        clock=clock,
    )
    return CreateImage(
        images=images,
        idempotency_keys=images,
        dispatcher=Dispatcher(generate_image=generate_image, queue=images),
        clock=clock,
        guids=RandomGuidSource(),
    )


@pytest.fixture
def add_user(users: InMemoryUserRepository, hasher: InMemoryPasswordHasher, clock: InMemoryClock) -> AddUser:
    return AddUser(users=users, hasher=hasher, clock=clock)
