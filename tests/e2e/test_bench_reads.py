"""`make bench-reads` works: a run of seconds, whose figures mean nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import real_parts
from tests.documents import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
# On a busy machine the slowest peer takes more than a second for its first lists.
QUICK = {"PIXYPROXY_BENCH_SECONDS": "3", "PIXYPROXY_BENCH_ROUNDS": "1", "PIXYPROXY_BENCH_IMAGES": "200"}
APT = "apt-get install -y --no-install-recommends"


@pytest.mark.timeout(300)
def test_a_quick_run_has_figures_of_all_servers_and_leaves_the_page_as_it_is(tmp_path: Path) -> None:
    for program, package in (("wrk", "wrk"), ("nginx", "nginx"), ("mariadbd", "mariadb-server")):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            real_parts.lack(program, f"{APT} {package}")
    page, figures = PAGE.read_bytes(), tmp_path / "figures.json"
    command: list[str | Path] = [
        sys.executable,
        "bench/reads.py",
        "--only",
        "details,list,thumbnail,creation",
        "--json",
        figures,
    ]
    environment = {**os.environ, **QUICK, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    found = json.loads(figures.read_text(encoding="utf-8"))
    turns = {(what, name): turn for what, by_name in found["turns"].items() for name, (turn,) in by_name.items()}
    # Peers that need mysql-connector-python may be missing: the tests don't require it.
    assert {key for key in turns if "original" not in key[1]} == {
        ("details", "PixyProxy"),
        ("details", "bare Litestar handler"),
        ("details", "FastAPI + aiomysql"),
        ("details", "FastAPI + aiomysql, 5 columns"),
        ("list of 100", "PixyProxy"),
        ("list of 100", "bare Litestar handler"),
        ("list of 100", "FastAPI + aiomysql"),
        ("list of 100", "FastAPI + aiomysql, 5 columns"),
        ("a thumbnail that exists", "PixyProxy"),
        ("a thumbnail that exists", "bare Litestar handler"),
        ("a thumbnail that exists", "nginx"),
    }
    assert all(turn["requests_per_second"] > 0 and turn["cpu_us"] > 0 for turn in turns.values())
    assert all(target["figure"] > 0 for target in found["targets"])
    assert PAGE.read_bytes() == page
