"""The state that a server of a cluster reports."""

from enum import Enum, auto
from typing import Any, Final

from pymysql.constants import ER

from pixyproxy.adapters.mysql.errors import driver_errors, error_code

# No server has all of them. A Galera node that is cut off answers SHOW, but no SELECT.
_VARIABLES: Final = """
    SHOW GLOBAL VARIABLES
    WHERE Variable_name IN ('read_only', 'super_read_only', 'wsrep_on', 'group_replication_group_name')
"""
_IS_READY: Final = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"

# Without a majority, writes would hang.
_MEMBERS: Final = """
    SELECT COUNT(*), SUM(member_state = 'UNREACHABLE'), SUM(member_id = @@server_uuid AND member_state = 'ONLINE')
    FROM performance_schema.replication_group_members
"""

# The user may not read the table; a member that is not online is read-only, as a rule.
_NOT_READABLE: Final = {ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.NO_SUCH_TABLE}


class Kind(Enum):
    """The kind of a cluster; the value has a connection wait for what other servers have written before."""

    GALERA = "SET SESSION wsrep_sync_wait = 7"
    GROUP = "SET SESSION group_replication_consistency = 'BEFORE'"


class Usability(Enum):
    """What a server can be used for."""

    WRITABLE = auto()
    READ_ONLY = auto()
    NOT_READY = auto()


async def usability(cursor: Any) -> tuple[Usability, Kind | None]:
    """Return what the server of a connection can be used for, and the kind of its cluster, if it belongs to one."""
    await cursor.execute(_VARIABLES)
    variables = {name.lower(): value for name, value in await cursor.fetchall()}
    is_on = {name for name, value in variables.items() if value in {"ON", "1"}}
    kind, is_ready = None, True
    if "wsrep_on" in is_on:
        kind, is_ready = Kind.GALERA, await _is_ready(cursor)
    elif variables.get("group_replication_group_name"):
        kind, is_ready = Kind.GROUP, await _is_member(cursor)
    if not is_ready:
        return Usability.NOT_READY, kind
    return Usability.READ_ONLY if is_on & {"read_only", "super_read_only"} else Usability.WRITABLE, kind


async def _is_ready(cursor: Any) -> bool:
    await cursor.execute(_IS_READY)
    return dict(await cursor.fetchall()).get("wsrep_ready") == "ON"


async def _is_member(cursor: Any) -> bool:
    try:
        await cursor.execute(_MEMBERS)
        members, unreachable, is_online = await cursor.fetchone()
    except driver_errors() as exc:
        if error_code(exc) in _NOT_READABLE:
            return True
        raise
    # A server that has left its group serves on as a single one, read-only as a rule.
    return not members or (bool(is_online) and 2 * unreachable < members)
