"""Skipping or failing tests whose real part (a database server, a browser) is missing."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

_REASON = "no {part}; to test it: {remedy}"
_FOUND = re.compile("no (?P<part>[^;]+); to test it: (?P<remedy>[^\n]+)")


def lack(part: str, remedy: str, *, may_lack: bool = False) -> NoReturn:
    """Skip the test for lack of `part`, or fail it with CI=true, where nothing may be missing unless it `may_lack`."""
    reason = _REASON.format(part=part, remedy=remedy)
    if os.environ.get("CI") == "true" and not may_lack:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def untested(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """Return a line for each missing part: the number of tests that could not run, and the remedy."""
    lacking: Counter[tuple[str, str]] = Counter()
    for report in reports:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if found := _FOUND.search(text):
            lacking[found["part"], found["remedy"]] += 1
    return [
        f"NOT TESTED: {count} test{'s' * (count > 1)} without {part}. To test it: {remedy}"
        for (part, remedy), count in lacking.items()
    ]
