"""What is bought of OpenAI."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from pixyproxy.adapters.openai.upstream_error import NOTHING_GIVEN
from pixyproxy.domain.ports import NO_PICTURES, InputPictures

OnEvent = Callable[[bytes], Awaitable[bool]]
"""Gets each event of a streamed answer, and says whether it is the last one."""


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """One generation, or an edit of `pictures` if there are any.

    `parameters` have OpenAI's names; `given` are those that the client chose, with their fields in the client's
    request. The complete events of a streamed answer go to `on_event`.
    """

    parameters: Mapping[str, Any]
    given: Mapping[str, str] = NOTHING_GIVEN
    pictures: InputPictures = NO_PICTURES
    on_event: OnEvent | None = None
