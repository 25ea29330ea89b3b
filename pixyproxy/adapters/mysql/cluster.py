"""The servers of a database cluster, and which of them to use."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymysql import err
from pymysql.constants import CLIENT, ER

from pixyproxy.adapters.mysql.aiomysql_connection import AiomysqlConnection
from pixyproxy.adapters.mysql.errors import connection_errors, is_unavailable
from pixyproxy.adapters.mysql.url import ASYNCMY, driver_of, hosts_of, parse_url
from pixyproxy.adapters.mysql.usability import Kind, Usability, usability
from pixyproxy.domain.errors import DBConnectionError

# The time of each host but the last, where there are several.
_HOST_SECONDS: Final = 1.0

# The time of a host that is asked whether it hangs.
_ANSWER_SECONDS: Final = 2.0

# Between two looks at the hosts before the one that is used.
_LOOK_SECONDS: Final = 5.0

# After a change of hosts, until the new one surely has what was written to the earlier one.
_SETTLING_SECONDS: Final = 15.0

# Some servers ignore the character set of the handshake. GROUP_CONCAT may truncate the text of a page, which
# `pixyproxy.adapters.sql.list_queries` detects.
_SESSION: Final = """
    SET SESSION
        character_set_client = utf8mb4,
        character_set_connection = utf8mb4,
        character_set_results = utf8mb4,
        time_zone = '+00:00',
        sql_mode = CONCAT_WS(
            ',', 'ONLY_FULL_GROUP_BY', 'STRICT_ALL_TABLES', 'NO_ZERO_IN_DATE', 'NO_ZERO_DATE',
            'ERROR_FOR_DIVISION_BY_ZERO', 'NO_ENGINE_SUBSTITUTION'
        ),
        group_concat_max_len = 1048576,
        sql_notes = 0
"""

# No variable has the same name on all servers.
_ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"

_log: Final = logging.getLogger("pixyproxy.database")


class Cluster:
    """Connects to the first host of a URL that is usable; a host's *place* is its index in the URL.

    All processes with the same URL thus use the same host, as long as they see the same ones. A host that refuses,
    hangs, is not ready or read-only is *out*: it is the last to be tried, until a connection to it succeeds. With one
    host there is nothing to choose, and it isn't asked whether it is usable.

    A node may lag behind another by milliseconds. So that a process sees what it has written itself, connections that
    are opened soon after a change of hosts wait for what other nodes have written, and are replaced after a while.

    Takes the `url`, the seconds in which a connection is opened (of which each host but the last gets one), and whether
    reads wait for what other servers have written before.
    """

    def __init__(self, url: str, *, connect_timeout: float, consistent_reads: bool) -> None:
        self._options = parse_url(url)
        self._hosts: Sequence[Mapping[str, Any]] = [
            {"host": host.name, "port": host.port} for host in hosts_of(url)
        ] or [{}]
        self._names = [str(host) for host in hosts_of(url)]
        self._connection_class = connection_class(driver_of(url))
        self._connect_timeout = connect_timeout
        self._consistent_reads = consistent_reads
        self._out: set[int] = set()
        self._looks_at = 0.0
        self._settled_at = 0.0

    async def connect(self) -> Any:
        """Return a connection to the first usable host; its `place` is the host's.

        Where no host takes writes, it is one to a host that can be read. Raises the driver's errors and `OSError`, and
        tries no other host if one refuses the login.
        """
        ends_at = time.monotonic() + self._connect_timeout
        *others, last = self._in_order()
        readable: Any = None
        failure: Exception | None = None
        try:
            for place in (*others, last):
                seconds = ends_at - time.monotonic()
                try:
                    connection, found = await self._connect_to(
                        place, seconds if place == last else min(seconds, _HOST_SECONDS)
                    )
                except connection_errors() as exc:
                    if not is_unavailable(exc):
                        raise
                    failure = exc
                    self.give_up(place, type(exc).__name__)
                    continue
                if found is Usability.WRITABLE:
                    self._out.discard(place)
                    return connection
                self.give_up(place, found.name.lower())
                if found is Usability.READ_ONLY and readable is None:
                    readable = connection
                else:
                    connection.close()
            if readable is not None:
                connection, readable = readable, None
                return connection
            raise failure or err.OperationalError(ER.UNKNOWN_COM_ERROR, "No host is ready.")
        finally:
            if readable is not None:
                readable.close()

    async def look_back(self) -> Any | None:
        """Return a connection to the first host that is usable again, if it comes before those in use."""
        self._looks_at = time.monotonic() + _LOOK_SECONDS
        for place in self._earlier():
            try:
                connection, found = await self._connect_to(place, _HOST_SECONDS, is_settling=True)
            except connection_errors():
                continue
            except DBConnectionError:  # it is no cluster's
                continue
            if found is Usability.WRITABLE and await self._keeps_up(connection):
                self._out.discard(place)
                self._settled_at = time.monotonic() + _SETTLING_SECONDS
                _log.warning("the database host %s is back", self._names[place])
                return connection
            connection.close()
        return None

    async def answers(self, place: int) -> bool:
        """Return whether a host, which works for long, answers on another connection."""
        seconds = _ANSWER_SECONDS if self._hosts[1:] else self._connect_timeout
        try:
            connection, found = await self._connect_to(place, seconds)
        except connection_errors() as exc:
            # One that is full does.
            is_there = not is_unavailable(exc)
        except DBConnectionError:
            is_there = True
        else:
            connection.close()
            is_there = found is not Usability.NOT_READY
        if not is_there:
            self.give_up(place, "it hangs")
        return is_there

    def give_up(self, place: int, reason: str) -> None:
        """Have other hosts tried before this one."""
        if self._hosts[1:] and place not in self._out:
            _log.warning("the database host %s is out: %s", self._names[place], reason)
            self._out.add(place)
            self._looks_at = time.monotonic() + _LOOK_SECONDS
            self._settled_at = time.monotonic() + _SETTLING_SECONDS

    def is_to_keep(self, connection: Any) -> bool:
        """Whether a connection is still what a new one would be: to the first of the hosts that are not out."""
        if connection.is_settling and time.monotonic() >= self._settled_at:
            return False
        if not self._out:
            return bool(connection.place == 0)
        return len(self._out) == len(self._hosts) or bool(connection.place == self._in_order()[0])

    @property
    def is_to_look_back(self) -> bool:
        """Whether it is time for `look_back`."""
        return bool(self._out) and bool(self._earlier()) and time.monotonic() >= self._looks_at

    def _in_order(self) -> Sequence[int]:
        return sorted(range(len(self._hosts)), key=lambda place: (place in self._out, place))

    def _earlier(self) -> Sequence[int]:
        """Return the hosts that are out and come before all that are not."""
        in_use = min(set(range(len(self._hosts))) - self._out, default=len(self._hosts))
        return range(in_use)

    @staticmethod
    async def _keeps_up(connection: Any) -> bool:
        """Return whether a server gets what others write: one that was frozen calls itself ready for a moment."""
        try:
            async with asyncio.timeout(_HOST_SECONDS), connection.cursor() as cursor:
                await cursor.execute("SELECT 1")
        except connection_errors():
            return False
        return True

    async def _connect_to(
        self, place: int, seconds: float, *, is_settling: bool | None = None
    ) -> tuple[Any, Usability]:
        connection = self._connection_class(
            **{**self._options, **self._hosts[place]},
            charset="utf8mb4",
            autocommit=True,
            init_command=_SESSION,
            # Count found rows: an UPDATE that changes nothing still found its record.
            client_flag=CLIENT.FOUND_ROWS,
        )
        connection.place = place
        connection.is_settling = time.monotonic() < self._settled_at if is_settling is None else is_settling
        found = Usability.WRITABLE
        try:
            async with asyncio.timeout(seconds):
                await connection.open()
                async with connection.cursor() as cursor:
                    await cursor.execute(_ISOLATION)
                    if self._hosts[1:] or self._consistent_reads:
                        found, kind = await usability(cursor)
                        await self._have_wait(cursor, kind, is_settling=connection.is_settling)
        except BaseException:
            connection.close()
            raise
        return connection, found

    async def _have_wait(self, cursor: Any, kind: Kind | None, *, is_settling: bool) -> None:
        if self._consistent_reads and kind is None:
            raise DBConnectionError(
                "PIXYPROXY_MYSQL_CONSISTENT_READS needs Galera or Group Replication, and the database is neither."
            )
        if kind and (self._consistent_reads or is_settling):
            await cursor.execute(kind.value)


def connection_class(driver: str) -> type[Any]:
    """Return the class of a driver's connections."""
    if driver == ASYNCMY:
        from pixyproxy.adapters.mysql.asyncmy_connection import AsyncmyConnection  # noqa: PLC0415 -- an extra

        return AsyncmyConnection
    return AiomysqlConnection
