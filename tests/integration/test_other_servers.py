"""The contracts of the database's adapters, on other servers than the machine's and with another driver."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import real_parts
from tests.documents import ROOT
from tests.doubles.mariadb import OTHER_REMEDY, ThrowawayServer, other_server

CONTRACTS = ROOT / "tests" / "contracts"
INTEGRATION = ROOT / "tests" / "integration"
LOGIN = "ro%40ot:p%3A%2F%40%20root"


def check(folder: Path, environment: Mapping[str, str], *paths: Path) -> None:
    """Run those of the tests that are about MySQL in an environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIXYPROXY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}", "-k", "mysql", *paths],
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_the_contracts_hold_on_another_server(tmp_path: Path, kind: str) -> None:
    folder = other_server(kind)
    if folder is None:
        real_parts.lack(f"another {kind} server", OTHER_REMEDY.format(kind=kind), may_lack=True)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    check(tmp_path / "run", {"PATH": path}, CONTRACTS, *sorted(INTEGRATION.glob("test_mysql_*.py")))


@pytest.mark.timeout(900)
def test_the_contracts_hold_with_asyncmy(tmp_path: Path) -> None:
    check(
        tmp_path / "run",
        {"PIXYPROXY_TEST_MYSQL_DRIVER": "asyncmy"},
        CONTRACTS,
        *(INTEGRATION / f"test_mysql_{about}.py" for about in ("batch_loader", "database")),
    )


@pytest.mark.timeout(300)
def test_the_tests_need_no_more_of_a_user_than_databases_of_their_own(
    tmp_path: Path, throwaway_mysql_server: ThrowawayServer
) -> None:
    server = throwaway_mysql_server
    server.execute("CREATE USER 'ro@ot'@'localhost' IDENTIFIED BY 'p:/@ root'")
    server.execute(r"GRANT ALL ON `pixyproxy\_test\_%`.* TO 'ro@ot'@'localhost'")
    url = server.url("", login=LOGIN)
    check(
        tmp_path / "run",
        {"PIXYPROXY_TEST_MYSQL_URL": url},
        CONTRACTS / "test_user_repository.py",
        CONTRACTS / "test_schema.py",
        INTEGRATION / "test_mysql_database.py",
    )
