"""Bringing the database's schema up to date, where that may happen by itself."""

from typing import TYPE_CHECKING

from pixyproxy.domain.errors import SchemaOutdatedError

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container


async def ensure_schema(container: "Container") -> None:
    """Apply missing scripts on SQLite, or where the settings say so; else raise `SchemaOutdatedError`."""
    from pixyproxy.entrypoints.settings import DatabaseKind

    schema, settings = container.schema(), container.settings()
    missing = [migration for migration in await schema.status() if migration.applied_at is None]
    if not missing:
        return
    if settings.database_kind is not DatabaseKind.SQLITE and not settings.auto_upgrade:
        raise SchemaOutdatedError(
            f"The database lacks {len(missing)} schema script(s). Run: pixyproxy db upgrade "
            "(or set PIXYPROXY_AUTO_UPGRADE=true)"
        )
    await schema.upgrade()
