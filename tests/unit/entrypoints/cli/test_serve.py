"""The application that `pixyproxy serve` runs."""

import subprocess
import sys
from pathlib import Path

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
