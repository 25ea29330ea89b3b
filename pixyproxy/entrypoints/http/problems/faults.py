"""The log of the service's own faults."""

import logging
from typing import Final

from pixyproxy.domain import errors

_log: Final = logging.getLogger("pixyproxy.errors")


def log_fault(exc: Exception, detail: str, *, status: int, request_id: str) -> None:
    """Log an error that is the service's and not the client's; the traceback too if it was not raised on purpose."""
    facts = {"request_id": request_id, "status": status, "cause": _cause(exc)}
    if notes := getattr(exc, "__notes__", ()):
        facts["note"] = " ".join(notes)
    _log.error(detail, extra=facts, exc_info=_unexpected(exc))


def _unexpected(exc: Exception) -> BaseException | None:
    """Return the exception whose traceback belongs in the log, if it was not raised on purpose."""
    match exc:
        case errors.GenerationFaultError(is_replay=False):
            return exc.__cause__
        case errors.PixyProxyException():
            return None
        case _:
            return exc


def _cause(exc: Exception) -> str | None:
    """Return the kind and number of the vendor's error that caused `exc`; its message may hold data and stays out."""
    cause = exc.__cause__
    if cause is None:
        return None
    number = next((arg for arg in cause.args if isinstance(arg, int)), None)
    return type(cause).__qualname__ if number is None else f"{type(cause).__qualname__} {number}"
