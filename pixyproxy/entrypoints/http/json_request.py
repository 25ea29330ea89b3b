"""A request whose body must be JSON."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from pixyproxy.domain.errors import BadRequestError

# A prompt of 32,000 characters and 32 tags take 420 KB at most, each character escaped.
MAX_BODY_SIZE = 1024 * 1024


class JSONRequest(Request[Any, Any, Any]):
    """Refuses a body that is not JSON with a problem that says why.

    A body of another media type is refused before it is read, so that no form on another site can make a logged-in
    browser buy images: browsers send JSON to another site only after asking that site.
    """

    media_types: ClassVar[Sequence[str]] = ["application/json"]

    async def body(self) -> bytes:
        media_type, _ = self.content_type
        if media_type not in self.media_types:
            raise HTTPException(
                status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                detail=f"The Content-Type must be {' or '.join(self.media_types)}.",
                # RFC 5789, section 2.2, and RFC 9110, section 12.5.1.
                headers={"Accept-Patch" if self.method == "PATCH" else "Accept": ", ".join(self.media_types)},
            )
        try:
            body = await super().body()
        except InternalServerException as exc:
            raise BadRequestError("The client left before the body was whole.") from exc
        except RequestEntityTooLarge as exc:
            raise RequestEntityTooLarge(detail=f"The body is larger than {MAX_BODY_SIZE:,} bytes.") from exc
        if not body:
            raise BadRequestError("The body is empty; it must be a JSON object.")
        return body

    async def json(self) -> Any:
        try:
            return msgspec.json.decode(await self.body())
        except UnicodeDecodeError:
            raise BadRequestError("The body is not valid UTF-8.") from None
        except RecursionError:
            raise BadRequestError("The body is nested too deeply.") from None
        except msgspec.DecodeError as exc:
            raise BadRequestError(f"The body is not valid JSON: {exc}.") from None


class MergePatchRequest(JSONRequest):
    """The same for a merge patch (RFC 7396), which may be called JSON, too."""

    media_types: ClassVar[Sequence[str]] = ["application/merge-patch+json", "application/json"]
