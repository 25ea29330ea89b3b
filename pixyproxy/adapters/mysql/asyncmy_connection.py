"""Connections by asyncmy, an optional driver in Cython."""

import logging
from typing import Any

import asyncmy.errors
from asyncmy.connection import Connection
from asyncmy.converters import conversions
from pymysql.constants import CLIENT, FIELD_TYPE

from pixyproxy.adapters.mysql.errors import DRIVER_ERRORS, no_tls
from pixyproxy.adapters.mysql.keepalive import end_when_silent

DRIVER_ERRORS.append(asyncmy.errors)

# The reader of a page detects truncation itself. MariaDB 11 spells the function in lower case.
logging.getLogger("asyncmy").addFilter(lambda record: "was cut by group_concat" not in record.getMessage().lower())


class AsyncmyConnection(Connection):  # type: ignore[misc]
    """A connection with the interface of `AiomysqlConnection`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            conv={type_: convert for type_, convert in conversions.items() if type_ != FIELD_TYPE.TIMESTAMP}, **options
        )

    async def open(self) -> None:
        """Connect."""
        await self.connect()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return not self.connected

    @property
    def is_sound(self) -> bool:
        """Whether it can be reused: it is open, and in no transaction."""
        return not (self.closed or self._stream_broken or self.get_transaction_status())

    def _set_keep_alive(self) -> None:
        super()._set_keep_alive()
        end_when_silent(self._transport.get_extra_info("socket"))

    async def _request_authentication(self) -> None:
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise no_tls()
        await super()._request_authentication()
