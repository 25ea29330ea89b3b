"""The schema of a database in memory."""

from collections.abc import Sequence

from pixyproxy.domain.ports import Migration, Schema


class InMemorySchema(Schema):
    """Has no scripts."""

    async def status(self) -> Sequence[Migration]:
        return ()

    async def upgrade(self) -> Sequence[Migration]:
        return ()
