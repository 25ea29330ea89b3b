"""A MySQL or MariaDB server for tests: a given one, or a throwaway one."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pymysql
from pymysql.cursors import Cursor

from pixyproxy.adapters.mysql.url import parse_url
from tests import real_parts
from tests.doubles.processes import freeze

CLIENT_REMEDY = "apt-get install -y --no-install-recommends mariadb-client"
OTHER_REMEDY = "tests/second_server {kind}, which needs apt and a mirror of Debian"

_REMEDY = (
    "apt-get install -y --no-install-recommends mariadb-server,"
    " or set PIXYPROXY_TEST_MYSQL_URL to a server with the right to create databases"
)

Rows = tuple[tuple[Any, ...], ...]

# Where `tests/second_server` keeps servers of other versions; one of them is better than none.
_OTHERS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixyproxy"
_SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
        "/usr/local/sbin",
        "/usr/libexec",
        *map(str, sorted(_OTHERS.glob("*/bin"))),
    ]
)
_START_SECONDS = 30.0

# The driver that the tests use: aiomysql, unless this names another.
_SCHEME = "+".join(filter(None, ["mysql", os.environ.get("PIXYPROXY_TEST_MYSQL_DRIVER")]))


def other_server(kind: str) -> Path | None:
    """Return the folder with the programs of another server than the machine's: `mariadb` or `mysql`."""
    return next((done.with_name("bin") for done in _OTHERS.glob(f"{kind}-*/done")), None)


class MySQLServer:
    """A server that runs; takes a URL whose user may create databases, and which need not name one."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def url(self, database: str, *, login: str | None = None) -> str:
        """Return the URL of one of its databases, with its own login or another one."""
        own, at, place = self._url.netloc.rpartition("@")
        return self._url._replace(scheme=_SCHEME, netloc=f"{login or own}{at}{place}", path=f"/{database}").geturl()

    def execute(self, sql: str, parameters: Mapping[str, object] | None = None, *, database: str = "") -> Rows:
        """Run one statement and return its rows."""
        with self._cursor(database) as cursor:
            cursor.execute(sql, parameters)
            rows: Rows = cursor.fetchall()
            return rows

    def execute_all(self, statements: Iterable[str], *, database: str) -> None:
        """Run statements on one connection."""
        with self._cursor(database) as cursor:
            for sql in statements:
                cursor.execute(sql)

    @contextmanager
    def _cursor(self, database: str) -> Iterator[Cursor]:
        options = parse_url(self.url(database or "none"))
        name = options.pop("db")
        with (
            pymysql.connect(
                **options, database=name if database else None, charset="utf8mb4", autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """Create an empty database, give its URL, and drop it."""
        name = f"pixyproxy_test_{uuid4().hex[:12]}"
        # The collation is one that would fail the tests, were it not for the ones that the tables name.
        self.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")


class ThrowawayServer(MySQLServer):
    """A server of one's own: its data folder, its socket, its port on the loopback, and more `options` if need be.

    A context manager; `stop`, `kill` and `start` may be called within. Where there is no server to start, the test is
    skipped.
    """

    def __init__(self, *options: str) -> None:
        self._program = _find("mariadbd", "mysqld") or real_parts.lack("a MySQL or MariaDB server", _REMEDY)
        self.folder = Path(tempfile.mkdtemp(prefix="pixyproxy-"))
        self.socket = self.folder / "socket"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"mysql://root@localhost/?unix_socket={quote(str(self.socket))}")

    def __enter__(self) -> Self:
        try:
            self._install()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def tcp_url(self, database: str, user: str, password: str) -> str:
        """Return the URL by which a user reaches a database over TCP."""
        return f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # So that no server outlives a test run that was killed.
                    *(["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []),
                    *self._command(),
                    f"--socket={self.socket}",
                    f"--port={self.port}",
                    f"--pid-file={self.folder / 'pid'}",
                    "--bind-address=127.0.0.1",
                    "--skip-log-bin",
                    "--skip-name-resolve",
                    "--performance-schema=OFF",
                    "--innodb-doublewrite=0",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-buffer-pool-size=32M",
                    "--loose-mysqlx=OFF",
                    # As MySQL 8 has it; MariaDB would be laxer without a word.
                    "--character-set-server=utf8mb4",
                    "--collation-server=utf8mb4_unicode_ci",
                    "--sql-mode=ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server as an operator would, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would, if it runs."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let the server keep its connections and answer nothing, until `thaw`."""
        if self._process is not None:
            freeze(self._process.pid)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        # A frozen one does not end otherwise.
        self._signal(signal.SIGCONT)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def _command(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []
        folder = self.folder
        # Debian's MySQL looks for a folder of the system's that only the installed package makes.
        folders = [f"--datadir={folder / 'data'}", f"--tmpdir={folder}", f"--secure-file-priv={folder}"]
        return [self._program, "--no-defaults", *user, *folders]

    def _install(self) -> None:
        """Copy the data folder of a new server, which takes long to make: each process makes it once."""
        if self._program not in _new_servers:
            self._make()
            folder = Path(tempfile.mkdtemp(prefix="pixyproxy-new-server-"))
            atexit.register(shutil.rmtree, folder)
            _new_servers[self._program] = shutil.copytree(self.folder / "data", folder / "data")
        else:
            shutil.copytree(_new_servers[self._program], self.folder / "data")

    def _make(self) -> None:
        command = self._command()
        version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
        if "MariaDB" in version:
            installer = _find("mariadb-install-db", "mysql_install_db")
            assert installer is not None, "mariadbd is here and mariadb-install-db is not"
            command = [
                installer,
                *command[1:],
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-log-file-size=8M",
            ]
        else:
            command.append("--initialize-insecure")
        subprocess.run(command, capture_output=True, check=True)


_new_servers: dict[str, Path] = {}


def _find(*programs: str) -> str | None:
    """Return the path of the first program of these, by folder: `tests/second_server` puts its own first."""
    folders = _SEARCH_PATH.split(os.pathsep)
    found = (shutil.which(program, path=folder) for folder in folders for program in programs)
    return next(filter(None, found), None)
