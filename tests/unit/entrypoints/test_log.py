"""Log lines: their format, and when they are written."""

import contextlib
import io
import json
import logging
import logging.handlers
import queue
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.log import configure_logging
from pixyproxy.entrypoints.settings import LogFormat
from tests.documents import section

FACTS = {"request_id": "abc", "method": "GET", "path": "/image"}
OTHERS = logging.getLogger("pixyproxy.errors")
REQUESTS = logging.getLogger("pixyproxy.requests")


class Stream(io.StringIO):
    """Stands for standard error, and writes down each write."""

    is_terminal = False
    is_broken = False

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        if self.is_broken:
            raise BrokenPipeError
        self.writes.append(text)
        return super().write(text)

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A standard error of the test's own; the logging that was before comes back."""
    before, level = logging.root.handlers, logging.root.level
    yield Stream()
    logging.root.handlers = before
    logging.root.setLevel(level)


def configure(stream: Stream, log_format: LogFormat = LogFormat.JSON) -> None:
    with contextlib.redirect_stderr(stream):
        configure_logging(log_format)


def without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", "TIME", text)


AWKWARD = " \t=\r\n\"'\\%()s{}\x1b\ufffda"
TEXTS = st.text(st.characters(max_codepoint=127)) | st.text(AWKWARD, max_size=3)
STARTS = st.fixed_dictionaries({"request_id": TEXTS, "method": TEXTS, "path": TEXTS})
ENDS = st.fixed_dictionaries(
    {
        "path": TEXTS,
        "status": st.none() | st.integers(100, 599),
        "duration_ms": st.floats(0, 1e9).map(lambda ms: round(ms, 1)),
    }
)


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("log_format", LogFormat)
@given(event=st.tuples(st.just("request started"), STARTS) | st.tuples(st.just("request finished"), ENDS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_the_line_of_a_request_looks_as_any_other_line_would(
    stream: Stream, log_format: LogFormat, is_terminal: bool, event: tuple[str, dict[str, object]]
) -> None:
    stream.is_terminal = is_terminal
    configure(stream, log_format)
    name, facts = event
    stream.writes.clear()

    log_request(name, facts)
    REQUESTS.info(name, extra=facts)

    quick, slow = stream.writes
    assert without_times(quick) == without_times(slow)
    assert "TIME" in without_times(quick)
    assert ("\x1b[2m" in quick) == (is_terminal and log_format is LogFormat.CONSOLE)


def test_the_line_of_a_request_has_the_time_of_its_event_in_utc(stream: Stream) -> None:
    configure(stream)
    before = datetime.now(UTC)
    log_request("request started", FACTS)
    text = json.loads(stream.getvalue())["time"]
    assert text.endswith("Z")
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


def test_each_line_is_written_at_once_and_in_one_piece(stream: Stream) -> None:
    configure(stream)
    log_request("first", FACTS)
    OTHERS.warning("second")
    log_request("third", FACTS)
    assert [json.loads(text)["event"] for text in stream.writes] == ["first", "second", "third"]


def test_a_log_that_can_not_be_written_stops_no_request_and_no_other_line(stream: Stream) -> None:
    configure(stream)
    stream.is_broken = True
    log_request("request started", FACTS)
    OTHERS.warning("lost, too")
    stream.is_broken = False
    log_request("request finished", FACTS)
    assert stream.events == ["request finished"]


def test_where_others_set_up_the_logging_a_line_is_an_ordinary_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_request("request started", FACTS)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("pixyproxy.requests", "INFO", "request started")
    assert vars(record).items() >= FACTS.items()


@pytest.mark.parametrize("logger", [REQUESTS, logging.root], ids=["its logger", "the root"])
def test_an_added_handler_gets_the_records(stream: Stream, logger: logging.Logger) -> None:
    configure(stream)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    logger.addHandler(handler)
    try:
        log_request("request started", FACTS)
    finally:
        logger.removeHandler(handler)
    assert records.get_nowait().getMessage() == "request started"
    assert stream.events == ["request started"]


def test_a_level_above_information_silences_the_lines(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(stream)
    REQUESTS.setLevel(logging.WARNING)
    try:
        log_request("request started", FACTS)
    finally:
        REQUESTS.setLevel(logging.NOTSET)
    assert stream.events == []


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize(
    "name",
    ["ann", "2001-01-01T00:00:00Z", 'x", "client": "1.1.1.1", "time": "2001-01-01T00:00:00.0Z', "client=1.1.1.1"],
)
def test_fail2ban_finds_the_address_and_the_time_of_a_refused_login(
    stream: Stream, log_format: LogFormat, name: str
) -> None:
    """As docs/operations.md has it; fail2ban takes the first time of a line and cuts it out before it looks further."""
    told = section("docs/operations.md", "Users")
    lines = re.findall(r"^(?:failregex =| {11}) (\^.*)$", told, re.MULTILINE)
    (date,) = re.findall("^datepattern = (.*)$", told, re.MULTILINE)
    for directive, pattern in (("%%Y-%%m-%%d", r"\d+-\d+-\d+"), ("%%H:%%M:%%S", r"\d+:\d+:\d+"), ("%%f%%z", r"\d+Z")):
        date = date.replace(directive, pattern)
    configure(stream, log_format)
    facts = {"request_id": "abc", "client": "2001:db8::7", "user": ascii(name), "problem": "AuthenticationError"}
    log_request("login refused", facts)
    (line,) = stream.getvalue().splitlines()
    time = re.search(date if log_format is LogFormat.JSON else r"\d+-\d+-\d+T[\d:.]+Z", line)
    assert time is not None
    assert f"{datetime.now(UTC):%Y-%m}" in time[0]
    rest = line.replace(time[0], "")
    (found,) = [found for each in lines if (found := re.search(each.replace("<HOST>", "(?P<host>[0-9a-f:.]+)"), rest))]
    assert found["host"] == "2001:db8::7"
