"""The budget of the gallery in Chromium, and scrolling through 10,000 images.

    make bench-gallery                                          # writes docs/gallery.md
    PYTHONPATH=. .venv/bin/python bench/gallery.py              # the same, but the page stays as it is
    PYTHONPATH=. .venv/bin/python bench/gallery.py --images 600 --rounds 1

The service, the browser and its software rendering share the processors. The pictures cost as many bytes as photographs
do; their thumbnails were made before. Each page is loaded in a fresh context of the browser, with nothing cached.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from page import DOCS, write_results
from playwright.sync_api import Browser, Page, sync_playwright

from tests.doubles.service import Service, running_service
from tests.e2e.conftest import FLAGS
from tests.e2e.gallery.measuring import (
    BUDGET,
    DESKTOP,
    KB,
    PIXELS_PER_SECOND,
    Limit,
    fill_with_photographs,
    measure_flight,
    measure_scroll,
    measured_html,
    measured_loads,
    measured_scroll,
    renderer_memory,
)

SECONDS: Final = 5.0
THREE_DIGITS: Final = 100
MEMORY: Final = Limit(400, "MB")


def measure(service: Service, browser: Browser, rounds: int) -> str:
    """Return the results as Markdown."""

    def new_page(**options: Any) -> Page:
        return browser.new_context(base_url=service.url, **options).new_page()

    figures = dict(measured_html(service)) | dict(measured_loads(new_page, rounds))
    for context in browser.contexts:
        context.close()

    page = new_page(**DESKTOP)
    page.goto("/gallery", wait_until="networkidle")
    before = renderer_memory(browser)
    figures |= dict(measured_scroll(page, SECONDS))
    began = time.monotonic()
    flight = measure_flight(page)
    seconds = time.monotonic() - began
    page.wait_for_load_state("networkidle")
    memory = renderer_memory(browser)
    page.evaluate("scrollTo({ top: document.documentElement.scrollHeight / 2, behavior: 'instant' })")
    page.wait_for_load_state("networkidle")
    middle = measure_scroll(page, pixels_per_second=PIXELS_PER_SECOND, seconds=SECONDS)
    memory = max(memory, renderer_memory(browser))

    figures["cells in the document"] = max(figures["cells in the document"], flight.cells, middle.cells)
    rows = [(name, limit, figures[name]) for name, limit in BUDGET.items()]
    rows.append(("memory of the renderer, after all images", MEMORY, memory / KB**2))
    budget = "\n".join(
        f"| {name} | {shown(limit.most)} {limit.unit} | {shown(figure)} |" for name, limit, figure in rows
    )
    return f"""\
| what | at most | measured |
| --- | ---: | ---: |
{budget}

Scrolling to the end, as fast as the pages come, took {seconds:.0f} s. Then, in the middle of the list,
{middle.percentile(0.5):.1f} ms passed between frames at 1,800 pixels/s in the median, and at most
{middle.percentile(0.95):.1f} ms for 95 % of them. The renderer had {before / KB**2:.0f} MB with the first page."""


def shown(figure: float) -> str:
    """Return a figure with three digits, or all before the point."""
    return f"{figure:,.0f}" if figure >= THREE_DIGITS or figure == int(figure) else f"{figure:.3g}"


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the gallery in a browser.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="loads of each kind")
    parser.add_argument("--write", action="store_true", help="write docs/gallery.md")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pixyproxy-gallery-") as folder,
        running_service(Path(folder)) as service,
        sync_playwright() as playwright,
    ):
        fill_with_photographs(service, arguments.images)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        results = measure(service, browser, arguments.rounds)
        version = browser.version
        browser.close()
    command = " ".join(["PYTHONPATH=. .venv/bin/python bench/gallery.py", *sys.argv[1:]])
    text = f"""\
Measured on {datetime.now(UTC):%-d %B %Y} with `{command}`: {arguments.images:,} images, Chromium {version}
with software rendering, {os.cpu_count()} processors that the browser and the service share.

{results}"""
    print(text)
    if arguments.write:
        write_results("budget", text, page=DOCS / "gallery.md")


if __name__ == "__main__":
    main()
