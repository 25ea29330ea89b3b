"""A database in memory."""

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.adapters.memory.api_key_repository import InMemoryAPIKeyRepository
from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.rate_limits import InMemoryRateLimits
from pixyproxy.adapters.memory.schema import InMemorySchema
from pixyproxy.adapters.memory.secret_store import InMemorySecretStore
from pixyproxy.adapters.memory.session_store import InMemorySessionStore
from pixyproxy.adapters.memory.user_repository import InMemoryUserRepository


class InMemoryDatabase:
    """Keeps everything as long as the object lives; for tests and for hosts without a database."""

    def __init__(self) -> None:
        self.schema = InMemorySchema()
        self.images = InMemoryImageRepository()
        self.access_version = InMemoryAccessVersion()
        self.users = InMemoryUserRepository(self.access_version)
        self.api_keys = InMemoryAPIKeyRepository(self.access_version)
        self.sessions = InMemorySessionStore(self.access_version)
        self.secrets = InMemorySecretStore(self.access_version)
        self.rate_limits = InMemoryRateLimits()
        self.data_upgrades = InMemoryDataUpgrades()

    async def open(self) -> None:
        """Do nothing; other databases connect."""

    async def close(self) -> None:
        """Do nothing; other databases disconnect."""
