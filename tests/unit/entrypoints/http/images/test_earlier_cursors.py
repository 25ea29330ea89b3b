"""Cursors that the release 482b97f has given to clients."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.secret_store import InMemorySecretStore
from pixyproxy.domain.image import ImageScope, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import ANONYMOUS, UserName
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.images.pages import image_list_name
from tests.factories import ContentInfoFactory, ImageFactory
from tests.unit.entrypoints.http.conftest import ANN, Client

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL_FILTERS = (
    "/private/image?q=red&visibility=private&author=ann&sort=created_at&model=gpt-image-2&tag=fox&limit=2"
    "&media_type=image/png&created_after=2026-11-21T13:00:00.5%2B01:00&created_before=2026-11-22T00:00:00Z"
)


class KnownSecrets(InMemorySecretStore):
    """Has the key that the cursors below were signed with."""

    async def get(self, name: str) -> bytes:
        return bytes(range(32))


@pytest.fixture
async def container(container: Container) -> Container:
    """Three public and three private images of Ann's."""
    container.secrets.override(providers.Object(KnownSecrets()))
    for visibility, first in ((Visibility.PUBLIC, 1), (Visibility.PRIVATE, 17)):
        for number in range(3):
            image = ImageFactory.build(
                guid=UUID(int=first + number),
                filename=f"{visibility}-{number}",
                author=UserName("ann"),
                prompt="a red fox",
                tags=(Tag("fox"), Tag(f"tag{number}")),
                visibility=visibility,
                created_at=NOON + timedelta(minutes=number + 1),
                model="gpt-image-2",
                content=ContentInfoFactory.build(media_type="image/png"),
            )
            await container.images().add(image)
    return container


@pytest.mark.parametrize(
    ("query", "cursor", "found"),
    [
        ("/image?limit=2", "AAAGYMggyH4AAAAAAAAAAAAAAAAAAAAAAkZMPF5iYvmeC6QtV7Exo7g", ["public-0"]),
        ("/image?limit=2", "AQAGYMgdNPcAAAAAAAAAAAAAAAAAAAAAAfEoSYXbhV-z1lYfumsJGBI", ["public-2", "public-1"]),
        (
            "/image?q=fox&limit=2&sort=created_at",
            "AAAGYMggyH4AAAAAAAAAAAAAAAAAAAAAAtcBtuHjJ1FQZttKoCkTi-A",
            ["public-2"],
        ),
        (
            "/private/image?tag=fox&limit=2&visibility=private",
            "AAAGYMggyH4AAAAAAAAAAAAAAAAAAAAAEv1W-qmqtY3AK-WMIuVgXss",
            ["private-0"],
        ),
        (ALL_FILTERS, "AAAGYMggyH4AAAAAAAAAAAAAAAAAAAAAEmQJAwR3Ev2UeOGAEsd6aVs", ["private-2"]),
        (ALL_FILTERS, "AQAGYMgkXAUAAAAAAAAAAAAAAAAAAAAAEyyprVjEC8Ty_xOV6S6Thd4", ["private-0", "private-1"]),
        ("/tag?limit=1", "AGZveKRIvKNobSRaXSjWv5D2UDI", ["tag0"]),
        ("/tag?limit=1", "AXRhZzDT12ZcRszmpGnBAgaz8Xil", ["fox"]),
        ("/private/tag?limit=1&prefix=t", "AHRhZzByRYh4UYv2iNHtqhUA3MPH", ["tag1"]),
    ],
)
def test_a_cursor_of_an_earlier_release_leads_to_the_same_page(
    client: Client, query: str, cursor: str, found: list[str]
) -> None:
    page = client.get(f"{query}&cursor={cursor}", auth=ANN)

    assert page.status_code == 200, page.text
    assert [entry.get("filename") or entry["tag"] for entry in page.json()] == found


class LaterFilter(ImageFilter, frozen=True, kw_only=True):
    """A filter with a field that the releases so far do not know."""

    size: str | None = None


def test_a_filter_that_is_not_given_does_not_change_the_name_of_a_list() -> None:
    def name(wanted: ImageFilter) -> bytes:
        return image_list_name(ANONYMOUS, ImageScope.PUBLIC, wanted, ImageOrder.NEWEST_FIRST)

    assert name(ImageFilter(model="a", batch=UUID(int=1))) != name(ImageFilter(model="a"))
    assert name(ImageFilter(model="a", derived_from=UUID(int=1))) != name(ImageFilter(model="a", batch=UUID(int=1)))
    assert name(ImageFilter(model="a", status=ImageStatus.FAILED)) != name(ImageFilter(model="a"))
    assert name(LaterFilter(model="a")) == name(ImageFilter(model="a"))
    assert name(LaterFilter(model="a", size="1024x1024")) != name(ImageFilter(model="a"))
