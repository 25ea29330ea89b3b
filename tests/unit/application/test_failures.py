"""The memory of contents that can't be drawn."""

import pytest

from pixyproxy.application.failures import Failures
from pixyproxy.domain.errors import DamagedContentError

ERROR = DamagedContentError("The SVG picture takes too long to be drawn.")


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_pixels_or_more_have_failed_and_fewer_have_not() -> None:
    failures = Failures()
    failures.put("a", 100, ERROR)
    for pixels in (100, 101):
        with pytest.raises(DamagedContentError, match="takes too long"):
            failures.ensure_none("a", pixels)
    failures.ensure_none("a", 99)
    failures.ensure_none("b", 100)


def test_a_smaller_failure_is_the_one_that_counts_then() -> None:
    failures = Failures()
    failures.put("a", 100, ERROR)
    failures.put("a", 50, ERROR)
    with pytest.raises(DamagedContentError):
        failures.ensure_none("a", 50)


def test_a_failure_is_forgotten_after_a_while() -> None:
    seconds = Seconds()
    failures = Failures(seconds=10, now=seconds)
    failures.put("a", 100, ERROR)
    seconds.now = 9
    with pytest.raises(DamagedContentError):
        failures.ensure_none("a", 100)
    seconds.now = 11
    failures.ensure_none("a", 100)
    assert not failures._failures


def test_a_limited_number_of_the_latest_failures_is_remembered() -> None:
    failures = Failures(max_count=2)
    for name in ("a", "b", "a", "c"):
        failures.put(name, 1, ERROR)
    failures.ensure_none("b", 1)
    for name in ("a", "c"):
        with pytest.raises(DamagedContentError):
            failures.ensure_none(name, 1)
