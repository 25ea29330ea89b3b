"""A real browser, and the stand-in OpenAI server in a process of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Page, sync_playwright

from tests.doubles.openai_server import KEY
from tests.real_parts import lack

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    node, _ = compute_driver_executable()
    chromium = shutil.which("chromium")
    if not chromium or subprocess.run([node, "--version"], check=False, capture_output=True).returncode:
        lack(
            "Chromium or the library of Playwright's Node",
            "apt-get install -y --no-install-recommends chromium libatomic1",
        )
    return chromium


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page()
        browser.close()


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    """Start the stand-in, which takes `KEY` alone, and give its address."""
    command = [sys.executable, "-m", "tests.doubles.openai_server", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        process.terminate()
