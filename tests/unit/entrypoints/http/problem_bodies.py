"""The form of every problem."""

from typing import Any

from httpx import Response


def problem(response: Response, status: int, *fields: str) -> dict[str, Any]:
    """Check that the response is a problem of this status that names these fields, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    members = ["type", "title", "status", "detail", "request_id", "errors"]
    path = response.request.url.path
    if response.request.method == "POST" and "/bulk/" not in path and not path.endswith("/link"):
        # Members that the client of a creation needs before it retries.
        members += ["retryable", "maybe_billed"]
        members += [member for member in ("guid", "batch") if member in body]
    assert list(body) == members
    assert body["type"] == "about:blank" or body["type"].startswith("urn:pixyproxy:problem:")
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert [error["field"] for error in body["errors"]] == list(fields)
    return body
