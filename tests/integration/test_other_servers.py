"""The contracts of the database's adapters, on other servers than the machine's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import real_parts
from tests.documents import ROOT
from tests.doubles.mariadb import OTHER_REMEDY, other_server

SUITES = [ROOT / "tests" / "contracts", *sorted((ROOT / "tests" / "integration").glob("test_mysql_*.py"))]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_the_contracts_hold_on_another_server(tmp_path: Path, kind: str) -> None:
    folder = other_server(kind)
    if folder is None:
        real_parts.lack(f"another {kind} server", OTHER_REMEDY.format(kind=kind), may_lack=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIXYPROXY_"))}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path}/run",
            "-k",
            "mysql",
            *SUITES,
        ],
        cwd=ROOT,
        env={**inherited, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
