"""A request whose body must be JSON."""

from http import HTTPStatus
from typing import Any

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

    async def body(self) -> bytes:
        media_type, _ = self.content_type
        if media_type != "application/json":
            raise HTTPException(
                status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail="The Content-Type must be application/json."
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
