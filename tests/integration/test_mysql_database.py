"""A real MySQL or MariaDB server: connections, sessions, transactions, and outages."""

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymysql import err
from pymysql.constants import CLIENT

from pixyproxy.adapters.mysql import cluster
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.url import driver_of, parse_url
from pixyproxy.adapters.sql.database import Transaction
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    SchemaOutdatedError,
)
from tests.doubles.certificates import Authority
from tests.doubles.mariadb import MySQLServer, ThrowawayServer
from tests.factories import ImageFactory

ADD_ONE = "UPDATE users SET password_hash = password_hash + 1 WHERE name = :name"


@asynccontextmanager
async def opened(url: str, **bounds: Any) -> AsyncIterator[MySQLDatabase]:
    database = MySQLDatabase(url, **bounds)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def scalar(database: MySQLDatabase, sql: str) -> object:
    async with database.autocommit() as cursor:
        await cursor.execute(sql)
        (value,) = await cursor.fetchone()
    return value


async def hold(database: MySQLDatabase, seconds: float = 10) -> None:
    async with database.autocommit() as cursor:
        await cursor.execute("SELECT SLEEP(%(seconds)s)", {"seconds": seconds})


async def connection_count(database: MySQLDatabase) -> int:
    async with database.dedicated() as cursor:
        await cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()")
        (count,) = await cursor.fetchone()
    return int(count) - 1


class TestSession:
    """The settings of a connection."""

    async def test_a_parameter_of_bytes_reaches_the_server(self, mysql_database: MySQLDatabase) -> None:
        value = bytes(range(256)) + "it's 100% \\ 😀".encode()
        async with mysql_database.autocommit() as cursor:
            await cursor.execute("SELECT HEX(%(value)s)", {"value": value})
            assert await cursor.fetchone() == (value.hex().upper(),)

    async def test_the_session_is_strict_and_in_utc_and_utf_8(self, mysql_database: MySQLDatabase) -> None:
        mode = str(await scalar(mysql_database, "SELECT @@SESSION.sql_mode")).split(",")
        assert {"ONLY_FULL_GROUP_BY", "STRICT_ALL_TABLES", "NO_ZERO_DATE"} < set(mode)
        assert await scalar(mysql_database, "SELECT @@SESSION.time_zone") == "+00:00"
        assert await scalar(mysql_database, "SELECT @@SESSION.character_set_client") == "utf8mb4"

    async def test_text_that_is_too_long_is_a_validation_error(self, mysql_database: MySQLDatabase) -> None:
        with pytest.raises(DataValidationError, match="too long") as caught:
            async with mysql_database.autocommit() as cursor:
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES ('1', REPEAT('x', 256), 'x')")
        assert caught.value.field == "filename"

    async def test_a_missing_schema_is_reported(self, empty_mysql_url: str) -> None:
        async with opened(empty_mysql_url) as database:
            with pytest.raises(SchemaOutdatedError, match="pixyproxy db upgrade"):
                await database.images.check()


class TestTransaction:
    """All or nothing."""

    async def test_an_exception_leaves_nothing(self, mysql_database: MySQLDatabase) -> None:
        async def fail() -> None:
            async with mysql_database.transaction() as cursor:
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES ('1', 'a', 'b')")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await scalar(mysql_database, "SELECT COUNT(*) FROM images") == 0

    async def test_a_refused_statement_leaves_nothing_of_the_others(self, mysql_database: MySQLDatabase) -> None:
        async def fail() -> None:
            async with mysql_database.transaction() as cursor:
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES ('1', 'a', 'b')")
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES (REPEAT('2', 99), 'a', 'b')")

        with pytest.raises(DataValidationError):
            await fail()
        assert await scalar(mysql_database, "SELECT COUNT(*) FROM images") == 0

    @pytest.mark.parametrize("statement", ["SELECT SLEEP(0.5)", None])
    async def test_a_cancelled_transaction_leaves_nothing_and_lets_go_of_its_locks(
        self, mysql_url: str, mysql_database: MySQLDatabase, statement: str | None
    ) -> None:
        has_inserted = asyncio.Event()

        async def insert() -> None:
            async with mysql_database.transaction() as cursor:
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES ('1', 'a', 'b')")
                has_inserted.set()
                if statement:
                    await cursor.execute(statement)
                else:
                    await asyncio.sleep(10)

        task = asyncio.create_task(insert())
        await has_inserted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with opened(mysql_url) as other, asyncio.timeout(5):
            assert await scalar(other, "SELECT COUNT(*) FROM images") == 0
            async with other.transaction() as cursor:
                await cursor.execute("INSERT INTO images (guid, filename, prompt) VALUES ('1', 'a', 'b')")


class TestRetries:
    """A write that others get in the way of."""

    @pytest.fixture(autouse=True)
    async def _two_users(self, mysql_database: MySQLDatabase) -> None:
        for name in ("ann", "bob"):
            await mysql_database.execute("INSERT INTO users (name, password_hash) VALUES (:name, '0')", {"name": name})

    async def test_both_of_two_that_deadlock_succeed(self, mysql_database: MySQLDatabase) -> None:
        attempts = 0
        have_met = asyncio.Barrier(2)

        async def add(first: str, second: str) -> None:
            async def work(transaction: Transaction) -> None:
                nonlocal attempts
                attempts += 1
                await transaction.execute(ADD_ONE, {"name": first})
                if attempts <= 2:
                    await have_met.wait()
                await transaction.execute(ADD_ONE, {"name": second})

            await mysql_database.write(work)

        await asyncio.gather(add("ann", "bob"), add("bob", "ann"))
        assert attempts == 3
        assert await scalar(mysql_database, "SELECT GROUP_CONCAT(password_hash) FROM users") == "2,2"

    async def test_a_lock_that_is_not_there_in_time_is_waited_for_again(self, mysql_database: MySQLDatabase) -> None:
        attempts = 0
        is_locked = asyncio.Event()

        async def lock() -> None:
            async with mysql_database.transaction() as cursor:
                await cursor.execute("UPDATE users SET password_hash = password_hash + 1 WHERE name = 'ann'")
                is_locked.set()
                while attempts < 2:  # noqa: ASYNC110 -- the server notices in its own time
                    await asyncio.sleep(0.01)

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute("SET SESSION innodb_lock_wait_timeout = 1")
            await transaction.execute(ADD_ONE, {"name": "ann"})

        locking = asyncio.create_task(lock())
        await is_locked.wait()
        await mysql_database.write(work)
        await locking
        assert await scalar(mysql_database, "SELECT password_hash FROM users WHERE name = 'ann'") == "2"

    async def test_a_record_that_has_changed_since_the_snapshot_is_read_again(
        self, mysql_database: MySQLDatabase
    ) -> None:
        if not await has_isolated_snapshots(mysql_database):
            pytest.skip("the server has no innodb_snapshot_isolation")
        seen: list[object] = []

        async def work(transaction: Transaction) -> None:
            await transaction.execute("SET SESSION innodb_snapshot_isolation = ON")
            seen.extend(await transaction.fetch_all("SELECT password_hash FROM users WHERE name = 'ann'"))
            if len(seen) == 1:
                await mysql_database.execute(ADD_ONE, {"name": "ann"})
            await transaction.execute(ADD_ONE, {"name": "ann"})

        await mysql_database.write(work)
        assert seen == [("0",), ("1",)]
        assert await scalar(mysql_database, "SELECT password_hash FROM users WHERE name = 'ann'") == "2"

    @pytest.mark.parametrize("code", [1020, 1205, 1213])
    async def test_retries_have_an_end_and_leave_nothing(self, mysql_database: MySQLDatabase, code: int) -> None:
        attempts = 0

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute(ADD_ONE, {"name": "ann"})
            await transaction.execute(f"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = {code}")

        with pytest.raises(DBConnectionError, match="too busy"):
            await mysql_database.write(work)
        assert attempts == 10
        assert await scalar(mysql_database, "SELECT GROUP_CONCAT(password_hash) FROM users") == "0,0"

    async def test_a_failure_that_would_repeat_is_not_retried(self, mysql_database: MySQLDatabase) -> None:
        attempts = 0

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute("INSERT INTO users (name, password_hash) VALUES ('ann', '0')")

        with pytest.raises(ConstraintViolationError):
            await mysql_database.write(work)
        assert attempts == 1

    async def test_a_single_statement_is_retried(self, mysql_database: MySQLDatabase) -> None:
        """Both lock a row, and then the other's."""
        names = [f"user-{number}" for number in range(20)]
        for name in names:
            await mysql_database.execute("INSERT INTO users (name, password_hash) VALUES (:name, '0')", {"name": name})
        statement = "UPDATE users SET password_hash = password_hash + 1 ORDER BY name"
        await asyncio.gather(*(mysql_database.execute(f"{statement} {way}", {}) for way in ("ASC", "DESC") * 10))
        assert await scalar(mysql_database, "SELECT GROUP_CONCAT(DISTINCT password_hash) FROM users") == "20"


class TestLostConnections:
    """Work whose connection ends in the midst of it."""

    @pytest.fixture(autouse=True)
    async def _user(self, mysql_database: MySQLDatabase) -> None:
        await mysql_database.execute("INSERT INTO users (name, password_hash) VALUES ('ann', '0')")

    async def kill(self, operator: MySQLDatabase, *, seconds: float = 0.1) -> None:
        """End the connections to the database that do something, except the one that does this."""
        await asyncio.sleep(seconds)
        async with operator.dedicated() as cursor:
            await cursor.execute(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID() AND (command <> 'Sleep' OR time > 900)"
            )
            found = await cursor.fetchall()
            assert found
            for (victim,) in found:
                await cursor.execute("KILL %(victim)s", {"victim": victim})

    @pytest.mark.filterwarnings("ignore:.*processlist.*deprecated")
    async def test_a_read_is_repeated(self, mysql_database: MySQLDatabase) -> None:
        reading = asyncio.create_task(mysql_database.fetch_all("SELECT name, SLEEP(0.4) FROM users"))
        await self.kill(mysql_database)
        assert [name for name, _ in await reading] == ["ann"]

    @pytest.mark.filterwarnings("ignore:.*processlist.*deprecated")
    async def test_a_transaction_is_repeated_before_its_commit(self, mysql_database: MySQLDatabase) -> None:
        attempts = 0

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute(ADD_ONE, {"name": "ann"})
            await transaction.fetch_all("SELECT SLEEP(0.4)")

        writing = asyncio.create_task(mysql_database.write(work))
        await self.kill(mysql_database)
        await writing
        assert (attempts, await scalar(mysql_database, "SELECT password_hash FROM users")) == (2, "1")

    @pytest.mark.filterwarnings("ignore:.*processlist.*deprecated")
    async def test_a_single_statement_is_not_repeated(self, mysql_database: MySQLDatabase) -> None:
        statement = "UPDATE users SET password_hash = password_hash + 1 + SLEEP(0.4)"
        writing = asyncio.create_task(mysql_database.execute(statement))
        await self.kill(mysql_database)
        with pytest.raises(DBConnectionError):
            await writing

    async def test_a_commit_is_not_repeated(
        self, mysql_url: str, mysql_database: MySQLDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempts = 0

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute(ADD_ONE, {"name": "ann"})

        async def lose(connection: Any) -> None:
            connection.close()
            raise err.OperationalError(2013, "Lost connection to MySQL server during query")

        monkeypatch.setattr(cluster.connection_class(driver_of(mysql_url)), "commit", lose)
        with pytest.raises(DBConnectionError):
            await mysql_database.write(work)
        assert attempts == 1

    @pytest.mark.parametrize("code", [1047, 1290, 1836])
    async def test_a_statement_that_a_server_refuses_is_repeated_elsewhere(
        self, mysql_database: MySQLDatabase, code: int
    ) -> None:
        used: list[object] = []

        async def work(transaction: Transaction) -> None:
            ((connection,),) = await transaction.fetch_all("SELECT CONNECTION_ID()")
            used.append(connection)
            if len(used) == 1:
                await transaction.execute(f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}")

        await mysql_database.write(work)
        assert len(set(used)) == 2

    @pytest.mark.parametrize("code", [1047, 1053, 1158, 1159, 1160, 1161, 1180, 1290, 1836, 3100])
    async def test_each_code_of_a_server_that_is_away_is_a_connection_error(
        self, mysql_database: MySQLDatabase, code: int
    ) -> None:
        for run in (mysql_database.fetch_all, mysql_database.execute):
            with pytest.raises(DBConnectionError) as caught:
                await run(f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}")
            assert caught.value.retry_after > 0

    async def test_a_server_that_hangs_is_given_up_early(self, throwaway_mysql_server: ThrowawayServer) -> None:
        server = throwaway_mysql_server
        with server.new_database() as url:
            async with opened(url, connect_timeout=0.5) as database:
                await hold(database, 0)
                server.freeze()
                started = time.monotonic()
                with pytest.raises(DBConnectionError):
                    await database.execute("SELECT 1")
                assert time.monotonic() - started < 5
                server.thaw()
                assert await scalar(database, "SELECT 1") == 1

    async def test_a_server_that_works_for_long_is_not_given_up(self, mysql_database: MySQLDatabase) -> None:
        assert await scalar(mysql_database, "SELECT SLEEP(2.5)") == 0


async def has_isolated_snapshots(database: MySQLDatabase) -> bool:
    """Whether the server is a MariaDB that can refuse to lock rows changed since a transaction's snapshot."""
    async with database.autocommit() as cursor:
        return bool(await cursor.execute("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"))


@pytest.mark.filterwarnings("ignore:.*processlist.*deprecated")
class TestPool:
    """The order in which waiters get connections."""

    async def test_there_are_never_more_connections_than_the_pool_holds(self, empty_mysql_url: str) -> None:
        async with opened(empty_mysql_url, pool_size=3) as database:
            working = [asyncio.create_task(hold(database, 0.05)) for _ in range(12)]
            await asyncio.sleep(0.06)
            assert await connection_count(database) == 3
            await asyncio.gather(*working)

    async def test_connections_are_used_again(self, mysql_url: str) -> None:
        async with opened(mysql_url) as database:
            assert len({await scalar(database, "SELECT CONNECTION_ID()") for _ in range(5)}) == 1

    async def test_waiters_are_served_in_order(self, mysql_url: str) -> None:
        served: list[int] = []

        async def work(number: int) -> None:
            await hold(database, 0.001)
            served.append(number)

        async with opened(mysql_url, pool_size=1) as database:
            await asyncio.gather(*(work(number) for number in range(20)))
        assert served == list(range(20))

    async def test_waiting_for_a_connection_has_an_end(self, mysql_url: str) -> None:
        async with opened(mysql_url, pool_size=1, connect_timeout=0.1) as database:
            holder = asyncio.create_task(hold(database, 0.5))
            await asyncio.sleep(0.05)
            with pytest.raises(DBConnectionError):
                await scalar(database, "SELECT 1")
            await holder
            assert await scalar(database, "SELECT 1") == 1

    async def test_a_waiter_gets_the_place_of_one_that_is_cancelled(self, mysql_url: str) -> None:
        async with opened(mysql_url, pool_size=1) as database:
            holder = asyncio.create_task(hold(database))
            await asyncio.sleep(0.05)
            waiter = asyncio.create_task(scalar(database, "SELECT 1"))
            await asyncio.sleep(0)
            holder.cancel()
            assert await asyncio.wait_for(waiter, 1) == 1

    async def test_a_cancelled_waiter_takes_no_connection(self, mysql_url: str) -> None:
        async with opened(mysql_url, pool_size=1) as database:
            for _ in range(20):
                tasks = [asyncio.create_task(hold(database, 0.001)) for _ in range(4)]
                await asyncio.sleep(0.001)
                tasks[1].cancel()
                tasks[2].cancel()
                await asyncio.wait(tasks)
            assert await asyncio.wait_for(scalar(database, "SELECT 1"), 1) == 1

    async def test_work_has_an_end(self, mysql_url: str) -> None:
        async with opened(mysql_url, pool_size=1, timeout=0.1) as database:
            for context in (database.autocommit, database.transaction):
                with pytest.raises(DBConnectionError):
                    async with context() as cursor:
                        await cursor.execute("SELECT SLEEP(10)")
            assert await scalar(database, "SELECT 1") == 1

    async def test_a_connection_that_was_idle_for_long_is_not_used(self, mysql_url: str) -> None:
        async with opened(mysql_url, idle_timeout=0.05) as database:
            before = await scalar(database, "SELECT CONNECTION_ID()")
            await asyncio.sleep(0.1)
            assert await scalar(database, "SELECT CONNECTION_ID()") != before

    async def test_close_ends_every_connection(self, empty_mysql_url: str) -> None:
        async with opened(empty_mysql_url) as observer, opened(empty_mysql_url) as database:
            await asyncio.gather(*(hold(database, 0.01) for _ in range(5)))
            working = asyncio.create_task(hold(database, 0.1))
            await asyncio.sleep(0.05)
            await database.close()
            await working
            async with asyncio.timeout(5):
                while await connection_count(observer):  # noqa: ASYNC110 -- the server takes note in its own time
                    await asyncio.sleep(0.01)
            with pytest.raises(DBConnectionError, match="closed"):
                await scalar(database, "SELECT 1")


class TestRoom:
    """A server that has no room for another connection (1040), or none for this user (1203, 1226)."""

    @pytest.fixture
    def crowded(self) -> Iterator[tuple[ThrowawayServer, str]]:
        """A server on which bounds may be set, and the URL of a user on it that is no administrator."""
        with ThrowawayServer("--max-user-connections=1000") as server, server.new_database() as url:
            name = parse_url(url)["db"]
            server.execute("CREATE USER ann IDENTIFIED BY 'secret'")
            server.execute(f"GRANT ALL ON {name}.* TO ann")
            yield server, server.tcp_url(name, "ann", "secret")

    @pytest.mark.parametrize(
        "statement",
        [
            "SET GLOBAL max_connections = 10",
            "SET GLOBAL max_user_connections = 4",
            "ALTER USER ann WITH MAX_USER_CONNECTIONS 4",
        ],
    )
    async def test_a_connection_of_ones_own_is_waited_for(
        self, crowded: tuple[ThrowawayServer, str], statement: str
    ) -> None:
        server, url = crowded
        server.execute(statement)
        async with opened(url, pool_size=16) as database:
            await asyncio.gather(*(hold(database, 0.05) for _ in range(40)))

    async def test_waiting_for_room_has_an_end(self, crowded: tuple[ThrowawayServer, str]) -> None:
        server, url = crowded
        server.execute("SET GLOBAL max_user_connections = 2")
        async with opened(url) as crowd, opened(url, connect_timeout=0.3) as database:
            holders = [asyncio.create_task(hold(crowd, 1)) for _ in range(2)]
            await asyncio.sleep(0.2)
            with pytest.raises(DBConnectionError, match="too busy"):
                await scalar(database, "SELECT 1")
            await asyncio.gather(*holders)

    async def test_room_that_others_make_is_taken(self, crowded: tuple[ThrowawayServer, str]) -> None:
        server, url = crowded
        server.execute("SET GLOBAL max_user_connections = 2")
        async with opened(url) as crowd, opened(url) as database:
            await asyncio.gather(*(hold(crowd, 0.1) for _ in range(2)))
            waiting = asyncio.create_task(scalar(database, "SELECT 1"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await crowd.close()
            assert await waiting == 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of two authorities, and those that one of them has signed."""
    folder = tmp_path_factory.mktemp("tls")
    Authority.in_folder(folder, "other-ca")
    authority = Authority.in_folder(folder, "ca")
    authority.issue("server", "127.0.0.1")
    authority.issue("stranger", "db.example")
    authority.issue("expired", "127.0.0.1", days=-1)
    return folder


class TestTLS:
    """Encrypted connections, and servers with another identity."""

    @contextlib.contextmanager
    def server(self, certificates: Path, name: str = "server", *options: str) -> Iterator[str]:
        """Give the URL of a server with this certificate, by which ann reaches it over TCP; bob has to come by TLS."""
        files = (f"--ssl-ca={certificates}/ca.pem", f"--ssl-cert={certificates}/{name}.pem")
        with (
            ThrowawayServer(*files, f"--ssl-key={certificates}/{name}.key", *options) as server,
            server.new_database() as url,
        ):
            database = parse_url(url)["db"]
            server.execute("CREATE USER ann IDENTIFIED BY 'secret'")
            server.execute("CREATE USER bob IDENTIFIED BY 'secret' REQUIRE SSL")
            server.execute(f"GRANT ALL ON {database}.* TO ann, bob")
            yield server.tcp_url(database, "ann", "secret")

    async def test_each_way_is_encrypted(self, certificates: Path) -> None:
        with self.server(certificates) as url:
            async with opened(url) as database:
                assert await cipher(database) == ""
            for options in (
                "tls=required",
                f"ssl_ca={certificates}/ca.pem",
                f"tls=verify-ca&ssl_ca={certificates}/ca.pem",
                f"tls=verify-identity&ssl_ca={certificates}/ca.pem",
            ):
                async with opened(f"{url}?{options}") as database:
                    assert await cipher(database)
                    await hold(database, 0)

    async def test_a_certificate_of_another_ca_is_refused(self, certificates: Path) -> None:
        with self.server(certificates) as url:
            for options in (f"ssl_ca={certificates}/other-ca.pem", "tls=verify-ca", "tls=verify-identity"):
                async with opened(f"{url}?{options}") as database:
                    with pytest.raises(DBConnectionError, match="not signed by a CA that is trusted"):
                        await scalar(database, "SELECT 1")

    async def test_a_certificate_for_another_host_is_refused(self, certificates: Path) -> None:
        with self.server(certificates, "stranger") as url:
            async with opened(f"{url}?ssl_ca={certificates}/ca.pem") as database:
                assert await cipher(database)
            async with opened(f"{url}?ssl_ca={certificates}/ca.pem&tls=verify-identity") as database:
                with pytest.raises(DBConnectionError, match="for another host name"):
                    await scalar(database, "SELECT 1")

    async def test_a_certificate_that_has_expired_is_refused(self, certificates: Path) -> None:
        with self.server(certificates, "expired") as url:
            async with opened(f"{url}?ssl_ca={certificates}/ca.pem") as database:
                with pytest.raises(DBConnectionError, match="has expired"):
                    await scalar(database, "SELECT 1")

    async def test_a_server_that_demands_tls_is_named(self, certificates: Path) -> None:
        # MariaDB 10.11 says no more than that it refuses the login.
        with self.server(certificates, "server", "--require-secure-transport=ON") as url:
            async with opened(url) as database:
                with pytest.raises(DBConnectionError, match=r"(demand TLS|encrypted connections only) \(\?tls="):
                    await scalar(database, "SELECT 1")
            async with opened(f"{url}?tls=required") as database:
                assert await cipher(database)

    async def test_a_user_that_has_to_come_by_tls_is_told(self, certificates: Path) -> None:
        with self.server(certificates) as url:
            bobs = url.replace("//ann:", "//bob:")
            async with opened(f"{bobs}?tls=required") as database:
                assert await cipher(database)
            async with opened(bobs) as database:
                with pytest.raises(DBConnectionError, match="it may demand TLS"):
                    await scalar(database, "SELECT 1")

    async def test_a_server_without_tls_gets_no_login(self) -> None:
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The first packet of a server that lacks the capability CLIENT_SSL.
            low, high = ((0xFFFFFFFF & ~CLIENT.SSL) >> bits & 0xFFFF for bits in (0, 16))
            greeting = b"\x0a8.0.0\0\1\0\0\x0012345678\0" + struct.pack("<HBHHB10x", low, 45, 2, high, 21)
            greeting += b"123456789012\0mysql_native_password\0"
            writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            data = await reader.read()
            writer.close()
            await writer.wait_closed()
            received.set_result(data)

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with opened(f"mysql://ann:secret@127.0.0.1:{port}/pixy?tls=required") as database:
            with pytest.raises(DBConnectionError, match="offers no TLS"):
                await scalar(database, "SELECT 1")
        assert await received == b""
        server.close()
        await server.wait_closed()


async def cipher(database: MySQLDatabase) -> str:
    """Return the connection's cipher, if any."""
    async with database.autocommit() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        _, name = await cursor.fetchone()
    return str(name)


class TestAbsence:
    """A server that is not there, or no longer, or again."""

    async def test_open_needs_no_server(self) -> None:
        async with opened("mysql://ann:hunter2@127.0.0.1:1/pixy") as database:
            with pytest.raises(DBConnectionError) as caught:
                await database.images.check()
        assert "127.0.0.1" not in caught.value.detail

    async def test_a_missing_socket_is_a_connection_error(self, tmp_path: Path) -> None:
        async with opened(f"mysql://ann@/pixy?unix_socket={tmp_path}/none") as database:
            with pytest.raises(DBConnectionError):
                await database.users.list()

    async def test_a_wrong_password_is_a_connection_error_without_names(self, mysql_server: MySQLServer) -> None:
        async with opened(mysql_server.url("pixy", login="unknown-login:hunter2")) as database:
            with pytest.raises(DBConnectionError) as caught:
                await scalar(database, "SELECT 1")
        assert "unknown-login" not in caught.value.detail

    async def test_a_missing_database_is_a_connection_error(self, mysql_server: MySQLServer) -> None:
        async with opened(mysql_server.url("no_such_database")) as database:
            with pytest.raises(DBConnectionError) as caught:
                await scalar(database, "SELECT 1")
        assert "no_such_database" not in caught.value.detail

    async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(self) -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with opened(f"mysql://ann@127.0.0.1:{port}/pixy", pool_size=2, connect_timeout=0.2) as database:
            started = time.monotonic()
            results = await asyncio.gather(*(scalar(database, "SELECT 1") for _ in range(8)), return_exceptions=True)
            assert {type(result) for result in results} == {DBConnectionError}
            assert time.monotonic() - started < 2
        server.close()
        await server.wait_closed()

    async def test_a_connection_that_the_server_has_ended_is_replaced(self, mysql_url: str) -> None:
        async with opened(mysql_url) as database, opened(mysql_url) as operator:
            victim = await scalar(database, "SELECT CONNECTION_ID()")
            async with operator.autocommit() as cursor:
                await cursor.execute("KILL %(victim)s", {"victim": victim})
            await asyncio.sleep(0.05)
            assert await scalar(database, "SELECT CONNECTION_ID()") != victim

    @pytest.mark.parametrize("way", ["stop", "kill"])
    async def test_a_restarted_server_is_found_again(self, throwaway_mysql_server: ThrowawayServer, way: str) -> None:
        server = throwaway_mysql_server
        with server.new_database() as url:
            async with opened(url, pool_size=8) as database:
                await database.schema.upgrade()
                users = database.users
                await asyncio.gather(*(hold(database, 0.02) for _ in range(8)))
                working = asyncio.create_task(hold(database))
                await asyncio.sleep(0.05)
                # Blocking: nothing of the loop runs while the server goes away and comes back.
                getattr(server, way)()
                server.start()
                with contextlib.suppress(DBConnectionError):
                    assert await users.list() == []
                assert await asyncio.gather(*(users.list() for _ in range(8))) == [[]] * 8
                # MySQL ends a SLEEP when it is stopped, and lets the statement return.
                (ended,) = await asyncio.gather(working, return_exceptions=True)
                assert isinstance(ended, DBConnectionError) or (way, ended) == ("stop", None)

    async def test_a_stopped_server_is_a_connection_error_until_it_is_back(
        self, throwaway_mysql_server: ThrowawayServer
    ) -> None:
        server = throwaway_mysql_server
        with server.new_database() as url:
            async with opened(url) as database:
                assert await scalar(database, "SELECT 1") == 1
                server.stop()
                for _ in range(3):
                    with pytest.raises(DBConnectionError):
                        await scalar(database, "SELECT 1")
                server.start()
                assert await scalar(database, "SELECT 1") == 1


class TestEnvironment:
    """Servers and machines that are set up in another way."""

    async def test_passwords_may_have_any_character(self, throwaway_mysql_server: ThrowawayServer) -> None:
        server = throwaway_mysql_server
        password = "p:/?#[]@!$&'()*+,;=% é 😀 \\"
        with server.new_database() as url:
            name = parse_url(url)["db"]
            server.execute("CREATE USER 'ann@work'@'%%' IDENTIFIED BY %(password)s", {"password": password})
            server.execute(f"GRANT ALL ON {name}.* TO 'ann@work'@'%'")
            async with opened(server.tcp_url(name, "ann@work", password)) as database:
                assert await scalar(database, "SELECT 1") == 1

    async def test_no_setting_of_server_or_machine_changes_stored_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        try:
            with (
                ThrowawayServer(
                    "--default-time-zone=-07:30",
                    "--character-set-server=latin1",
                    "--collation-server=latin1_swedish_ci",
                    "--loose-skip-character-set-client-handshake",
                    "--sql-mode=",
                    "--transaction-isolation=READ-UNCOMMITTED",
                    # The server runs this for each new connection of a user that is no administrator.
                    "--init-connect=SET NAMES latin1; SET SESSION time_zone = '+05:00'",
                ) as server,
                server.new_database() as url,
            ):
                name = parse_url(url)["db"]
                server.execute("CREATE USER ann IDENTIFIED BY 'secret'")
                server.execute(f"GRANT ALL ON {name}.* TO ann")
                async with opened(server.tcp_url(name, "ann", "secret")) as database:
                    await database.schema.upgrade()
                    images = database.images
                    image = await images.add(ImageFactory.build(prompt="😀 é", tags=("ß", "😀")))
                    assert await images.get(image.guid) == image
                    stored = await scalar(database, "SELECT UNIX_TIMESTAMP(created_at) FROM images")
                    assert str(stored) == f"{image.created_at.timestamp():.6f}"
                    (status, *_) = await database.schema.status()
                    assert status.applied_at
                    assert abs(status.applied_at.timestamp() - time.time()) < 60
                    async with database.transaction() as cursor:
                        await cursor.execute("UPDATE images SET filename = 'another.png'")
                        assert await images.get(image.guid) == image
        finally:
            monkeypatch.undo()
            time.tzset()
