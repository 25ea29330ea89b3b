"""Paths whose errors have OpenAI's shape, and what to tell clients with a wrong base URL."""

from typing import Final

from pixyproxy.entrypoints.http.paths import V1_PATH

# First segments of OpenAI's paths, which clients send without `/v1` if their base URL lacks it.
_FIRST_SEGMENTS: Final = frozenset({"v1", "images", "models", "responses", "chat"})


def is_openais(path: str) -> bool:
    """Whether errors at a path below the service's prefix have OpenAI's shape: it is below `/v1`, or should be.

    `//v1` and the like count, too.
    """
    return path.lstrip("/").partition("/")[0] in _FIRST_SEGMENTS


def directions(path: str, address: str) -> str:
    """Return what to tell a client that asks for an unknown path; `address` is the service's URL."""
    base = f"{address}{V1_PATH}"
    segments = [segment for segment in path.split("/") if segment]
    if segments[:1] != ["v1"]:
        return f"There is no such endpoint. The base URL of the OpenAI-compatible API is {base}."
    if segments[1:2] == ["v1"]:
        return f"There is no such endpoint: /v1 is in the path twice. The base URL is {base}."
    if "//" in path:
        return f"There is no such endpoint: the path has an empty segment. The base URL is {base}, without a slash."
    if segments[1:] == ["images", "variations"]:
        return f"PixyProxy does not make variations. It offers {_endpoints(base)}."
    return f"There is no such endpoint. PixyProxy offers only OpenAI's images API: {_endpoints(base)}."


def _endpoints(base: str) -> str:
    return f"POST {base}/images/generations, POST {base}/images/edits and GET {base}/models"
