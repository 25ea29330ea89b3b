"""The application that `pixyproxy serve` runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from pixyproxy.entrypoints.cli.serve import _database
from pixyproxy.entrypoints.settings import load_settings

START = """
import asyncio, gc, os
from pixyproxy.entrypoints.cli.serve import application

async def receive():
    return {"type": "lifespan.startup"}

async def send(message):
    print(message["type"], gc.get_freeze_count() > 10_000, flush=True)
    os._exit(0)

asyncio.run(application()({"type": "lifespan"}, receive, send))
"""


def test_garbage_collections_skip_the_objects_of_the_start(tmp_path: Path) -> None:
    upgrade = [sys.executable, "-m", "pixyproxy", "db", "upgrade"]
    subprocess.run(upgrade, cwd=tmp_path, check=True, capture_output=True)
    started = subprocess.run([sys.executable, "-c", START], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "lifespan.startup.complete True" in started.stdout, started.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///x.db", "SQLite in x.db"),
        ("mysql://ann:hunter2@db.example:3307/pixy", "MySQL, pixy on db.example"),
        ("mysql://ann:hunter2@/pixy?unix_socket=/s", "MySQL, pixy on a local socket"),
        ("mysql://ann:hunter2@a,[::1]:3307/pixy", "MySQL, pixy on a:3306, [::1]:3307"),
    ],
)
def test_the_banner_names_the_database_without_its_login(url: str, shown: str) -> None:
    assert _database(load_settings({"PIXYPROXY_DATABASE_URL": url})) == shown
