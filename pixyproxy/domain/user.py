"""Users and principals."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NewType
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import (
    DataValidationError,
    OperationNotAllowedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.text import (
    ensure_bounded,
    ensure_encodable,
    ensure_label,
    ensure_length,
    ensure_new_label,
    normalized_label,
)

USER_NAME_MAX_LENGTH = 64
PASSWORD_MIN_LENGTH = 8
PASSWORD_MAX_LENGTH = 1024

UserId = NewType("UserId", int)
UserName = NewType("UserName", str)
Password = NewType("Password", str)
PasswordHash = NewType("PasswordHash", str)


def parse_user_name(text: str, field: str = "name") -> UserName:
    """Return `text` as a user name, normalised by `normalized_label`.

    A name has 1 to 64 characters, no control characters, no white space around it, and no colon, because HTTP Basic
    separates name and password with one (RFC 7617, section 2). Raises `DataValidationError` otherwise.
    """
    name = normalized_label(field, text, USER_NAME_MAX_LENGTH)
    ensure_user_name(field, name)
    return UserName(name)


def parse_new_user_name(text: str) -> UserName:
    """Return `text` as the name of a new user; raise `DataValidationError` also for what `ensure_new_label` refuses."""
    name = parse_user_name(text)
    ensure_new_label("name", name, USER_NAME_MAX_LENGTH)
    return name


def parse_login_names(text: str, field: str = "name") -> Sequence[UserName]:
    """Return the names that `text` may stand for, the likeliest first.

    Names stored by earlier versions or by SQL need not be normalised: they match as written. Raises
    `DataValidationError`.
    """
    name = parse_user_name(text, field)
    return (name,) if text == name or len(text) > USER_NAME_MAX_LENGTH else (UserName(text), name)


def normalized_user_name(name: str) -> UserName:
    """Return a stored name normalised by `parse_user_name`; one that can't be normalised stays as it is."""
    try:
        return parse_user_name(name)
    except DataValidationError:
        return UserName(name)


def ensure_user_name(field: str, text: str) -> None:
    """Raise `DataValidationError` for a name that no user was stored with."""
    ensure_label(field, text, USER_NAME_MAX_LENGTH)
    if ":" in text:
        raise DataValidationError(field, "must not contain a colon")


def parse_password(text: str) -> Password:
    """Return `text` as a password in Unicode's NFC form (RFC 8265, section 4.2.1).

    Raises `DataValidationError` unless it has 8 to 1,024 characters, no NUL, no lone surrogate, and at most 30
    combining marks in a row.
    """
    ensure_bounded("password", text, PASSWORD_MAX_LENGTH)
    password = unicodedata.normalize("NFC", text)
    ensure_encodable("password", password)
    ensure_length("password", password, PASSWORD_MIN_LENGTH, PASSWORD_MAX_LENGTH)
    return Password(password)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: a user, or anonymous.

    `linked` is the guid of the image that the principal holds an author's link to. An administrator, who is logged in
    with a password, reaches the images and the keys of all users.
    """

    name: UserName | None = None
    linked: UUID | None = None
    is_admin: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Whether the principal is not logged in."""
        return self.name is None

    def may_manage(self, user: UserName | None) -> bool:
        """Whether the principal may reach what is that user's own; None is no user."""
        return self.is_admin or (user is not None and user == self.name)

    def ensure_may_manage(self, user: str | None) -> str:
        """Return the name of the user that is meant, without one the principal's own.

        Raises `OperationNotAllowedError` for another user's unless the principal is an administrator, and
        `UnauthorizedError` without a login.
        """
        if user is None or user == self.name:
            if self.name is None:
                raise UnauthorizedError("This needs a login with a password.")
            return self.name
        self.ensure_admin()
        return user

    def ensure_admin(self) -> None:
        """Raise `OperationNotAllowedError` unless the principal is an administrator."""
        if not self.is_admin:
            raise OperationNotAllowedError("Only an administrator may do this.")


ANONYMOUS = Principal()
OPERATOR = Principal(is_admin=True)
"""Who uses the command line."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user, who may log in.

    `id` is the database's own and is None until the user is stored; `password_hash` is in the PHC string format;
    `created_at` is in UTC. An administrator reaches what all users own. Raises `DataValidationError` for a name that
    breaks the rules of `ensure_user_name`.
    """

    name: UserName
    password_hash: PasswordHash
    created_at: datetime
    is_disabled: bool = False
    is_admin: bool = False
    id: UserId | None = None

    def __post_init__(self) -> None:
        ensure_user_name("name", self.name)


def twins_among(names: Iterable[UserName]) -> Sequence[Sequence[UserName]]:
    """Return groups of two or more names that are equal once normalised.

    New names are normalised, so only names stored by earlier versions or by SQL have twins.
    """
    groups: dict[UserName, list[UserName]] = {}
    for name in names:
        groups.setdefault(normalized_user_name(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def user_not_found() -> RecordNotFoundError:
    """Make the one error for an unknown user."""
    return RecordNotFoundError("There is no user with this name.")
