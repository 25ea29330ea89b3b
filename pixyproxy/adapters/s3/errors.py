"""Translates the errors of the client for S3 to the domain's errors."""

import re
from typing import Final

from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError

RANGE_NOT_SATISFIABLE: Final = 416

_NOT_FOUND: Final = 404
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_METHOD: Final = re.compile(r"Error performing ([A-Z]{3,6}) ")

# Where a machine or a container of AWS asks for the credentials of its role.
_ROLE: Final = re.compile(r"https?://(?:169\.254\.|\[?fd00:ec2::)")

_FULL: Final = "The content store is full."
_NO_ACCESS: Final = "The content store does not grant access."
_NO_BUCKET: Final = "The content store's bucket is missing."
_OVERLOADED: Final = "The content store is overloaded."
_NO_ANSWER: Final = "The content store does not answer."

_BY_CODE: Final = {
    "NoSuchBucket": _NO_BUCKET,
    "InsufficientCapacity": _FULL,
    "QuotaExceeded": _FULL,
    "QuotaExceededException": _FULL,
    "XMinioStorageFull": _FULL,
    "EntityTooLarge": "The content is larger than the content store takes.",
    "SlowDown": _OVERLOADED,
    "BadDigest": "The content was damaged on its way to the content store.",
}
_BY_STATUS: Final = {
    401: _NO_ACCESS,
    403: _NO_ACCESS,
    413: _BY_CODE["EntityTooLarge"],
    429: _OVERLOADED,
    503: _OVERLOADED,
    507: _FULL,
}


def status_of(exc: BaseException) -> int | None:
    """Return the status of the response that the error tells of, or None if it tells of no response."""
    found = _STATUS.search(str(exc))
    return int(found[1]) if found else None


def translated(exc: BaseException) -> ContentStoreError:
    """Return the domain's error for one of the client's, whose own text names the endpoint and what it answered.

    Its note has the status and the server's code, and is for the operator.
    """
    text = str(exc)
    if _ROLE.search(text):
        error = ContentStoreError(_NO_ACCESS)
        error.add_note("S3: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role.")
        return error
    code = _CODE.search(text)
    status = status_of(exc)
    name = code[1] if code else None
    if _is_missing(exc, status, name, text):
        return ContentNotFoundError("The content is missing.")
    error = ContentStoreError(_detail(text, status, name))
    error.add_note(f"S3: {_summary(text, status, name)}")
    return error


def _is_missing(exc: BaseException, status: int | None, code: str | None, text: str) -> bool:
    """Whether the store says that there is no such object; a HEAD has no body that would tell why."""
    if not isinstance(exc, FileNotFoundError) and status != _NOT_FOUND:
        return False
    return code == "NoSuchKey" or (code is None and "Error performing HEAD" in text)


def _detail(text: str, status: int | None, code: str | None) -> str:
    known = _BY_CODE.get(code or "") or _BY_STATUS.get(status or 0)
    if known:
        return known
    if status is None and ("kind: Timeout" in text or "kind: Connect" in text or "TimedOut" in text):
        return _NO_ANSWER
    return "The content store does not work."


def _summary(text: str, status: int | None, code: str | None) -> str:
    method = _METHOD.search(text)
    asked = method[1] if method else "a request"
    if status is not None:
        return f"{asked} was answered with {status}{f' {code}' if code else ''}."
    for sign, meaning in (("kind: Timeout", "was not answered in time"), ("kind: Connect", "found no server")):
        if sign in text:
            return f"{asked} {meaning}."
    return f"{asked} failed: {_first_words(text)}"


def _first_words(text: str) -> str:
    # What follows is a dump of the client's objects; addresses are left out.
    first = text.partition("\n")[0].partition("Debug source")[0]
    return re.sub(r"\S+://\S+", "…", first)[:200]
