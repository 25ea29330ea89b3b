"""Which credentials a route takes, in the OpenAPI document."""

from collections.abc import Sequence
from typing import Final

Alternatives = Sequence[dict[str, list[str]]]

PASSWORD: Final[Alternatives] = ({"basic": []},)
LOGIN: Final[Alternatives] = (*PASSWORD, {"bearer": []})
OPTIONAL_LOGIN: Final[Alternatives] = ({}, *LOGIN)
