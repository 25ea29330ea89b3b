"""Log lines: one renderer for PixyProxy's own and for every library's."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from pixyproxy.entrypoints.settings import LogFormat


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
    handler = logging.StreamHandler(sys.stderr)
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
