"""Searching: filters, their addresses, and lists that are empty."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from pixyproxy.domain.image import Image
from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.looking import shown
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import until

NEWEST = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def images(gallery: Gallery) -> Sequence[Image]:
    """Images of forty days, half of them Ann's and half of them Bob's."""
    return [
        image for author in ("ann", "bob") for image in gallery.fill(40, author, newest=NEWEST, apart=timedelta(days=1))
    ]


def test_filters_make_an_address_that_shows_the_same_images_elsewhere(
    page: Page, new_page: NewPage, images: Sequence[Image]
) -> None:
    page.goto("/gallery")
    page.get_by_role("searchbox").fill("fox")
    filters = opened_filters(page)
    filters.get_by_label("Tag").fill("fox")
    filters.get_by_label("Author").fill("bob")
    filters.get_by_label("Model").fill("sketch")
    filters.get_by_label("From").fill("2026-10-20")
    filters.get_by_label("To").fill("2026-11-19")
    filters.get_by_label("File type").select_option("JPEG")
    filters.get_by_label("Order").select_option("Oldest first")
    filters.get_by_role("button", name="Show").click()

    page.wait_for_url("**/gallery?*")
    assert dict(parse_qsl(urlsplit(page.url).query)) == {
        "q": "fox",
        "tag": "fox",
        "author": "bob",
        "model": "sketch",
        "created_after": "2026-10-20",
        "created_before": "2026-11-19",
        "media_type": "image/jpeg",
        "sort": "created_at",
    }
    first, last = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)
    fitting = [
        image
        for image in images
        if image.author == "bob" and "fox" in image.prompt and first <= image.created_at < last
    ]
    assert len(fitting) > 1
    expected = [str(image.guid) for image in sorted(fitting, key=lambda image: image.created_at)]
    assert shown(page) == expected
    other = new_page()
    other.goto(page.url)
    assert shown(other) == expected


def test_fields_that_are_empty_are_not_in_the_address(page: Page, images: Sequence[Image]) -> None:
    page.goto("/gallery?tag=fox")
    page.get_by_role("searchbox").fill("snow")
    page.get_by_role("searchbox").press("Enter")

    page.wait_for_url("**/gallery?q=snow&tag=fox")


def test_a_second_tag_narrows_the_list(page: Page, gallery: Gallery, images: Sequence[Image]) -> None:
    (both,) = gallery.fill(1, "ann", tags=["fox", "winter"])
    page.goto("/gallery?tag=fox")

    opened_filters(page).get_by_label("Tag").fill("winter")
    page.keyboard.press("Enter")

    page.wait_for_url("**/gallery?tag=fox&tag=winter")
    assert shown(page) == [str(both.guid)]


def test_back_undoes_one_filter(page: Page, images: Sequence[Image]) -> None:
    page.goto("/gallery?tag=fox")
    before = shown(page)
    opened_filters(page).get_by_label("Author").fill("ann")
    page.keyboard.press("Enter")
    page.wait_for_url("**/gallery?tag=fox&author=ann")

    page.evaluate("history.back()")

    page.wait_for_url("**/gallery?tag=fox")
    until(page, lambda: shown(page) == before)


def test_a_filter_can_be_taken_away_by_itself(page: Page, images: Sequence[Image]) -> None:
    page.goto("/gallery?q=snow&tag=fox&author=ann")

    page.get_by_role("link", name="Remove: Tag: fox").click()

    page.wait_for_url("**/gallery?q=snow&author=ann")
    assert shown(page)
    page.get_by_role("link", name="Clear all").click()
    page.wait_for_url("**/gallery")


def test_when_nothing_is_found_the_filters_are_named_and_can_be_cleared(page: Page, images: Sequence[Image]) -> None:
    page.goto("/gallery?q=unicorn&tag=fox&sort=created_at")

    empty = page.locator(".empty")
    expect(empty.get_by_role("heading")).to_have_text("No image fits all of these filters")
    assert empty.get_by_role("listitem").all_inner_texts() == ["Prompt: unicorn", "Tag: fox"]
    empty.get_by_role("link", name="Clear the filters").click()

    page.wait_for_url("**/gallery")
    assert len(shown(page)) >= 60


@pytest.mark.parametrize("kind", ["forged", "of another list", "of another user"])
def test_a_cursor_that_does_not_fit_leads_to_the_first_page(
    page: Page, gallery: Gallery, images: Sequence[Image], kind: str
) -> None:
    with gallery.api("ann") as client:
        path = "/private/image" if kind == "of another user" else "/image"
        link = client.get(path, params={"limit": 20, "author": "ann"}).links["next"]["url"] if kind != "forged" else ""
    cursor = dict(parse_qsl(urlsplit(link).query)).get(
        "cursor", "AAAGYUX7FJ7JgjysoMocSRC2UiHCvFYJDvLS9byEETRzECuj2I2jHfM"
    )

    response = page.goto(f"/gallery?cursor={cursor}")

    assert response
    assert response.status == 200
    expect(page.get_by_text("That page of the list is no longer known. This is the first page.")).to_be_visible()
    page.goto("/gallery")
    first = shown(page)[:60]
    page.goto(f"/gallery?cursor={cursor}")
    assert shown(page)[:60] == first


def test_a_filter_that_can_not_be_used_is_named(page: Page, images: Sequence[Image]) -> None:
    page.goto("/gallery?sort=size&tag=fox")

    expect(page.locator(".refused")).to_contain_text("sort")
    assert shown(page)


def test_a_gallery_without_images_says_so(page: Page, own_page: Page, gallery: Gallery) -> None:
    with gallery.api("ann") as client:
        assert client.get("/private/image", params={"visibility": "private"}).json() == []

    own_page.goto("/gallery?scope=mine&visibility=private")
    expect(own_page.locator(".empty")).to_contain_text("Visibility: private")


def test_a_link_to_the_list_leaves_the_place_in_it_out(new_page: NewPage, images: Sequence[Image]) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/gallery?sort=created_at")
    page.evaluate("scrollTo(0, 5000)")
    until(page, lambda: "cursor=" in page.url)

    page.get_by_role("button", name="Copy link").click()

    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").endswith("/gallery?sort=created_at")


def opened_filters(page: Page) -> Locator:
    page.locator("#filters summary").click()
    return page.locator("#filters")
