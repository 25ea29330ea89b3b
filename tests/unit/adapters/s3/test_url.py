"""The URL of a content store on S3."""

import pytest

from pixyproxy.adapters.s3.url import S3URL, parse_s3_url

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://pictures", S3URL(bucket="pictures")),
        ("s3://pictures/", S3URL(bucket="pictures")),
        ("s3://my.pictures-2/a", S3URL(bucket="my.pictures-2", prefix="a/")),
        ("s3://pictures/a/b_c/", S3URL(bucket="pictures", prefix="a/b_c/")),
        ("s3://pictures?region=eu-central-1", S3URL(bucket="pictures", region="eu-central-1")),
        (
            "s3://pictures/a?endpoint=http://127.0.0.1:9000/&public_endpoint=https://s3.example.org",
            S3URL(
                bucket="pictures",
                prefix="a/",
                endpoint="http://127.0.0.1:9000",
                public_endpoint="https://s3.example.org",
            ),
        ),
        ("s3://pictures?endpoint=https%3A%2F%2F%5B%3A%3A1%5D", S3URL(bucket="pictures", endpoint="https://[::1]")),
    ],
)
def test_a_url_names_a_bucket_and_where_it_is(url: str, parts: S3URL) -> None:
    assert parse_s3_url(url) == parts


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("s4://pictures", "begin with s3://"),
        ("s3:pictures", "name a bucket"),
        ("s3://", "name a bucket"),
        ("s3:///a", "name a bucket"),
        ("s3://a", "name a bucket"),
        ("s3://-pictures", "name a bucket"),
        ("s3://pictures:9000/a", "name a bucket"),
        ("s3://pic%74ures", "name a bucket"),
        (f"s3://key:{SECRET}@pictures", "AWS_SECRET_ACCESS_KEY"),
        ("s3://pictures/a//b", "prefix"),
        ("s3://pictures/../b", "prefix"),
        ("s3://pictures/./b", "prefix"),
        ("s3://pictures/a%20b", "prefix"),
        ("s3://pictures/a b", "prefix"),
        ("s3://pictures#a", "fragment"),
        (f"s3://pictures?secret_access_key={SECRET}", "there are endpoint, region, public_endpoint"),
        (f"s3://pictures?{SECRET}=1", "there are endpoint, region, public_endpoint"),
        (f"s3://pictures?{SECRET}", "can't be read"),
        ("s3://pictures?region=", "region"),
        ("s3://pictures?region=a%20b", "region"),
        ("s3://pictures?region=a&region=b", "twice"),
        ("s3://pictures?endpoint=", "endpoint must"),
        ("s3://pictures?endpoint=s3.example.org", "endpoint must"),
        ("s3://pictures?endpoint=ftp://s3.example.org", "endpoint must"),
        ("s3://pictures?endpoint=https://", "endpoint must"),
        ("s3://pictures?endpoint=https://s3.example.org/a", "endpoint must"),
        ("s3://pictures?endpoint=https://s3.example.org:0", "endpoint must"),
        ("s3://pictures?endpoint=https://s3.example.org:x", "endpoint must"),
        ("s3://pictures?endpoint=https://[s3", "endpoint must"),
        (f"s3://pictures?endpoint=https://key:{SECRET}@s3.example.org", "endpoint must"),
        ("s3://pictures?public_endpoint=https://s3.example.org?a=b", "public_endpoint must"),
        ("s3://[x/a", "can't be read"),
    ],
)
def test_the_fault_of_a_url_is_named_and_no_secret(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_s3_url(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "@" not in str(caught.value)


def test_the_place_is_for_people() -> None:
    assert parse_s3_url("s3://pictures/a/b?endpoint=http://10.0.0.1").place == "pictures/a/b/"
