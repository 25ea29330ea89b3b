"""Use case: rotate the database's own key of signed links."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.ports import SecretStore

LINK_SECRET: Final = "link"  # noqa: S105 -- its name


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateLinkKey:
    """Sign links with a new key from now on; all processes follow within five seconds.

    Links that the key before has signed stay valid until they expire or the next rotation; with `revoke`, no earlier
    link does.
    """

    secrets: SecretStore
    access: AccessChanges

    async def __call__(self, *, revoke: bool = False) -> None:
        try:
            await self.secrets.rotate(LINK_SECRET, revoke=revoke)
        finally:
            self.access.note_change()
