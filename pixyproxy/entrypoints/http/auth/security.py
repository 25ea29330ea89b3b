"""Which credentials a route takes, in the OpenAPI document."""

from collections.abc import Sequence
from typing import Final

Alternatives = Sequence[dict[str, list[str]]]

PASSWORD: Final[Alternatives] = ({"basic": []},)
LOGIN: Final[Alternatives] = (*PASSWORD, {"bearer": []})
SESSION: Final = "session"
"""The scheme that takes the place of a password in a service with sessions."""
OPTIONAL_LOGIN: Final[Alternatives] = ({}, *LOGIN)
