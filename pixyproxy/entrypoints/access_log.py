"""The access log: two lines for each request."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

REQUESTS: Final = "pixyproxy.requests"

_log = logging.getLogger(REQUESTS)
_parent = logging.getLogger(REQUESTS.partition(".")[0])


def log_request(event: str, facts: Mapping[str, object]) -> None:
    """Log an event of a request. All facts of one event have the same names each time.

    Unless PixyProxy has configured logging by itself, this is an ordinary record of the logger `pixyproxy.requests`.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], LineHandler) and not (_log.handlers or _parent.handlers):
        handlers[0].write_line(event, facts)
    else:
        _log.info(event, extra=facts)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes log records to `stream`, and access log lines from templates.

    `template` renders an event once, with a `%(name)s` for each fact and for the time; `to_text` renders a fact.
    Filling a template costs a quarter of rendering a record, which takes as long as the rest of a small request.
    """

    def __init__(
        self, stream: TextIO, *, template: Callable[[str, Iterable[str]], str], to_text: Callable[[object], str]
    ) -> None:
        super().__init__(stream)
        self._template = template
        self._to_text = to_text
        self._templates: dict[str, str] = {}

    def write_line(self, event: str, facts: Mapping[str, object]) -> None:
        """Write the line of an event."""
        template = self._templates.get(event)
        if template is None:
            template = self._templates[event] = self._template(event, facts)
        texts = {name: self._to_text(fact) for name, fact in facts.items()}
        texts["time"] = self._to_text(datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        self.acquire()
        try:
            # In one write, so that lines of other processes do not interleave.
            self.stream.write(template % texts + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 -- a failing log must not fail a request
            self.handleError(logging.makeLogRecord({"msg": event}))
        finally:
            self.release()
