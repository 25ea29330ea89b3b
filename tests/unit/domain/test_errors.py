"""The error tree."""

import re
from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.errors import (
    DataValidationError,
    GenerationError,
    GenerationFailedError,
    GenerationOptionError,
    GenerationRateLimitedError,
    IdempotencyKeyInUseError,
    ImageDelayedError,
    OverloadedError,
    PixyProxyException,
    TooManyLoginsError,
)

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")

# All others have a known outcome, and may succeed another time.
UNKNOWN_OUTCOME = {"GenerationTimedOutError", "GenerationBrokenOffError", "GenerationAbandonedError"}
NOT_RETRYABLE = {
    "GenerationRefusedError",
    "GenerationOptionError",
    "GeneratorCredentialsError",
    "GeneratorSetupError",
    "GeneratorQuotaError",
    "GenerationFaultError",
    "ReferenceGoneError",
}


def own_subclasses(error: type[PixyProxyException]) -> list[type[PixyProxyException]]:
    """Return the subclasses that the domain itself defines, in their order in the module."""
    return [subclass for subclass in error.__subclasses__() if subclass.__module__ == errors.__name__]


def descendants(error: type[PixyProxyException]) -> Iterator[type[PixyProxyException]]:
    for subclass in own_subclasses(error):
        yield subclass
        yield from descendants(subclass)


def drawn(error: type[PixyProxyException], indent: str = "") -> Iterator[str]:
    """Draw the tree below `error` as the module's docstring does."""
    subclasses = own_subclasses(error)
    for subclass in subclasses:
        is_last = subclass is subclasses[-1]
        yield f"{indent}{'└' if is_last else '├'}── {subclass.__name__}"
        yield from drawn(subclass, indent + ("    " if is_last else "│   "))


def made(error: type[PixyProxyException], detail: str) -> PixyProxyException:
    if issubclass(error, DataValidationError):
        return error("field", detail)
    if issubclass(error, GenerationError):
        return error(detail, maybe_billed=True)
    if issubclass(error, OverloadedError | TooManyLoginsError):
        return error(detail, retry_after=2)
    if issubclass(error, IdempotencyKeyInUseError | ImageDelayedError):
        return error(detail, guid=GUID, retry_after=2)
    return error(detail)


ALL: list[type[PixyProxyException]] = [PixyProxyException, *descendants(PixyProxyException)]


def test_the_docstring_draws_the_real_tree() -> None:
    lines = (errors.__doc__ or "").splitlines()
    start = lines.index("    PixyProxyException")
    end = lines.index("", start)
    pictures = [re.match(r"[│├└─ ]*\w+", line[4:]) for line in lines[start:end]]
    assert [picture and picture.group() for picture in pictures] == ["PixyProxyException", *drawn(PixyProxyException)]


def test_the_docstring_says_what_each_error_means() -> None:
    for error in ALL[1:]:
        assert re.search(rf"── {error.__name__} +\S+", errors.__doc__ or ""), error


def test_every_error_of_the_module_is_in_the_tree() -> None:
    classes = {
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert classes == set(ALL)


def test_the_names_of_the_specification_are_there() -> None:
    specified = {
        "PixyProxyException",
        "DBConnectionError",
        "RecordNotFoundError",
        "ConstraintViolationError",
        "DataValidationError",
        "UnauthorizedError",
        "OperationNotAllowedError",
        "BadRequestError",
        "EndpointNotFoundError",
        "AuthenticationError",
    }
    assert specified <= {error.__name__ for error in ALL}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_reads_as_its_detail(error: type[PixyProxyException]) -> None:
    raised = made(error, "What is wrong.")
    assert raised.detail == "What is wrong."
    assert str(raised) == "What is wrong."


def test_a_validation_error_names_its_field() -> None:
    assert DataValidationError("prompt", "must be there").field == "prompt"


def test_msgspec_reports_a_validation_error_where_it_decodes() -> None:
    class Even(msgspec.Struct):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise DataValidationError("number", "must be even")

    with pytest.raises(msgspec.ValidationError, match="must be even"):
        msgspec.json.decode(b'{"number": 3}', type=Even)


def test_a_generation_error_must_say_whether_it_may_have_been_billed() -> None:
    assert GenerationFailedError("No image.", maybe_billed=True).maybe_billed
    with pytest.raises(TypeError, match="maybe_billed"):
        GenerationFailedError("No image.")  # type: ignore[call-arg]


def test_a_generation_error_tells_when_to_try_again_if_the_generator_named_it() -> None:
    assert GenerationRateLimitedError("Slower.", maybe_billed=False).retry_after is None
    assert GenerationRateLimitedError("Slower.", maybe_billed=False, retry_after=1.5).retry_after == 1.5


@pytest.mark.parametrize(("asked", "told"), [(1e9, 3_600), (-1, 0), (float("inf"), None), (float("nan"), None)])
def test_a_generation_error_tells_no_client_to_wait_for_longer_than_an_hour(asked: float, told: float | None) -> None:
    assert GenerationRateLimitedError("Slower.", maybe_billed=False, retry_after=asked).retry_after == told


def test_an_overload_tells_when_to_try_again() -> None:
    assert OverloadedError("Too much.", retry_after=1.5).retry_after == 1.5


@pytest.mark.parametrize("error", list(descendants(GenerationError)), ids=lambda error: error.__name__)
def test_each_kind_of_generation_error_says_what_may_follow(error: type[GenerationError]) -> None:
    assert error.is_outcome_known == (error.__name__ not in UNKNOWN_OUTCOME)
    assert error.is_retryable == (error.__name__ not in NOT_RETRYABLE)


def test_a_generation_error_tells_the_generators_name_for_the_attempt_if_there_is_one() -> None:
    assert GenerationFailedError("No image.", maybe_billed=True).request_id is None
    assert GenerationFailedError("No image.", maybe_billed=True, request_id="req_1").request_id == "req_1"


def test_a_generation_error_has_what_is_to_be_kept_if_there_is_anything() -> None:
    assert GenerationFailedError("No image.", maybe_billed=True).quarantine is None
    assert GenerationFailedError("No image.", maybe_billed=True, quarantine=b"{}").quarantine == b"{}"


def test_a_generation_error_names_the_field_to_blame_if_there_is_one() -> None:
    assert GenerationFailedError("No image.", maybe_billed=True).field is None
    assert GenerationOptionError("No image.", maybe_billed=False, field="size").field == "size"


def test_a_generation_error_names_no_image_and_no_replay_by_default() -> None:
    error = GenerationFailedError("No image.", maybe_billed=True)
    assert (error.guid, error.is_replay) == (None, False)


@pytest.mark.parametrize("kind", [IdempotencyKeyInUseError, ImageDelayedError])
def test_a_delayed_image_is_named_with_the_time_to_ask_again(
    kind: type[IdempotencyKeyInUseError | ImageDelayedError],
) -> None:
    error = kind("Not yet.", guid=GUID, retry_after=1.5)
    assert (error.guid, error.retry_after) == (GUID, 1.5)
