"""What templates show of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Self
from urllib.parse import urlencode

import msgspec

from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.user import Principal
from pixyproxy.domain.variant import THUMBNAIL_QUALITY, THUMBNAIL_SIDE, Fit, VariantPolicy
from pixyproxy.entrypoints.http.images.schemas import GenerationProblem
from pixyproxy.entrypoints.http.paths import PRIVATE_PATH, PUBLIC_PATH

# On a fine screen, twice the pixels hide what the lower quality loses.
_FINE_QUALITY: Final = 50
_ALT_MAX_LENGTH: Final = 120


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides in pixels of a thumbnail, of one for fine screens, and of a picture to look at."""

    thumbnail: int
    fine: int
    picture: int

    @classmethod
    def of(cls, policy: VariantPolicy) -> "Sides":
        """Return the wanted sides, or the nearest ones that the operator allows."""
        return cls(*(policy.nearest_side(side) for side in (THUMBNAIL_SIDE, 512, 1024)))


class Editable(msgspec.Struct, frozen=True, kw_only=True):
    """What of an image its page can change, in one version; `filename` is None without a file."""

    version: int
    tags: Sequence[str]
    visibility: Visibility
    filename: str | None

    @classmethod
    def of(cls, image: Image) -> Self:
        """Return what is there now."""
        filename = image.filename if image.content else None
        return cls(version=image.version, tags=list(image.tags), visibility=image.visibility, filename=filename)


@dataclass(frozen=True)
class Shown:
    """An image as a page shows it to a principal; `list_query` is that of the list that it is looked at in."""

    image: Image
    principal: Principal
    prefix: str
    sides: Sides
    list_query: str = ""

    @property
    def guid(self) -> str:
        """The public id."""
        return str(self.image.guid)

    @property
    def alt(self) -> str:
        """The prompt in one line, shortened: what a person who can't see the picture has of it."""
        text = " ".join(self.image.prompt.split())
        return text if len(text) <= _ALT_MAX_LENGTH else f"{text[:_ALT_MAX_LENGTH]}…"

    @property
    def is_ready(self) -> bool:
        """Whether there is a picture."""
        return self.image.status is ImageStatus.READY

    @property
    def is_own(self) -> bool:
        """Whether the principal may change the image."""
        return self.principal.may_manage(self.image.author)

    @property
    def version(self) -> str:
        """The entity tag for `If-Match`."""
        return f'"{self.image.version}"'

    @property
    def editable(self) -> Editable:
        """What the page can change."""
        return Editable.of(self.image)

    @property
    def seen(self) -> str:
        """What the page can change as JSON, which its form sends back: so a change by others is noticed."""
        return msgspec.json.encode(self.editable).decode()

    @property
    def page_url(self) -> str:
        """The address of the image's page, which leads back to the list."""
        return self._url(f"/gallery/image/{self.guid}", self.list_query)

    @property
    def delete_url(self) -> str:
        """The address at which the image can be deleted."""
        return self._url(f"/gallery/image/{self.guid}/delete", self.list_query)

    @property
    def share_url(self) -> str:
        """The address at which a link to the image can be made."""
        return self._url(f"/gallery/image/{self.guid}/share", self.list_query)

    @property
    def api_url(self) -> str:
        """The address of the image in the API."""
        is_public = self.image.visibility is Visibility.PUBLIC
        return self._url(f"{PUBLIC_PATH if is_public else PRIVATE_PATH}/{self.guid}")

    @property
    def content_url(self) -> str:
        """The address of the picture as it is stored."""
        return f"{self.api_url}/content"

    @property
    def download_url(self) -> str:
        """The address at which a browser saves the picture under its name."""
        return f"{self.content_url}?download=true"

    @cached_property
    def thumbnail_url(self) -> str:
        """The address of the square thumbnail that exists as soon as the image is ready."""
        return self._cover(self.sides.thumbnail, THUMBNAIL_QUALITY)

    @cached_property
    def fine_url(self) -> str:
        """The address of the square thumbnail for fine screens."""
        return self._cover(self.sides.fine, _FINE_QUALITY)

    @cached_property
    def picture_url(self) -> str:
        """The address of the whole picture, small enough to look at."""
        side = self.sides.picture
        return f"{self.content_url}?{urlencode({'width': side, 'height': side, 'format': 'auto'})}"

    @property
    def shown_size(self) -> tuple[int, int]:
        """The width and height of the whole picture as it is shown, in pixels; a square before it is ready."""
        content, side = self.image.content, self.sides.picture
        if content is None:
            return side, side
        scale = min(1.0, side / content.width, side / content.height)
        return max(1, round(content.width * scale)), max(1, round(content.height * scale))

    @property
    def seconds(self) -> int:
        """The seconds since the image was requested."""
        return max(0, round((datetime.now(UTC) - self.image.created_at).total_seconds()))

    @cached_property
    def problem(self) -> GenerationProblem | None:
        """Why there is no picture, if the image has failed or is unknown."""
        error = self.image.generation_error
        return None if error is None else GenerationProblem.from_error(error)

    def _cover(self, side: int, quality: int) -> str:
        query = {"width": side, "height": side, "fit": Fit.COVER.value, "format": "auto", "quality": quality}
        return f"{self.content_url}?{urlencode(query)}"

    def _url(self, path: str, query: str = "") -> str:
        return f"{self.prefix}{path}?{query}" if query else f"{self.prefix}{path}"
