"""Connections by aiomysql, the default driver."""

import warnings
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import decoders

from pixyproxy.adapters.mysql.errors import no_tls

# What reads a page sees by itself that it was cut.
warnings.filterwarnings("ignore", "Row .* was cut by GROUP_CONCAT", aiomysql.Warning)


class AiomysqlConnection(aiomysql.Connection):  # type: ignore[misc]
    """A connection that is never made without TLS where TLS is asked for: the driver would go on in the clear."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            conv={type_: decode for type_, decode in decoders.items() if type_ != FIELD_TYPE.TIMESTAMP}, **options
        )

    async def open(self) -> None:
        """Connect, as `aiomysql.connect` does."""
        await self._connect()

    @property
    def is_sound(self) -> bool:
        """Whether it can be used again: it is open, and in no transaction."""
        # The driver has no public word for a connection that the server has ended; its own pool asks the same.
        is_ended = self._reader.eof_received or self._reader.exception()
        return not (self.closed or is_ended or self.get_transaction_status())

    async def _request_authentication(self) -> None:
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise no_tls()
        await super()._request_authentication()
