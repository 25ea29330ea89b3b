"""Connections by aiomysql, the default driver."""

import warnings
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import decoders

from pixyproxy.adapters.mysql.errors import no_tls
from pixyproxy.adapters.mysql.keepalive import end_when_silent

# The reader of a page detects truncation itself.
warnings.filterwarnings("ignore", "Row .* was cut by GROUP_CONCAT", aiomysql.Warning)


class AiomysqlConnection(aiomysql.Connection):  # type: ignore[misc]
    """A connection that fails if it needs TLS and the server has none: the driver would continue in plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            conv={type_: decode for type_, decode in decoders.items() if type_ != FIELD_TYPE.TIMESTAMP}, **options
        )

    async def open(self) -> None:
        """Connect, as `aiomysql.connect` does."""
        await self._connect()

    @property
    def is_sound(self) -> bool:
        """Whether it can be reused: it is open, and in no transaction."""
        # No public API tells that the server closed the connection; the driver's own pool checks the same.
        is_ended = self._reader.eof_received or self._reader.exception()
        return not (self.closed or is_ended or self.get_transaction_status())

    def _set_keep_alive(self) -> None:
        super()._set_keep_alive()
        end_when_silent(self._writer.get_extra_info("socket"))

    async def _request_authentication(self) -> None:
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise no_tls()
        await super()._request_authentication()
