"""A Galera cluster of up to three MariaDB nodes on the loopback, and what may happen to a node."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar
from uuid import uuid4

import pymysql

from tests import real_parts
from tests.doubles.mariadb import MySQLServer

_PACKAGES: Final = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "rsync": "rsync",
    "socat": "socat",
    "lsof": "lsof",
}
_LIBRARIES: Final = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
_SEARCH_PATH = os.pathsep.join(["/usr/sbin", "/usr/bin", os.environ.get("PATH", os.defpath)])
_FAKETIME: Final = "faketime/libfaketimeMT.so.1"

# Below those that the system gives to clients: nothing else takes one before the node does.
_PORTS: Final = range(20_000, 32_000)
_PORTS_OF_A_NODE: Final = 4
_LOGIN: Final = "pixy:secret"
_START_SECONDS: Final = 60.0

T = TypeVar("T")

_PROVIDER: Final = (
    "gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{ist};base_port={group};gcache.size=64M;"
    "pc.announce_timeout=PT0.3S;evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;"
    "evs.install_timeout=PT4S;pc.recovery=FALSE"
)


def skewed(seconds: float) -> Mapping[str, str]:
    """Return the environment of a process whose clock is wrong by `seconds`, and whose monotonic clock is right."""
    found = next((path for folder in ("/usr/lib", "/usr/lib64") for path in Path(folder).glob(f"**/{_FAKETIME}")), None)
    if found is None:
        real_parts.lack("libfaketime", "apt-get install -y --no-install-recommends faketime")
    return {"LD_PRELOAD": str(found), "FAKETIME": f"{seconds:+}s", "DONT_FAKE_MONOTONIC": "1"}


class GaleraNode(MySQLServer):
    """A node, with its folder and its port; `environment` is that of its next start.

    The user of its URLs may do anything in the databases of tests, which are the cluster's.
    """

    def __init__(self, name: str, folder: Path, ports: tuple[int, ...], members: str, library: str) -> None:
        self.name = name
        self.folder = folder
        self.port, self._group, self._ist, self._sst = ports
        self.environment: Mapping[str, str] = {}
        self.socket = folder / "socket"
        self._members = members
        self._library = library
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"mysql://{_LOGIN}@127.0.0.1:{self.port}/")

    @property
    def is_running(self) -> bool:
        """Whether it has a process, which may be frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def state(self) -> str:
        """The state that the node reports (`Synced` when it is usable), empty while it can't be asked."""
        status = self._status()
        return status.get("wsrep_local_state_comment", "") if status.get("wsrep_ready") == "ON" else ""

    @property
    def cluster_size(self) -> int:
        """The number of nodes that it sees, 0 while it can't be asked."""
        return int(self._status().get("wsrep_cluster_size", 0))

    def start(self, *, is_first: bool = False) -> None:
        """Start the node and return when it is usable; the first one founds the cluster.

        Call it in a thread that outlives the node: where that thread ends, the system stops the node.
        """
        self.launch(is_first=is_first)
        deadline = time.monotonic() + _START_SECONDS
        while self.state != "Synced":
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{(self.folder / 'log').read_text()[-4_000:]}")
            time.sleep(0.05)

    def launch(self, *, is_first: bool = False) -> None:
        """Start the node, as `start` does, and return at once."""
        if is_first:
            state = self.folder / "data" / "grastate.dat"
            with suppress(FileNotFoundError):
                state.write_text(state.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []),
                    *self._command(),
                    *(["--wsrep-new-cluster"] if is_first else []),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                user="mysql" if os.geteuid() == 0 else None,
                group="mysql" if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )

    def stop(self) -> None:
        """Stop the node as an operator would, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a crash would, if it runs."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let the node keep its connections and answer nothing, until `thaw`; the others go on without it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def isolate(self) -> None:
        """Cut the node off from the others, so that it refuses all work (1047), until `rejoin`."""
        self._set("wsrep_provider_options = 'gmcast.isolate=1'")
        deadline = time.monotonic() + _START_SECONDS
        while self.state == "Synced":
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def rejoin(self) -> None:
        """Undo `isolate`; the node is usable again after seconds."""
        self._set("wsrep_provider_options = 'gmcast.isolate=0'")

    def set_read_only(self, is_read_only: bool) -> None:
        """Have the node refuse writes (1290) of all but administrators, or take them."""
        self._set(f"read_only = {int(is_read_only)}")

    def install(self) -> None:
        """Make the data folder of a new server."""
        self.folder.mkdir()
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        subprocess.run(
            [
                str(_find("mariadb-install-db")),
                "--no-defaults",
                *user,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={self.folder / 'data'}",
                "--innodb-flush-method=nosync",
                "--innodb-log-file-size=8M",
            ],
            capture_output=True,
            check=True,
        )

    def found(self) -> None:
        """Found the cluster, with the user of the URLs."""
        self.start(is_first=True)
        user, _, password = _LOGIN.partition(":")
        self._as_root(
            f"CREATE USER {user} IDENTIFIED BY '{password}'",
            rf"GRANT ALL ON `pixyproxy\_test\_%`.* TO {user}",
        )

    def _command(self) -> list[str]:
        options = {
            "datadir": self.folder / "data",
            "tmpdir": self.folder,
            "socket": self.socket,
            "pid-file": self.folder / "pid",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "skip-name-resolve": 1,
            "binlog-format": "ROW",
            "default-storage-engine": "InnoDB",
            "innodb-autoinc-lock-mode": 2,
            "innodb-flush-method": "nosync",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-log-file-size": "8M",
            "innodb-buffer-pool-size": "32M",
            "performance-schema": "OFF",
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_unicode_ci",
            "wsrep-on": "ON",
            "wsrep-provider": self._library,
            "wsrep-provider-options": _PROVIDER.format(group=self._group, ist=self._ist),
            "wsrep-cluster-name": "pixy",
            "wsrep-cluster-address": f"gcomm://{self._members}",
            "wsrep-node-name": self.name,
            "wsrep-node-address": f"127.0.0.1:{self._group}",
            "wsrep-node-incoming-address": f"127.0.0.1:{self.port}",
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"127.0.0.1:{self._sst}",
            "wsrep-slave-threads": 2,
        }
        # In a file: the script that copies one node to another reads the same.
        file = self.folder / "my.cnf"
        file.write_text("[mysqld]\n" + "".join(f"{name}={value}\n" for name, value in options.items()))
        return [str(_find("mariadbd")), f"--defaults-file={file}"]

    def _status(self) -> Mapping[str, str]:
        # The driver leaves the socket open if nothing listens.
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(self.socket)):
                return {}
        try:
            rows = self._as_root("SHOW STATUS LIKE 'wsrep\\_%'")
        except (pymysql.MySQLError, OSError):
            return {}
        return dict(rows)

    def _set(self, assignment: str) -> None:
        self._as_root(f"SET GLOBAL {assignment}")

    def _as_root(self, *statements: str) -> list[tuple[str, str]]:
        with (
            pymysql.connect(
                user="root", unix_socket=str(self.socket), read_timeout=5, autocommit=True, charset="utf8mb4"
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            # A frozen one would not end.
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
            self._process = None


class GaleraCluster:
    """A context manager that starts `size` nodes; `heal` undoes all that was done to them.

    Where the programs are missing, the test is skipped.
    """

    def __init__(self, size: int = 3) -> None:
        missing = [package for program, package in _PACKAGES.items() if _find(program) is None]
        library = next(filter(os.path.exists, _LIBRARIES), None)
        if library is None:
            missing.append("galera-4")
        if missing or library is None:
            packages = " ".join(dict.fromkeys(missing))
            real_parts.lack("a Galera cluster", f"apt-get install -y --no-install-recommends {packages}")
        self.folder = Path(tempfile.mkdtemp(prefix="pixyproxy-galera-"))
        ports = _free_ports(size * _PORTS_OF_A_NODE)
        groups = [tuple(ports[at : at + _PORTS_OF_A_NODE]) for at in range(0, len(ports), _PORTS_OF_A_NODE)]
        members = ",".join(f"127.0.0.1:{group[1]}" for group in groups)
        self.nodes = [
            GaleraNode(f"node-{number}", self.folder / f"node-{number}", group, members, library)
            for number, group in enumerate(groups, start=1)
        ]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The data goes with them.
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, *, scheme: str = "mysql", first: int = 0) -> str:
        """Return the URL of a database on all nodes, in their order from the node at `first`."""
        nodes = self.nodes[first:] + self.nodes[:first]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return f"{scheme}://{_LOGIN}@{hosts}/{database}"

    def create_database(self) -> str:
        """Create an empty database, which ends with the cluster, and return its name."""
        name = f"pixyproxy_test_{uuid4().hex[:12]}"
        self.usable_node().execute(f"CREATE DATABASE {name}")
        return name

    def usable_node(self) -> GaleraNode:
        """Return the first node that is usable; raise `RuntimeError` if none is after a while."""
        return self._wait(lambda: next((node for node in self.nodes if node.state == "Synced"), None))

    def heal(self) -> None:
        """Have all nodes run, together and writable, and return when they are."""
        for node in self.nodes:
            if node.is_running:
                node.thaw()
        if not any(node.is_running for node in self.nodes):
            self.nodes[0].start(is_first=True)
        for node in self.nodes:
            if node.is_running:
                # A thawed node may take a moment.
                self._wait(partial(self._undo, node))
        for node in self.nodes:
            if not node.is_running:
                node.launch()
        self.wait()

    def wait(self) -> None:
        """Return when all nodes that run see each other and are usable; raise `RuntimeError` after a while."""
        running = [node for node in self.nodes if node.is_running]
        assert running
        self._wait(lambda: all(node.state == "Synced" and node.cluster_size == len(running) for node in running))

    @staticmethod
    def _undo(node: GaleraNode) -> bool:
        try:
            node.rejoin()
            node.set_read_only(False)
        except (pymysql.MySQLError, OSError):
            return False
        return True

    @staticmethod
    def _wait(found: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + _START_SECONDS
        while not (result := found()):
            if time.monotonic() > deadline:
                raise RuntimeError("The cluster is not usable.")
            time.sleep(0.05)
        return result

    def _start(self) -> None:
        first, *others = self.nodes
        _give_to_mysql(self.folder)
        first.install()
        for node in others:
            shutil.copytree(first.folder, node.folder)
        _give_to_mysql(self.folder)
        first.found()
        for node in others:
            node.launch()
        self.wait()


def _give_to_mysql(folder: Path) -> None:
    """Have root's nodes run as another user: as root, one can't be copied to another."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "mysql:mysql", folder], check=True)


def _find(program: str) -> str | None:
    """Return the path of a program of the machine's own: those of `tests/second_server` know no Galera."""
    return shutil.which(program, path=_SEARCH_PATH)


def _free_ports(count: int) -> list[int]:
    free = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise RuntimeError("Too few ports are free.")
