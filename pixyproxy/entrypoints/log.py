"""Logging: one renderer for PixyProxy and all libraries."""

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import structlog

from pixyproxy.entrypoints.access_log import REQUESTS, LineHandler
from pixyproxy.entrypoints.settings import LogFormat

# The console renderer quotes values with one of these.
_AMBIGUOUS: Final = re.compile("[ \t=\r\n\"']")


def configure_logging(log_format: LogFormat) -> None:
    """Send all log lines of the process to standard error in the given format."""
    facts: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _without_uvicorns_colours,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    # Never render local variables of a traceback: they include prompts and passwords.
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
        # Text values bring their own quotes.
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
    # The OpenAI client logs each request with its prompt at debug level, and each call at info level.
    for name in ("httpx", "httpx2", "httpcore", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_uvicorns_colours(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop the coloured copy of the text that uvicorn attaches."""
    event.pop("color_message", None)
    return event


def _to_console(fact: object) -> str:
    """Render a value like the console renderer."""
    return fact if isinstance(fact, str) and _AMBIGUOUS.search(fact) is None else repr(fact)


def _to_json(fact: object) -> str:
    """Render a text, a number or None like the JSON renderer."""
    if isinstance(fact, str):
        return encode_basestring_ascii(fact)
    return "null" if fact is None else repr(fact)
