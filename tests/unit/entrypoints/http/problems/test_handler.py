"""From errors to problem details."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain import errors
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.problems.problem_types import PROBLEM_TYPES
from tests.unit.entrypoints.http.conftest import ANN, Client
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import serving


def tree(root: type[errors.PixyProxyException]) -> Iterator[type[errors.PixyProxyException]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize("error", list(tree(errors.PixyProxyException)))
def test_every_error_of_the_domain_has_a_meaning_of_its_own(error: type[errors.PixyProxyException]) -> None:
    assert error in PROBLEM_TYPES


@pytest.mark.parametrize(
    ("error", "status", "type_"),
    [
        (errors.DBConnectionError, 503, "db-connection"),
        (errors.RecordNotFoundError, 404, "record-not-found"),
        (errors.ConstraintViolationError, 409, "constraint-violation"),
        (errors.UnauthorizedError, 401, "unauthorized"),
        (errors.OperationNotAllowedError, 403, "operation-not-allowed"),
        (errors.BadRequestError, 400, "bad-request"),
        (errors.EndpointNotFoundError, 404, "endpoint-not-found"),
        (errors.AuthenticationError, 401, "authentication"),
        (errors.ContentStoreError, 503, "content-store"),
        (errors.PixyProxyException, 500, "pixy-proxy-exception"),
    ],
)
async def test_an_error_keeps_its_status_and_detail(
    error: type[errors.PixyProxyException], status: int, type_: str
) -> None:
    class FailingImageRepository(InMemoryImageRepository):
        async def list(self, *_: Any, **__: Any) -> Sequence[Image]:
            raise error("Exactly this.")

    async with serving(images=FailingImageRepository()) as served:
        found = problem(await served.get("/image"), status)

    assert found["detail"] == "Exactly this."
    assert found["type"] == f"urn:pixyproxy:problem:{type_}"


async def test_a_database_that_is_away_says_when_to_try_again() -> None:
    class FailingImageRepository(InMemoryImageRepository):
        async def list(self, *_: Any, **__: Any) -> Sequence[Image]:
            raise errors.DBConnectionError("The database does not answer.")

    async with serving(images=FailingImageRepository()) as served:
        assert (await served.get("/image")).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.GenerationRefusedError, 422),
        (errors.GenerationOptionError, 400),
        (errors.GenerationFailedError, 502),
        (errors.GenerationTimedOutError, 504),
        (errors.GenerationRateLimitedError, 429),
        (errors.GeneratorUnavailableError, 503),
        (errors.GeneratorCredentialsError, 500),
        (errors.GeneratorSetupError, 500),
    ],
)
def test_each_failure_of_a_generation_has_its_status(
    client: Client, container: Container, error: type[errors.GenerationError], status: int
) -> None:
    container.generator().fail_next(error("No image.", maybe_billed=False))
    response = client.post("/image", json={"prompt": "a"}, auth=ANN)
    problem(response, status)
    assert "Retry-After" not in response.headers

    container.generator().fail_next(error("No image.", maybe_billed=False, retry_after=1.2))
    response = client.post("/image", json={"prompt": "a"}, auth=ANN)
    problem(response, status)
    assert response.headers["Retry-After"] == "2"


def test_an_option_that_the_generator_does_not_take_is_named(client: Client, container: Container) -> None:
    detail = "OpenAI does not accept the size."
    error = errors.GenerationOptionError(detail, maybe_billed=False, field="size")
    container.generator().fail_next(error)

    found = problem(client.post("/image", json={"prompt": "a"}, auth=ANN), 400, "size")

    assert found["type"] == "urn:pixyproxy:problem:generation-option"
    assert found["detail"] == detail
    assert found["errors"] == [{"field": "size", "detail": detail}]
    assert (found["retryable"], found["maybe_billed"]) == (False, False)


def test_a_fault_leaks_nothing(client: Client, container: Container, caplog: pytest.LogCaptureFixture) -> None:
    container.generator().fail_next(ZeroDivisionError("SELECT secret FROM /srv/pixyproxy/keys"))

    response = client.post("/image", json={"prompt": "a"}, auth=ANN)

    problem(response, 500)
    for leak in ("SELECT", "/srv", "ZeroDivision", "Traceback", "secret"):
        assert leak not in response.text
    assert client.get("/image").json() == []
