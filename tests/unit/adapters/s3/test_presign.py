"""Presigned URLs, beside the example in Amazon's documentation; a real server checks them in the contracts."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.s3.presign import Credentials, object_url, presign

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
EXAMPLE = Credentials(
    access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)
NOTHING: Mapping[str, str] = {}
BUCKET = "https://examplebucket.s3.amazonaws.com"
TIME = datetime(2013, 5, 24, tzinfo=UTC)
DAY = 86_400


def signed(
    url: str = f"{BUCKET}/test.txt", credentials: Credentials = EXAMPLE, overrides: Mapping[str, str] = NOTHING
) -> str:
    return presign(url, region="us-east-1", credentials=credentials, begins_at=TIME, seconds=DAY, overrides=overrides)


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def test_amazons_example_has_amazons_signature() -> None:
    assert signed() == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_the_time_is_that_of_utc() -> None:
    elsewhere = TIME.astimezone(timezone(timedelta(hours=-7)))
    url = presign(f"{BUCKET}/test.txt", region="us-east-1", credentials=EXAMPLE, begins_at=elsewhere, seconds=DAY)
    assert url == signed()


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://h.example:443/b/k", "https://h.example/b/k"),
        ("http://h.example:80/b/k", "http://h.example/b/k"),
        ("https://H.Example/b/k", "https://h.example/b/k"),
        ("https://[::1]:443/b/k", "https://[::1]/b/k"),
    ],
)
def test_the_host_is_signed_as_clients_send_it(url: str, same: str) -> None:
    assert signed(url) == signed(same)
    assert signed(same).startswith(f"{same}?")


def test_another_port_is_signed() -> None:
    assert signed("http://h.example:443/b/k").startswith("http://h.example:443/b/k?")
    assert query_of(signed("http://h.example:443/b/k")) != query_of(signed("http://h.example/b/k"))


def test_each_header_of_the_response_is_part_of_what_is_signed() -> None:
    shown = signed(
        overrides={"content-disposition": "inline; filename*=UTF-8''%C3%A4.png", "content-type": "image/png"}
    )

    assert query_of(shown)["response-content-disposition"] == "inline; filename*=UTF-8''%C3%A4.png"
    assert query_of(shown)["response-content-type"] == "image/png"
    assert query_of(shown)["X-Amz-Signature"] != query_of(signed())["X-Amz-Signature"]
    assert list(query_of(shown))[:-1] == sorted(list(query_of(shown))[:-1])


def test_a_session_token_is_part_of_what_is_signed() -> None:
    temporary = Credentials(access_key_id="ASIA", secret_access_key="secret", session_token="a token/+=")
    lasting = Credentials(access_key_id="ASIA", secret_access_key="secret")

    assert query_of(signed(credentials=temporary))["X-Amz-Security-Token"] == "a token/+="
    assert "X-Amz-Security-Token" not in query_of(signed(credentials=lasting))
    assert (
        query_of(signed(credentials=temporary))["X-Amz-Signature"]
        != query_of(signed(credentials=lasting))["X-Amz-Signature"]
    )


def test_no_secret_is_in_a_url_or_a_traceback() -> None:
    assert EXAMPLE.secret_access_key not in unquote(signed())
    assert EXAMPLE.secret_access_key not in repr(EXAMPLE)
    assert "AKIA" not in repr(EXAMPLE)


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_any_key_and_any_file_name_come_through_in_ascii(key: str, name: str) -> None:
    url = presign(
        object_url("https://h.example/bucket/", key),
        region="eu-central-1",
        credentials=EXAMPLE,
        begins_at=TIME,
        seconds=60,
        overrides={"content-disposition": name},
    )

    assert url.isascii()
    assert " " not in url
    parts = urlsplit(url)
    assert unquote(parts.path) == f"/bucket/{key}"
    assert parse_qs(parts.query, strict_parsing=True)["response-content-disposition"] == [name]
    assert not parts.fragment
