"""Every error PixyProxy raises on purpose.

::

    PixyProxyException
    ├── BadRequestError                 bad request
    │   ├── DataValidationError         one named field breaks a rule
    │   ├── UploadTooLargeError         an uploaded file has too many bytes
    │   └── PictureUnavailableError     the picture at a URL can't be fetched
    ├── UnauthorizedError               a login is needed and none was given
    ├── AuthenticationError             the login is not valid
    ├── TooManyLoginsError              too many wrong logins with this user name from this address
    ├── OperationNotAllowedError        the principal may not do this
    ├── RecordNotFoundError             there is no such record, or none this principal may know of
    │   └── ModelNotFoundError          there is no such model, or none that requests may name
    ├── EndpointNotFoundError           there is no such endpoint
    ├── ConstraintViolationError        the record conflicts with a stored one
    ├── PreconditionFailedError         the record has changed since the client saw it
    ├── PreconditionRequiredError       the client has to name the version of the record it saw
    ├── DBConnectionError               the database does not answer
    ├── SchemaOutdatedError             the database lacks schema scripts this version needs
    ├── DamagedRecordError              the database holds a record that breaks a rule
    ├── OverloadedError                 PixyProxy is at capacity
    ├── IdempotencyKeyReusedError       the key belongs to a request with another body
    ├── IdempotencyKeyInUseError        the first request with this key is still running
    ├── ImageDelayedError               the image is not ready yet, and may become so
    ├── ContentStoreError               the content store can't read or write
    │   ├── ContentNotFoundError        the content store holds nothing under this key
    │   └── DamagedContentError         the content is not what was stored
    └── GenerationError                 no image came out of the generator
        ├── GenerationRefusedError      the generator refuses to draw this prompt
        ├── GenerationOptionError       the generator does not take an option of the request
        ├── GenerationFailedError       the generator answered with something that is no image
        ├── GenerationFaultError        PixyProxy or an adapter has a fault
        ├── GenerationTimedOutError     the generator did not answer in time
        ├── GenerationBrokenOffError    the connection to the generator broke off before the answer was there
        ├── GenerationAbandonedError    the process that waited for the generator died
        ├── GenerationNotStartedError   the image was given up before anything was bought
        ├── ReferenceGoneError          a picture that the image was to be drawn from is gone
        ├── ContentNotKeptError         the content store could not keep the image
        ├── GenerationRateLimitedError  the generator wants fewer requests
        ├── GeneratorUnavailableError   the generator can't be reached or has no capacity
        ├── GeneratorCredentialsError   the generator does not accept PixyProxy's own key
        └── GeneratorSetupError         the generator does not accept PixyProxy's account, model or options
            └── GeneratorQuotaError     PixyProxy's account at the generator has no budget left

A `detail` is written for the client: it names the problem and never a secret, a path or SQL. What is only for the
operator, such as a path, goes into a note (PEP 678), which the command line and the log show.
"""

import math
from typing import ClassVar, Final
from uuid import UUID

RETRY_AFTER_MAX: Final = 3_600.0
"""The most seconds that clients are told to wait, whatever a generator asks for."""


class PixyProxyException(Exception):  # noqa: N818 -- the name is part of the specification
    """Base of every error that PixyProxy raises on purpose.

    Takes `detail`, one sentence for the client.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequestError(PixyProxyException):
    """The request is malformed."""


class DataValidationError(BadRequestError, ValueError):
    """One field breaks a rule of the domain; takes the `field`'s name and a `detail` that says which rule.

    It is a `ValueError` so that msgspec reports it as a validation error when it decodes a struct.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class UploadTooLargeError(BadRequestError):
    """An uploaded file has too many bytes; takes the `field` of the request that the file is for."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class PictureUnavailableError(BadRequestError):
    """The picture at a URL of the client's can't be fetched, or must not be.

    Its `detail` never says where a host name leads, nor what a server sends.
    """


class UnauthorizedError(PixyProxyException):
    """A login is needed and none was given."""


class AuthenticationError(PixyProxyException):
    """The login that was given is malformed, unknown, wrong or disabled."""


class TooManyLoginsError(PixyProxyException):
    """Too many wrong logins; takes `retry_after`, the seconds after which another login is verified."""

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class OperationNotAllowedError(PixyProxyException):
    """The principal may not do this."""


class RecordNotFoundError(PixyProxyException):
    """There is no such record, or none that this principal may know of."""


class ModelNotFoundError(RecordNotFoundError):
    """There is no such model, or none that requests may name; `field` is the one that names it."""

    field = "model"


class EndpointNotFoundError(PixyProxyException):
    """There is no such endpoint."""


class ConstraintViolationError(PixyProxyException):
    """The record conflicts with a stored one, such as a name that is taken."""


class PreconditionFailedError(PixyProxyException):
    """The record has changed since the client saw it."""


class PreconditionRequiredError(PixyProxyException):
    """The client has to name the version of the record it saw (RFC 6585, section 3)."""


class DBConnectionError(PixyProxyException):
    """The database can't be reached, is too busy, or the connection was lost: another attempt may succeed."""

    retry_after: ClassVar[float] = 1.0


class SchemaOutdatedError(PixyProxyException):
    """The database lacks schema scripts that this version of PixyProxy needs."""


class DamagedRecordError(PixyProxyException):
    """The database holds a record that breaks a rule of the domain: something else has written it."""


class OverloadedError(PixyProxyException):
    """PixyProxy is at capacity; takes `retry_after`, the seconds until another attempt."""

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class IdempotencyKeyReusedError(PixyProxyException):
    """The idempotency key belongs to a request with another body."""


class IdempotencyKeyInUseError(PixyProxyException):
    """The first request with this idempotency key is still running.

    Takes the `guid` of its image or of its `batch`, and `retry_after`, the seconds until another attempt.
    """

    def __init__(self, detail: str, *, guid: UUID | None = None, batch: UUID | None = None, retry_after: float) -> None:
        super().__init__(detail)
        self.guid = guid
        self.batch = batch
        self.retry_after = retry_after


class ImageDelayedError(PixyProxyException):
    """The image is not ready yet, and may become ready without another request.

    Takes its `guid` or that of its `batch`, and `retry_after`, the seconds until it should be looked up.
    """

    def __init__(self, detail: str, *, guid: UUID | None = None, batch: UUID | None = None, retry_after: float) -> None:
        super().__init__(detail)
        self.guid = guid
        self.batch = batch
        self.retry_after = retry_after


class ContentStoreError(PixyProxyException):
    """The content store can't read or write: a full disk, a missing folder, missing rights."""


class ContentNotFoundError(ContentStoreError):
    """The content store holds nothing under this key."""


class DamagedContentError(ContentStoreError):
    """The content is not what was stored under its key."""


class GenerationError(PixyProxyException):
    """No image came out of the generator.

    Takes `maybe_billed`, false only if the generator surely did not charge; `retry_after`, the seconds until another
    attempt if the generator named them, an hour at most; `request_id`, the generator's name for the attempt;
    `quarantine`, the paid bytes that are no picture, to be kept; and `field`, the one of the request to blame, if the
    client can mend it. `guid` is the image's, if there is one, and `batch` that of a batch of which no image came out.
    `is_replay` marks the answer to an earlier request with the same idempotency key.

    `is_retryable` says whether the same prompt may succeed later, and `is_outcome_known` whether the generator has
    surely ended its work.
    """

    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = True

    def __init__(
        self,
        detail: str,
        *,
        maybe_billed: bool,
        retry_after: float | None = None,
        request_id: str | None = None,
        quarantine: bytes | bytearray | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.maybe_billed = maybe_billed
        self.retry_after = _bounded(retry_after)
        self.request_id = request_id
        self.quarantine = quarantine
        self.field = field
        self.guid: UUID | None = None
        self.batch: UUID | None = None
        self.is_replay = False


def _bounded(retry_after: float | None) -> float | None:
    if retry_after is None or not math.isfinite(retry_after):
        return None
    return min(max(0.0, retry_after), RETRY_AFTER_MAX)


class GenerationRefusedError(GenerationError):
    """The generator refuses to draw this prompt."""

    is_retryable = False


class GenerationOptionError(GenerationError):
    """The generator does not take an option of the request, which `field` names."""

    is_retryable = False


class GenerationFailedError(GenerationError):
    """The generator answered with an error or with something that is no image."""


class GenerationFaultError(GenerationError):
    """PixyProxy or an adapter has a fault; the cause is the unexpected exception."""

    is_retryable = False


class GenerationTimedOutError(GenerationError):
    """The generator did not answer in time."""

    is_outcome_known = False


class GenerationBrokenOffError(GenerationError):
    """The connection to the generator broke off before the answer was there."""

    is_outcome_known = False


class GenerationAbandonedError(GenerationError):
    """The process that waited for the generator died."""

    is_outcome_known = False


class GenerationNotStartedError(GenerationError):
    """The image was given up before anything was bought."""


class ReferenceGoneError(GenerationError):
    """A reference or mask was gone before anything was bought."""

    is_retryable = False


class ContentNotKeptError(GenerationError):
    """The content store could not keep the image."""


class GenerationRateLimitedError(GenerationError):
    """The generator wants fewer requests."""


class GeneratorUnavailableError(GenerationError):
    """The generator can't be reached or has no capacity left."""


class GeneratorCredentialsError(GenerationError):
    """The generator does not accept the key that PixyProxy was started with."""

    is_retryable = False


class GeneratorSetupError(GenerationError):
    """The generator does not accept PixyProxy's account, model or options; only the operator can fix it."""

    is_retryable = False


class GeneratorQuotaError(GeneratorSetupError):
    """PixyProxy's account at the generator has no budget left."""
