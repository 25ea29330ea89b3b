"""Looking users up by name."""

from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import User, parse_login_names, user_not_found


async def find_user(users: UserRepository, name: str, field: str = "name") -> User:
    """Return the user named `name`; raise `RecordNotFoundError` for an unknown name.

    Raises `DataValidationError`, which blames `field`, for what is no name.
    """
    for candidate in parse_login_names(name, field):
        try:
            return await users.get(candidate)
        except RecordNotFoundError:
            continue
    raise user_not_found()
