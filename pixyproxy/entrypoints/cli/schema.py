"""Upgrading the schema before a command runs."""

from typing import TYPE_CHECKING

from pixyproxy.domain.errors import SchemaOutdatedError

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container


async def ensure_schema(container: "Container") -> None:
    """Upgrade the schema on SQLite or with `auto_upgrade`; otherwise raise `SchemaOutdatedError` if it is outdated."""
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
