"""A user's own API keys, and for administrators those of all users."""

from typing import Annotated, Final

from litestar import Response, Router, delete, get, post
from litestar.openapi.spec import OpenAPIType
from litestar.params import Body

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.key_scopes import PASSWORD_ONLY
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import PASSWORD
from pixyproxy.entrypoints.http.content.representations import FOR_ONE, LOGIN_HEADERS, json_response
from pixyproxy.entrypoints.http.images.responses import LIST_ETAG_HEADER, UNCHANGED
from pixyproxy.entrypoints.http.json_request import StrictJSONRequest
from pixyproxy.entrypoints.http.keys.schemas import CreatedKeyDetail, CreateKeyBody, KeyDetail
from pixyproxy.entrypoints.http.options import options
from pixyproxy.entrypoints.http.parameters import KeyGuid, query_parameter, taking
from pixyproxy.entrypoints.http.problems.responses import problems
from pixyproxy.entrypoints.http.query import QueryParameters, ensure_known, parse_flag, single

KEY_PATH: Final = "/private/key"

_PARAMETERS: Final = (
    query_parameter("user", "Whose keys: one's own by default; another user's for administrators."),
    query_parameter(
        "all",
        "`true`: the keys of all users, for administrators. Not together with `user`.",
        enum=["true", "false"],
        type=OpenAPIType.STRING,
    ),
)


def private_keys(container: Container) -> Router:
    """Return the routes of API keys, which take no API key themselves."""
    list_keys, create_key, revoke_key = container.list_keys(), container.create_key(), container.revoke_key()
    clock = container.clock()

    @get(
        "/",
        opt=PASSWORD_ONLY,
        summary="List one's own API keys",
        response_description="The keys, the oldest first.",
        response_headers=[LIST_ETAG_HEADER],
        operation_class=taking(*_PARAMETERS),
        responses=UNCHANGED | problems(400, 401, 403, 404, 412, 503),
    )
    async def list_private_keys(request: APIRequest) -> Response[list[KeyDetail]]:
        """List your API keys, revoked and expired ones, too, without their secrets.

        An administrator may list those of another `user`, or of `all` users.
        """
        user, of_all = _whose(request.query_params)
        keys = await list_keys(request.user, user=user, of_all=of_all)
        log_administrator_access(request.scope, None if of_all else user or request.user.name)
        details = [KeyDetail.from_key(key, at=clock.now()) for key in keys]
        response: Response[list[KeyDetail]] = json_response(request, details, {**FOR_ONE, "Vary": LOGIN_HEADERS})
        return response

    @post(
        "/",
        opt=PASSWORD_ONLY,
        status_code=200,
        summary="Make an API key",
        response_description="The key, with its secret.",
        request_class=StrictJSONRequest,
        responses=problems(400, 401, 403, 404, 408, 413, 415, 503),
    )
    async def create_private_key(
        data: Annotated[CreateKeyBody, Body(description="The key to make.")], request: APIRequest
    ) -> Response[CreatedKeyDetail]:
        """Make an API key of your own, or as an administrator one of another `user`. It is shown only this once."""
        created = await create_key(request.user, **data.to_arguments())
        log_administrator_access(request.scope, created.key.user, created.key.guid)
        detail = CreatedKeyDetail.from_created(created, at=clock.now())
        return Response(detail, headers={"Cache-Control": "no-store"})

    @delete(
        "/{guid:str}",
        opt=PASSWORD_ONLY,
        summary="Revoke an API key",
        response_description="It is revoked.",
        responses=problems(400, 401, 403, 404, 503),
    )
    async def revoke_private_key(guid: KeyGuid, request: APIRequest) -> None:
        """Revoke an API key of yours for good, or as an administrator any.

        It stays in lists. All processes of the service refuse it within five seconds.
        """
        log_administrator_access(request.scope, (await revoke_key(guid, request.user)).user, guid)

    return Router(
        KEY_PATH,
        route_handlers=[options("/", "GET", "POST"), list_private_keys, create_private_key, revoke_private_key],
        middleware=[authentication(*logins(container)), require_login],
        security=PASSWORD,
        tags=["API keys"],
    )


def _whose(query: QueryParameters) -> tuple[str | None, bool]:
    """Return the user whose keys are listed, and whether those of all users are; raise `DataValidationError`."""
    ensure_known(query, [parameter.name for parameter in _PARAMETERS])
    user, flag = single(query, "user"), single(query, "all")
    of_all = flag is not None and parse_flag("all", flag)
    if of_all and user is not None:
        raise DataValidationError("all", "must not be given with user")
    return user, of_all
