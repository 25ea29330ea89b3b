"""The form of every error below `/v1`."""

from typing import Any

from httpx import Response


def openai_problem(response: Response, status: int, *, code: str | None = None) -> dict[str, Any]:
    """Check that the response is an error of this status in OpenAI's shape, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    (name, error), *others = response.json().items()
    assert (name, others) == ("error", [])
    assert list(error)[:4] == ["message", "type", "param", "code"]
    assert error["message"]
    assert error["type"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert response.headers["Cache-Control"] == "no-store"
    assert code is None or error["code"] == code
    found: dict[str, Any] = error
    return found
