"""Translates the driver's errors to the domain's; codes are those of both MySQL and MariaDB, unless noted."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pymysql import err
from pymysql.constants import CR, ER

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    PixyProxyException,
    SchemaOutdatedError,
)
from pixyproxy.domain.image import image_conflict

# The modules with the errors of the drivers; `pixyproxy.adapters.mysql.asyncmy_connection` adds its own.
DRIVER_ERRORS: Final[list[Any]] = [err]


def driver_errors(name: str = "MySQLError") -> tuple[type[Exception], ...]:
    """Return the drivers' errors of this name."""
    return tuple(getattr(module, name) for module in DRIVER_ERRORS)


def connection_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a connection: those of the drivers, and of the system."""
    return (*driver_errors(), OSError)


def no_tls() -> Exception:
    """Return the driver's error for a server without TLS."""
    return err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "The server offers no TLS.")


def _taken(message: str) -> PixyProxyException:
    # MySQL names the key 'users.users_name' where MariaDB says 'users_name'.
    key = re.search(r"for key '(?:\w+\.)?(\w+)'\W*$", message)
    details = {
        "images_guid": "An image with this guid is stored already.",
        "users_name": "A user with this name is stored already.",
    }
    return ConstraintViolationError(details.get(key[1] if key else "", "The record contradicts one that is stored."))


def _invalid(rule: str) -> Callable[[str], PixyProxyException]:
    def error(message: str) -> PixyProxyException:
        # MySQL says "for column 'prompt' at", MariaDB also "for column `database`.`images`.`prompt` at".
        column = re.search(r"column (?:`[^`]*`\.)*[`'](\w+)[`']", message)
        return DataValidationError(column[1] if column else "record", rule)

    return error


def _changed(_: str) -> PixyProxyException:
    return image_conflict()


def _unavailable(detail: str) -> Callable[[str], PixyProxyException]:
    return lambda _: DBConnectionError(detail)


def _outdated(_: str) -> PixyProxyException:
    return SchemaOutdatedError("The database's schema is not the one this version needs: run `pixyproxy db upgrade`.")


def _conflicting(_: str) -> PixyProxyException:
    return SchemaOutdatedError("The database already holds what a schema script of PixyProxy would create.")


_lost = _unavailable("The database does not answer.")
_refused = _unavailable("The database refuses PixyProxy's login or does not grant it enough.")
_login_refused = _unavailable(
    "The database refuses PixyProxy's login; it may demand TLS (?tls=required in the database's URL)."
)
_needs_tls = _unavailable("The database takes encrypted connections only (?tls=required in the database's URL).")
_without_tls = _unavailable("The database offers no TLS, which its URL asks for.")
_busy = _unavailable("The database is too busy.")
_not_ready = _unavailable("The database's cluster is not ready.")
_interrupted = _unavailable("The database has given up the operation.")
_unwritable = _unavailable("The database can't be written to.")

# The server refuses the statement, or has undone it: it has no effect, and another server of the cluster may take it.
UNDONE: Final = frozenset(
    {
        ER.UNKNOWN_COM_ERROR,  # a Galera node that is cut off, or not yet ready
        ER.OPTION_PREVENTS_STATEMENT,
        1836,  # read-only mode (MySQL)
    }
)

# No connection can be made.
_UNREACHABLE: Final = frozenset({CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR})

# The connection has ended, or will, and its last statement may or may not take effect.
_LOST: Final = frozenset(
    {
        ER.SERVER_SHUTDOWN,
        ER.NORMAL_SHUTDOWN,
        ER.NET_READ_ERROR_FROM_PIPE,
        ER.NET_READ_ERROR,
        ER.NET_READ_INTERRUPTED,
        ER.NET_ERROR_ON_WRITE,
        ER.NET_WRITE_INTERRUPTED,
        ER.ERROR_DURING_COMMIT,  # a Galera node that has lost the others meanwhile
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_SERVER_LOST_EXTENDED,
        1927,  # the connection was killed (MariaDB)
        3032,  # offline mode (MySQL)
        3100,  # a member that is not online (Group Replication)
        3168,  # the server is not available (MySQL)
        3796,  # a member that does not catch up (Group Replication)
        3797,  # a member that does not catch up (Group Replication)
        4031,  # the connection was idle for too long (MySQL)
    }
)

# X509_V_ERR_… of OpenSSL.
_CERTIFICATE_EXPIRED: Final = 10
_CERTIFICATE_HOST: Final = frozenset({62, 64})

_BY_CODE: Final[Mapping[int, Callable[[str], PixyProxyException]]] = {
    ER.DUP_ENTRY: _taken,
    ER.NO_REFERENCED_ROW_2: _changed,
    ER.DATA_TOO_LONG: _invalid("is too long for the database"),
    ER.NET_PACKET_TOO_LARGE: _invalid("is too long for the database"),
    ER.WARN_DATA_OUT_OF_RANGE: _invalid("is out of the database's range"),
    ER.TRUNCATED_WRONG_VALUE: _invalid("is out of the database's range"),
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD: _invalid("has characters that the database can't keep"),
    ER.NO_SUCH_TABLE: _outdated,
    ER.BAD_FIELD_ERROR: _outdated,
    ER.TABLE_EXISTS_ERROR: _conflicting,
    ER.DUP_FIELDNAME: _conflicting,
    ER.DUP_KEYNAME: _conflicting,
    ER.CANT_DROP_FIELD_OR_KEY: _conflicting,
    ER.DBACCESS_DENIED_ERROR: _refused,
    ER.ACCESS_DENIED_ERROR: _login_refused,
    3159: _needs_tls,  # require_secure_transport
    CR.CR_SSL_CONNECTION_ERROR: _without_tls,
    ER.BAD_DB_ERROR: _refused,
    ER.TABLEACCESS_DENIED_ERROR: _refused,
    ER.COLUMNACCESS_DENIED_ERROR: _refused,
    ER.HOST_IS_BLOCKED: _refused,
    ER.HOST_NOT_PRIVILEGED: _refused,
    3118: _refused,  # the account is locked (MySQL)
    4151: _refused,  # the account is locked (MariaDB)
    ER.CON_COUNT_ERROR: _busy,
    ER.TOO_MANY_USER_CONNECTIONS: _busy,
    ER.USER_LIMIT_REACHED: _busy,
    ER.LOCK_WAIT_TIMEOUT: _busy,
    ER.LOCK_DEADLOCK: _busy,
    ER.CHECKREAD: _busy,
    3572: _busy,  # NOWAIT met a lock
    **dict.fromkeys(_UNREACHABLE | _LOST, _lost),
    ER.UNKNOWN_COM_ERROR: _not_ready,
    3101: _busy,  # the group has refused the transaction (Group Replication)
    ER.QUERY_INTERRUPTED: _interrupted,
    1969: _interrupted,  # max_statement_time is over (MariaDB)
    3024: _interrupted,  # max_execution_time is over (MySQL)
    188: _interrupted,  # either of them, within InnoDB's full-text index (MariaDB)
    ER.DISK_FULL: _unwritable,
    ER.RECORD_FILE_FULL: _unwritable,
    ER.OPTION_PREVENTS_STATEMENT: _unwritable,
    1836: _unwritable,  # read-only mode
}

# Conflicts with other transactions: a retry may succeed.
CONFLICTS: Final = frozenset(
    {
        ER.LOCK_DEADLOCK,  # also between Galera's nodes, at the commit
        ER.LOCK_WAIT_TIMEOUT,
        ER.CHECKREAD,
        3101,  # between the members of Group Replication, at the commit
    }
)

# The server, or the user, has too many connections.
NO_ROOM: Final = frozenset({ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED})

# The server's own limits: max_statement_time of MariaDB, and max_execution_time of MySQL.
STATEMENT_TIMEOUTS: Final = frozenset({1969, 3024, 188})


def is_lost(error: BaseException | None) -> bool:
    """Whether an error ended a connection in the midst of its work, which may have had an effect."""
    if isinstance(error, driver_errors()):
        return error_code(error) in _LOST or isinstance(error, driver_errors("InterfaceError"))
    # What took too long was not lost.
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


def is_unavailable(error: BaseException) -> bool:
    """Whether a server that could not be connected to, by this error, is away, hangs or takes no work."""
    if isinstance(error.__cause__, ssl.SSLError):
        return False
    return error_code(error) in _UNREACHABLE | UNDONE or isinstance(error, OSError) or is_lost(error)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate the driver's errors to the domain's, with a detail that is safe for clients; pass on all others."""
    try:
        yield
    except connection_errors() as exc:
        if isinstance(exc.__cause__, ssl.SSLError):
            raise DBConnectionError(_tls_problem(exc.__cause__)) from exc.__cause__
        translate = _BY_CODE.get(error_code(exc))
        if translate is None and isinstance(exc, (*driver_errors("InterfaceError"), OSError)):
            translate = _lost
        if translate is None:
            raise
        raise translate(str(exc)) from exc


def _tls_problem(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "The encrypted connection to the database can't be made."
    if error.verify_code in _CERTIFICATE_HOST:
        return "The database's certificate is for another host name than the URL's (tls=verify-ca asks for none)."
    if error.verify_code == _CERTIFICATE_EXPIRED:
        return "The database's certificate has expired."
    return (
        "The database's certificate is not signed by a CA that is trusted (?ssl_ca=… in the database's URL names one)."
    )


def error_code(error: BaseException | None) -> int:
    """Return the code of a driver's error, 0 for other errors."""
    code = error.args[0] if isinstance(error, driver_errors()) and error.args else 0
    return code if isinstance(code, int) else 0
