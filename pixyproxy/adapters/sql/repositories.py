"""The repositories that all SQL databases share."""

from functools import cached_property

from pixyproxy.adapters.sql.access_version import SQLAccessVersion
from pixyproxy.adapters.sql.api_key_repository import SQLAPIKeyRepository
from pixyproxy.adapters.sql.data_upgrades import SQLDataUpgrades
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.rate_limits import SQLRateLimits
from pixyproxy.adapters.sql.secret_store import SQLSecretStore
from pixyproxy.adapters.sql.session_store import SQLSessionStore
from pixyproxy.adapters.sql.user_repository import SQLUserRepository


class SQLRepositories(SQLDatabase):
    """A database that offers its repositories by the names of their ports."""

    @cached_property
    def images(self) -> SQLImageRepository:
        """Where image records live."""
        return SQLImageRepository(database=self)

    @cached_property
    def users(self) -> SQLUserRepository:
        """Where users live."""
        return SQLUserRepository(database=self)

    @cached_property
    def api_keys(self) -> SQLAPIKeyRepository:
        """Where API keys live."""
        return SQLAPIKeyRepository(database=self)

    @cached_property
    def sessions(self) -> SQLSessionStore:
        """Where sessions live."""
        return SQLSessionStore(database=self)

    @cached_property
    def secrets(self) -> SQLSecretStore:
        """Where shared keys live."""
        return SQLSecretStore(database=self)

    @cached_property
    def rate_limits(self) -> SQLRateLimits:
        """Rates that all processes keep together."""
        return SQLRateLimits(database=self)

    @cached_property
    def access_version(self) -> SQLAccessVersion:
        """How often users, sessions and keys have changed."""
        return SQLAccessVersion(database=self)

    @cached_property
    def data_upgrades(self) -> SQLDataUpgrades:
        """The progress of data upgrades."""
        return SQLDataUpgrades(database=self)
