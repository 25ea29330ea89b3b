"""Answers for pages' own modules."""

from typing import Any

from litestar import Request


def is_for_program(request: Request[Any, Any, Any]) -> bool:
    """Whether a module of a page has sent the request, which reads JSON; people get pages."""
    return bool(request.headers.get("accept") == "application/json")
