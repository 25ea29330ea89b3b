"""What no page of the gallery may do, and what axe finds in one."""

import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError

AXE_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

SOON: Final = 15.0

_TELL_OF_VIOLATIONS: Final = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`securitypolicyviolation: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""
_WITHOUT_HOST: Final = {"blob", "data", "about", "chrome-error"}


class Watch:
    """Collects what pages complain of: errors in the console, exceptions, violations of the CSP, other hosts."""

    def __init__(self, url: str) -> None:
        self._hosts = {urlsplit(url).netloc}
        self._expected: list[re.Pattern[str]] = []
        self._complaints: list[str] = []

    def expect(self, *patterns: str) -> None:
        """Let complaints pass that match a regular expression, such as `status of 422`; call it before or after."""
        self._expected += map(re.compile, patterns)

    def expect_host(self, host: str) -> None:
        """Let requests to another host pass; it may have a port."""
        self._hosts.add(host)

    @property
    def complaints(self) -> list[str]:
        """The unexpected complaints."""
        return [each for each in self._complaints if not any(pattern.search(each) for pattern in self._expected)]

    def begin(self, context: BrowserContext) -> None:
        """Watch all pages of a context, also those to come."""
        context.add_init_script(_TELL_OF_VIOLATIONS)
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)
        context.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _note_error(self, error: WebError) -> None:
        self._complaints.append(f"exception: {error.error}")

    def _note_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in _WITHOUT_HOST and url.netloc not in self._hosts:
            self._complaints.append(f"request to another host: {request.url}")


def accessibility_violations(page: Page, context: str | None = None) -> list[str]:
    """Return what axe finds in a page, or in the elements that a selector finds, one line for each element.

    axe is evaluated by the browser's own protocol, which a strict CSP allows.
    """
    options: dict[str, Any] = {"runOnly": AXE_TAGS, "resultTypes": ["violations"]}
    results = Axe().run(page, context=context, options=options)
    return [
        f"{found['id']} ({found['impact']}): {node['html']} -- {node.get('failureSummary', '')}"
        for found in results.response["violations"]
        for node in found["nodes"]
    ]


def until(page: Page, is_so: Callable[[], object], seconds: float = SOON) -> None:
    """Return as soon as a condition holds that the page can't wait for itself; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)
