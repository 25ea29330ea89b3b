"""Bringing the database's schema up to date, where that may happen by itself."""

from typing import TYPE_CHECKING

from pixyproxy.domain.errors import SchemaOutdatedError

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container


async def ensure_schema(container: "Container") -> None:
    """Bring the database up to date on SQLite, or where the settings say so; else raise `SchemaOutdatedError`."""
    from pixyproxy.entrypoints.settings import DatabaseKind

    settings = container.settings()
    if settings.database_kind is DatabaseKind.SQLITE or settings.auto_upgrade:
        await container.schema().upgrade()
        return
    missing = [migration for migration in await container.schema().status() if migration.applied_at is None]
    if missing:
        raise SchemaOutdatedError(
            f"The database lacks {len(missing)} schema script(s). Run: pixyproxy db upgrade "
            "(or set PIXYPROXY_AUTO_UPGRADE=true)"
        )
