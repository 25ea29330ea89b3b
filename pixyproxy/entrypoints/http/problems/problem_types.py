"""The problem type of each error of the domain: one table."""

import re
from http import HTTPStatus
from typing import Final

import msgspec

from pixyproxy.domain import errors

# For each error the status and a title for people.
PROBLEM_TYPES: Final[dict[type[errors.PixyProxyException], tuple[HTTPStatus, str]]] = {
    errors.PixyProxyException: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy has a fault"),
    errors.BadRequestError: (HTTPStatus.BAD_REQUEST, "Bad request"),
    errors.DataValidationError: (HTTPStatus.BAD_REQUEST, "A field breaks a rule"),
    errors.UploadTooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "An uploaded file is too large"),
    errors.PictureUnavailableError: (HTTPStatus.BAD_REQUEST, "The picture at a URL can't be fetched"),
    errors.UnauthorizedError: (HTTPStatus.UNAUTHORIZED, "A login is needed"),
    errors.AuthenticationError: (HTTPStatus.UNAUTHORIZED, "The login is not valid"),
    errors.TooManyLoginsError: (HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong logins"),
    errors.OperationNotAllowedError: (HTTPStatus.FORBIDDEN, "This is not allowed"),
    errors.RecordNotFoundError: (HTTPStatus.NOT_FOUND, "There is no such record"),
    errors.ModelNotFoundError: (HTTPStatus.NOT_FOUND, "There is no such model"),
    errors.EndpointNotFoundError: (HTTPStatus.NOT_FOUND, "There is no such endpoint"),
    errors.ConstraintViolationError: (HTTPStatus.CONFLICT, "The record contradicts a stored one"),
    errors.PreconditionFailedError: (HTTPStatus.PRECONDITION_FAILED, "The record has changed"),
    errors.PreconditionRequiredError: (HTTPStatus.PRECONDITION_REQUIRED, "The version of the record is missing"),
    errors.DBConnectionError: (HTTPStatus.SERVICE_UNAVAILABLE, "The database is not available"),
    errors.SchemaOutdatedError: (HTTPStatus.SERVICE_UNAVAILABLE, "The database's schema is not up to date"),
    errors.DamagedRecordError: (HTTPStatus.INTERNAL_SERVER_ERROR, "A stored record is damaged"),
    errors.OverloadedError: (HTTPStatus.SERVICE_UNAVAILABLE, "Too much is asked for at once"),
    errors.IdempotencyKeyReusedError: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The idempotency key was used before",
    ),
    errors.IdempotencyKeyInUseError: (HTTPStatus.CONFLICT, "The first request with this key is still running"),
    errors.ImageDelayedError: (HTTPStatus.SERVICE_UNAVAILABLE, "The image is not ready yet"),
    errors.ContentStoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "The content store is not available"),
    errors.ContentNotFoundError: (HTTPStatus.SERVICE_UNAVAILABLE, "The content is missing"),
    errors.DamagedContentError: (HTTPStatus.SERVICE_UNAVAILABLE, "The content is damaged"),
    errors.GenerationError: (HTTPStatus.BAD_GATEWAY, "The generation failed"),
    errors.GenerationRefusedError: (HTTPStatus.UNPROCESSABLE_ENTITY, "The generator refuses this prompt"),
    errors.GenerationOptionError: (HTTPStatus.BAD_REQUEST, "The generator does not take an option"),
    errors.GenerationFailedError: (HTTPStatus.BAD_GATEWAY, "The generation failed"),
    errors.GenerationFaultError: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy has a fault"),
    errors.GenerationTimedOutError: (HTTPStatus.GATEWAY_TIMEOUT, "The generation took too long"),
    errors.GenerationBrokenOffError: (HTTPStatus.BAD_GATEWAY, "The connection to the generator broke off"),
    errors.GenerationAbandonedError: (HTTPStatus.CONFLICT, "The outcome of the generation is unknown"),
    errors.GenerationNotStartedError: (HTTPStatus.SERVICE_UNAVAILABLE, "The generation was not begun"),
    errors.ReferenceGoneError: (HTTPStatus.CONFLICT, "A reference is gone"),
    errors.ContentNotKeptError: (HTTPStatus.SERVICE_UNAVAILABLE, "The image could not be kept"),
    errors.GenerationRateLimitedError: (HTTPStatus.TOO_MANY_REQUESTS, "The generator wants fewer requests"),
    errors.GeneratorUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "The generator is not available"),
    errors.GeneratorCredentialsError: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy is set up wrongly"),
    errors.GeneratorSetupError: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy is set up wrongly"),
    errors.GeneratorQuotaError: (HTTPStatus.INTERNAL_SERVER_ERROR, "The generator's account has no budget left"),
}


class ProblemType(msgspec.Struct, frozen=True):
    """A kind of problem (RFC 9457): its type, its title for people, and its HTTP status."""

    type: str
    title: str
    status: int


def problem_type_of(kind: type[errors.PixyProxyException]) -> ProblemType:
    """Return the problem type of an error class; a host's own class has that of its parent."""
    known = next(ancestor for ancestor in kind.__mro__ if ancestor in PROBLEM_TYPES)
    status, title = PROBLEM_TYPES[known]
    return ProblemType(f"urn:pixyproxy:problem:{kebab_case(known.__name__)}", title, int(status))


def kebab_case(class_name: str) -> str:
    """Return the last part of the type of the problems of an error class."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]+", class_name.removesuffix("Error"))
    return "-".join(words).lower()
