"""Log lines: one renderer for PixyProxy's own and for every library's."""

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import structlog

from pixyproxy.entrypoints.access_log import REQUESTS, LineHandler
from pixyproxy.entrypoints.settings import LogFormat

# A text with one of these is quoted for a terminal.
_AMBIGUOUS: Final = re.compile("[ \t=\r\n\"']")


def configure_logging(log_format: LogFormat) -> None:
    """Send every log line of the process to standard error in the given format."""
    facts: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _without_uvicorns_colours,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    # Neither renderer may show the frames' local variables: prompts and passwords are among them.
    plain_traceback = structlog.dev.plain_traceback
    render: list[Any] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), timestamp_key="time", exception_formatter=plain_traceback
            )
        ]
        if log_format is LogFormat.CONSOLE
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )

    def template(event: str, names: Iterable[str]) -> str:
        line: Any = {"event": event, "level": "info", "logger": REQUESTS}
        line |= {name: f"%({name})s" for name in (*names, "time")}
        for processor in render:
            line = processor(None, "info", line)
        # Where a text belongs, it brings its quotes.
        return str(line).replace('"%(', "%(").replace(')s"', ")s")

    handler = LineHandler(
        sys.stderr, template=template, to_text=_to_console if log_format is LogFormat.CONSOLE else _to_json
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=facts,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # The client logs each request's options, the prompt among them, at debug level and each call at info level.
    for name in ("httpx", "httpx2", "httpcore", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_uvicorns_colours(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop the second, coloured text that uvicorn attaches to its lines."""
    event.pop("color_message", None)
    return event


def _to_console(fact: object) -> str:
    """Write a fact as the console's renderer does."""
    return fact if isinstance(fact, str) and _AMBIGUOUS.search(fact) is None else repr(fact)


def _to_json(fact: object) -> str:
    """Write a fact, a text or a number or None, as the renderer of JSON does."""
    if isinstance(fact, str):
        return encode_basestring_ascii(fact)
    return "null" if fact is None else repr(fact)
