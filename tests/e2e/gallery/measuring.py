"""What the gallery costs a browser: bytes, times, frames and memory, and the budget for them.

The pictures cost as many bytes as photographs do, and their thumbnails were made before.
"""

import gzip
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from playwright.sync_api import Browser, Page

from tests.doubles.large_library import fill_quickly, share_variants
from tests.doubles.photographs import photograph
from tests.doubles.service import Service

KB: Final = 1_024
PHOTOGRAPHS: Final = 8
PIXELS_PER_SECOND: Final = 1_800
DESKTOP: Final[Mapping[str, Any]] = {"viewport": {"width": 1280, "height": 800}}
FINE_DESKTOP: Final[Mapping[str, Any]] = {**DESKTOP, "device_scale_factor": 2}
PHONE: Final[Mapping[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
}


_OBSERVE: Final = """
window.measured = { lcp: 0, cls: 0, long: [] };
const observe = (type, note) => new PerformanceObserver((list) => list.getEntries().forEach(note)).observe(
  { type, buffered: true }
);
observe("largest-contentful-paint", (entry) => { measured.lcp = entry.startTime; });
observe("layout-shift", (entry) => { if (!entry.hadRecentInput) measured.cls += entry.value; });
observe("longtask", (entry) => { measured.long.push([entry.startTime, entry.duration]); });
"""
_TIMES: Final = """() => {
  const [navigation] = performance.getEntriesByType("navigation");
  const fcp = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const blocked = measured.long.filter(([start]) => start > fcp).map(([, duration]) => Math.max(0, duration - 50));
  return {
    ttfb: navigation.responseStart, fcp, lcp: measured.lcp, load: navigation.loadEventEnd, cls: measured.cls,
    tbt: blocked.reduce((sum, time) => sum + time, 0),
  };
}"""
_SCROLL: Final = """([speed, seconds]) => new Promise((resolve) => {
  const gaps = [];
  const began = performance.now();
  let last = began, cells = 0;
  const frame = (now) => {
    const gap = now - last;
    if (gap > 0) gaps.push(gap);
    scrollBy({ top: (speed * gap) / 1000, behavior: "instant" });
    cells = Math.max(cells, document.querySelectorAll("li.cell").length);
    last = now;
    if (now - began < seconds * 1000) requestAnimationFrame(frame); else resolve({ gaps, cells });
  };
  requestAnimationFrame(frame);
})"""

_FLY: Final = """() => new Promise((resolve) => {
  const gaps = [];
  let last = performance.now(), cells = 0;
  const frame = (now) => {
    gaps.push(now - last);
    last = now;
    cells = Math.max(cells, document.querySelectorAll("li.cell").length);
    scrollBy({ top: innerHeight * 0.8, behavior: "instant" });
    const isAtEnd = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
    if (isAtEnd && !document.querySelector(".page + .holder")) resolve({ gaps, cells });
    else requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Loading a page with nothing cached: milliseconds, the shift of its layout, and bytes by type of resource."""

    ttfb: float
    fcp: float
    lcp: float
    load: float
    cls: float
    tbt: float
    bytes_by_type: dict[str, int]
    count_by_type: dict[str, int]

    @property
    def byte_size(self) -> int:
        """All bytes on the wire, with headers."""
        return sum(self.bytes_by_type.values())


class Limit(msgspec.Struct, frozen=True):
    """What something may cost at most; a time is only as exact as the machine is idle."""

    most: float
    unit: str
    is_time: bool = False


BUDGET: Final = {
    "JavaScript of a visitor's list, gzip": Limit(12, "KB"),
    "JavaScript of one's own list, gzip": Limit(20, "KB"),
    "CSS, gzip": Limit(5, "KB"),
    "HTML of 60 images": Limit(60, "KB"),
    "HTML of 60 images, gzip": Limit(8, "KB"),
    "first page, desktop": Limit(500, "KB"),
    "first page, desktop with 2 pixels per point": Limit(800, "KB"),
    "first page, phone with 3 pixels per point": Limit(800, "KB"),
    "first contentful paint": Limit(500, "ms", is_time=True),
    "largest contentful paint": Limit(800, "ms", is_time=True),
    "largest contentful paint, phone 4 times slower": Limit(1_200, "ms", is_time=True),
    "total blocking time": Limit(100, "ms", is_time=True),
    "cumulative layout shift": Limit(0.01, ""),
    "HTML of the next page": Limit(50, "ms", is_time=True),
    "between frames at 1,800 pixels/s, median": Limit(17, "ms", is_time=True),
    "between frames at 1,800 pixels/s, 95 %": Limit(34, "ms", is_time=True),
    "cells in the document": Limit(400, ""),
}


class Scroll(msgspec.Struct, frozen=True, kw_only=True):
    """Scrolling for some seconds: the milliseconds between frames, and the most cells in the document."""

    gaps: Sequence[float]
    cells: int

    def percentile(self, share: float) -> float:
        """Return the time between frames that this share of the frames keeps."""
        ordered = sorted(self.gaps)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure_load(page: Page, path: str, *, slower: float = 1) -> Load:
    """Load a page that this context has never loaded, on a processor that is `slower` this many times.

    Bytes count until nothing was loaded for half a second; what is below the window is not scrolled to.
    """
    page.add_init_script(_OBSERVE)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    types: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()

    def note_response(event: dict[str, Any]) -> None:
        types[event["requestId"]] = event["type"]

    def note_end(event: dict[str, Any]) -> None:
        kind = types.get(event["requestId"], "Other")
        sizes[kind] += int(event["encodedDataLength"])
        counts[kind] += 1

    session.on("Network.responseReceived", note_response)
    session.on("Network.loadingFinished", note_end)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(path, wait_until="networkidle")
    times = page.evaluate(_TIMES)
    session.detach()
    return Load(**times, bytes_by_type=dict(sizes), count_by_type=dict(counts))


def measure_scroll(page: Page, *, pixels_per_second: float, seconds: float) -> Scroll:
    """Scroll down at a steady speed, however long frames take."""
    return Scroll(**page.evaluate(_SCROLL, [pixels_per_second, seconds]))


def measure_flight(page: Page) -> Scroll:
    """Scroll to the end of the list, as fast as its pages come."""
    return Scroll(**page.evaluate(_FLY))


def renderer_memory(browser: Browser) -> int:
    """Return the bytes of the renderer that has used the processor most.

    Of what it shares with other processes, such as the files of the browser, only its part counts.
    """
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    renderer = max((each for each in processes if each["type"] == "renderer"), key=lambda each: each["cpuTime"])
    memory = Path(f"/proc/{renderer['id']}/smaps_rollup").read_text(encoding="ascii")
    (line,) = (line for line in memory.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * KB


def fill_with_photographs(service: Service, count: int) -> None:
    """Store public images for a service, with the thumbnails that its pages ask for."""
    images = fill_quickly(
        service.folder, count, author="ann", pictures=[photograph(seed) for seed in range(PHOTOGRAPHS)]
    )
    headers = {"Accept": "image/avif,image/webp,*/*"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as client:
        for image in images[:PHOTOGRAPHS]:
            (cell,) = re.findall(f"<img[^>]*{image.guid}[^>]*>", client.get("/gallery").text)
            for address in set(re.findall(rf'[^ "]*/{image.guid}/content[^ "]*', cell)):
                client.get(unescape(address)).raise_for_status()
    share_variants(service.folder, images)


def measured_html(service: Service) -> Iterator[tuple[str, float]]:
    """Yield the figures of the budget that need no browser."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        html = client.get("/gallery", headers={"Accept-Encoding": "identity"})
        compressed = client.get("/gallery", headers={"Accept-Encoding": "gzip"})
        own = client.get("/gallery?scope=mine", auth=service.login)
        for what, page, pattern in (
            ("JavaScript of a visitor's list, gzip", html, r'src="([^"]*\.js)"'),
            ("JavaScript of one's own list, gzip", own, r'src="([^"]*\.js)"'),
            ("CSS, gzip", html, r'href="([^"]*\.css)"'),
        ):
            files = [client.get(address) for address in re.findall(pattern, page.text)]
            yield what, sum(len(gzip.compress(file.content, 9)) for file in files) / KB
        yield "HTML of 60 images", len(html.content) / KB
        yield "HTML of 60 images, gzip", int(compressed.headers["Content-Length"]) / KB
        (address,) = re.findall(r'<a rel="next" href="([^"]+)"', html.text)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            client.get(unescape(address)).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
        yield "HTML of the next page", statistics.median(times)


def measured_loads(new_page: Callable[..., Page], rounds: int) -> Iterator[tuple[str, float]]:
    """Yield the figures of loading the list: medians of some rounds, and the most bytes and layout shift of all."""

    def loads(*, slower: float = 1, **options: Any) -> Sequence[Load]:
        return [measure_load(new_page(**options), "/gallery", slower=slower) for _ in range(rounds)]

    desktop, fine, phone, slow = loads(**DESKTOP), loads(**FINE_DESKTOP), loads(**PHONE), loads(**PHONE, slower=4)
    yield "first page, desktop", max(load.byte_size for load in desktop) / KB
    yield "first page, desktop with 2 pixels per point", max(load.byte_size for load in fine) / KB
    yield "first page, phone with 3 pixels per point", max(load.byte_size for load in phone) / KB
    yield "first contentful paint", statistics.median(load.fcp for load in desktop)
    yield "largest contentful paint", statistics.median(load.lcp for load in desktop)
    yield "largest contentful paint, phone 4 times slower", statistics.median(load.lcp for load in slow)
    yield "total blocking time", statistics.median(load.tbt for load in desktop)
    yield "cumulative layout shift", max(load.cls for load in (*desktop, *fine, *phone, *slow))


def measured_scroll(page: Page, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield the figures of scrolling on from where a page is."""
    scroll = measure_scroll(page, pixels_per_second=PIXELS_PER_SECOND, seconds=seconds)
    yield "between frames at 1,800 pixels/s, median", scroll.percentile(0.5)
    yield "between frames at 1,800 pixels/s, 95 %", scroll.percentile(0.95)
    yield "cells in the document", scroll.cells
