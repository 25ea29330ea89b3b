"""A real browser."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Page, sync_playwright

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
