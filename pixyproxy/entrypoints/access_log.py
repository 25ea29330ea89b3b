"""The access log: two lines for each request."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

REQUESTS: Final = "pixyproxy.requests"

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
        handlers[0].write_line(event, facts)
    else:
        _log.info(event, extra=facts)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes log records to `stream`, and the lines of requests by templates.

    `template` renders an event once, from the names of its facts, with a `%(name)s` for each and for the time, and
    `to_text` renders a fact. Filling in a template costs a quarter of making and rendering a record, which takes as
    long as all the rest of a small request.
    """

    def __init__(
        self, stream: TextIO, *, template: Callable[[str, Iterable[str]], str], to_text: Callable[[object], str]
    ) -> None:
        super().__init__(stream)
        self._template = template
        self._to_text = to_text
        self._templates: dict[str, str] = {}

    def write_line(self, event: str, facts: Mapping[str, object]) -> None:
        """Write the line of a request's event."""
        template = self._templates.get(event)
        if template is None:
            template = self._templates[event] = self._template(event, facts)
        texts = {name: self._to_text(fact) for name, fact in facts.items()}
        texts["time"] = self._to_text(datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        self.acquire()
        try:
            # All at once, so that the lines of other processes do not tear it.
            self.stream.write(template % texts + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 -- a log that can't be written stops no request
            self.handleError(logging.makeLogRecord({"msg": event}))
        finally:
            self.release()
