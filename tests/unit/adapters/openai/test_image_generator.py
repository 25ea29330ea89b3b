import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.adapters.openai.answer import Answer, NoPicture, read_answer
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.domain.errors import GenerationFailedError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "b64_json", "usage", "output_format"]), inner, max_size=4)
    ),
)


@pytest.mark.parametrize("key", ["", " ", "sk\x00", "sk-\n-1", "sk-ключ", "sk 1", "“sk-1”"])
def test_a_key_that_can_not_be_sent_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as raised:
        OpenAIImageGenerator(api_key=key)

    assert not key.strip() or key.strip() not in str(raised.value)


@pytest.mark.parametrize(
    "base_url", ["", "localhost:80", "ftp://host/v1", "http://", "//host", "http://[::1", "file:/x"]
)
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        OpenAIImageGenerator(api_key="sk-test", base_url=base_url)


@pytest.mark.parametrize("model", ["", "x" * 256])
def test_a_model_that_can_not_be_recorded_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 characters"):
        OpenAIImageGenerator(api_key="sk-test", model=model)


@pytest.mark.parametrize("output_format", ["SVG", "jpg", "", "bmp"])
def test_an_unknown_format_is_refused(output_format: str) -> None:
    with pytest.raises(ValueError, match="one of png, jpeg, webp, gif, svg"):
        OpenAIImageGenerator(api_key="sk-test", output_format=output_format)


def test_the_key_is_not_in_the_representation() -> None:
    assert "sk-test" not in repr(OpenAIImageGenerator(api_key="sk-test"))


def read(body: bytes) -> NoPicture:
    found = read_answer(Answer(body=body), max_size=1 << 20, redact=Redaction())
    assert isinstance(found, NoPicture)
    return found


@given(JSON)
def test_any_json_that_brings_no_image_is_a_failure_that_may_be_billed(document: object) -> None:
    body = msgspec.json.encode(document)
    error = read(body).error

    assert type(error) is GenerationFailedError
    assert error.maybe_billed
    assert error.quarantine


@given(st.binary(max_size=200))
@example(b"\x03\x00\x80{")  # by chance, brotli's form of a bracket
def test_any_bytes_that_bring_no_image_are_a_failure_that_may_be_billed(body: bytes) -> None:
    error = read(body).error

    assert type(error) is GenerationFailedError
    assert error.maybe_billed
    assert error.quarantine == (body or None)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"usage":' * 100_000, b'"\xff"', b'{"a": NaN}'])
def test_json_that_breaks_parsers_is_a_failure(body: bytes) -> None:
    assert "instead of a JSON object" in read(body).error.detail


def test_the_pauses_after_a_missing_connection_double_and_end() -> None:
    policy = RetryPolicy(max_retries=3, backoff=1.0, jitter=lambda: 0.0)

    assert [policy.pause_before_retry(attempt, asked=None) for attempt in range(4)] == [1.0, 2.0, 4.0, None]


def test_a_wait_is_kept_to_unless_it_is_long() -> None:
    policy = RetryPolicy(max_retry_after=5.0, backoff=1.0, jitter=lambda: 0.25)

    assert policy.pause_before_retry(0, asked=5.0) == 5.25
    assert policy.pause_before_retry(0, asked=0.0) == 0.25
    assert policy.pause_before_retry(0, asked=5.1) is None


def test_no_retries_means_no_retries() -> None:
    policy = RetryPolicy(max_retries=0)

    assert policy.pause_before_retry(0, asked=None) is None
    assert policy.pause_before_retry(0, asked=0.1) is None
