"""The log lines of requests: there are so many that the way of all other lines would take them too long."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TextIO

REQUESTS: Final = "pixyproxy.requests"

# What is written at once is not torn by the lines of another process (POSIX's least PIPE_BUF is 512; Linux has 4,096).
_PIECE: Final = 4_096

# By then, whoever has to ask the database has asked it, and the lines are made while it answers.
_TURNS: Final = 4

_log = logging.getLogger(REQUESTS)
_parent = logging.getLogger(REQUESTS.partition(".")[0])


def log_request(event: str, facts: Mapping[str, object]) -> None:
    """Log an event of a request; an event's facts always have the same names.

    Where PixyProxy has not set up the logging, or not alone, this is an ordinary record of the logger
    `pixyproxy.requests`.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], LineHandler) and not (_log.handlers or _parent.handlers):
        handlers[0].write_soon(event, facts)
    else:
        _log.info(event, extra=facts)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes every line of a process to `stream`, in their order.

    The lines of requests are made and written a few turns of the event loop later, all at once, or before any other
    line. Each event has a template, which `template` makes from the names of its facts, with a `%(name)s` for each and
    for the time; `to_text` writes the facts.
    """

    def __init__(
        self, stream: TextIO, *, template: Callable[[str, Iterable[str]], str], to_text: Callable[[object], str]
    ) -> None:
        super().__init__(stream)
        self._template = template
        self._to_text = to_text
        self._templates: dict[str, str] = {}
        self._waiting: deque[tuple[str, Mapping[str, object], int]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._second = (0, "", "")

    def write_soon(self, event: str, facts: Mapping[str, object]) -> None:
        """Write the line of a request's event before the event loop waits again; nobody changes `facts` any more."""
        # Who writes first says that nobody is about to, and then takes what is there: so no line is left behind.
        self._waiting.append((event, facts, time.time_ns()))
        loop = asyncio.get_running_loop()
        # An event loop may have ended without another turn.
        if self._loop is not loop:
            self._loop = loop
            self._write_in(loop, _TURNS)

    def _write_in(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        if turns:
            loop.call_soon(self._write_in, loop, turns - 1)
        else:
            self._loop = None
            self._write()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record now."""
        self._write()
        super().emit(record)

    def flush(self) -> None:
        """Leave no line waiting."""
        self._write()
        super().flush()

    def _lines(self) -> Iterator[str]:
        """Take what waits, and yield the lines."""
        while self._waiting:
            event, facts, nanoseconds = self._waiting.popleft()
            template = self._templates.get(event)
            if template is None:
                template = self._templates[event] = self._template(event, facts)
            texts = {name: self._to_text(fact) for name, fact in facts.items()}
            texts["time"] = self._time(nanoseconds)
            yield template % texts + self.terminator

    def _time(self, nanoseconds: int) -> str:
        second, nanosecond = divmod(nanoseconds, 1_000_000_000)
        known, before, behind = self._second
        if second != known:
            text = self._to_text(time.strftime("%Y-%m-%dT%H:%M:%S.@Z", time.gmtime(second)))
            before, _, behind = text.partition("@")
            self._second = (second, before, behind)
        return f"{before}{nanosecond // 1000:06}{behind}"

    def _write(self) -> None:
        self.acquire()
        try:
            for piece in _pieces(self._lines()):
                self._write_piece(piece)
        finally:
            self.release()

    def _write_piece(self, piece: str) -> None:
        try:
            self.stream.write(piece)
            super().flush()
        except Exception:  # noqa: BLE001 -- as for any other line, a log that can't be written stops no request
            self.handleError(logging.makeLogRecord({"msg": "the lines of some requests"}))


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines, whole, to pieces that are not torn unless a line alone is longer."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > _PIECE:
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece
