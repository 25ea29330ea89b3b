"""Errors of the client for S3."""

import pytest

from pixyproxy.adapters.s3.errors import status_of, translated
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError

URL = "http://10.1.2.3:9000/pictures/a"


def response(status: int, body: str = "", *, method: str = "PUT") -> Exception:
    """An error as obstore words it."""
    return Exception(
        f"Generic S3 error: Error performing {method} {URL} in 3.4ms - Server returned non-2xx status code: {status}"
        f" Whatever: {body}\n\nDebug source:\nGeneric {{ retries: 0 }}"
    )


def error_body(code: str) -> str:
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>secret words</Message><Key>a</Key></Error>"


@pytest.mark.parametrize(
    ("status", "code", "detail"),
    [
        (403, "SignatureDoesNotMatch", "does not grant access"),
        (403, "AccessDenied", "does not grant access"),
        (401, None, "does not grant access"),
        (404, "NoSuchBucket", "bucket is missing"),
        (404, None, "does not work"),
        (400, "EntityTooLarge", "larger than"),
        (400, "BadDigest", "damaged on its way"),
        (403, "QuotaExceeded", "is full"),
        (507, "XMinioStorageFull", "is full"),
        (503, "SlowDown", "is overloaded"),
        (429, None, "is overloaded"),
        (500, "InternalError", "does not work"),
        (302, None, "does not work"),
    ],
)
def test_what_a_store_answers_is_a_clear_error(status: int, code: str | None, detail: str) -> None:
    error = translated(response(status, error_body(code) if code else "<html>no</html>"))
    assert type(error) is ContentStoreError
    assert detail in error.detail
    assert error.__notes__ == [f"S3: PUT was answered with {status}{f' {code}' if code else ''}."]


@pytest.mark.parametrize(
    ("kind", "detail", "note"),
    [
        ("Timeout", "does not answer", "S3: GET was not answered in time."),
        ("Connect", "does not answer", "S3: GET found no server."),
        ("Decode", "does not work", "S3: GET failed: Generic S3 error: Error performing GET … in 3s - error"),
    ],
)
def test_a_store_that_does_not_answer_is_a_clear_error(kind: str, detail: str, note: str) -> None:
    text = (
        f"Generic S3 error: Error performing GET {URL} in 3s - error\n\nDebug source:\nHttpError {{ kind: {kind}, {URL}"
    )
    error = translated(Exception(text))
    assert detail in error.detail
    assert error.__notes__ == [note]
    assert status_of(error) is None


def test_a_lack_of_credentials_is_named() -> None:
    error = translated(Exception("Error performing PUT http://169.254.169.254/latest/api/token - status code: 403 No"))
    assert error.detail == "The content store does not grant access."
    assert "AWS_ACCESS_KEY_ID" in error.__notes__[0]


def test_only_what_the_store_itself_calls_missing_is_missing() -> None:
    assert isinstance(translated(response(404, error_body("NoSuchKey"), method="GET")), ContentNotFoundError)
    # A HEAD has no body.
    assert isinstance(translated(response(404, method="HEAD")), ContentNotFoundError)
    # A web server in front that knows nothing of the bucket.
    other = translated(response(404, "<html>Not Found</html>", method="GET"))
    assert not isinstance(other, ContentNotFoundError)


def test_no_error_shows_where_the_store_is_or_what_it_sent() -> None:
    for exc in (response(500, error_body("InternalError")), Exception(f"Error performing GET {URL}?X-Amz-Signature=1")):
        error = translated(exc)
        shown = " ".join([error.detail, *error.__notes__])
        assert "10.1.2.3" not in shown
        assert "secret words" not in shown
        assert "Signature" not in shown
        assert error.__cause__ is None
