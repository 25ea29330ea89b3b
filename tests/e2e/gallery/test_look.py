"""Looking at the list and at images: scrolling, places, the viewer."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from pixyproxy.domain.image import Image
from tests.doubles.large_library import share_variants
from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.looking import (
    place,
    scroll,
    scroll_by,
    scroll_to,
    scroll_up_to,
    settle,
    shown,
    top_of,
)
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch, until

COUNT = 900
PIXEL = 2.0


@pytest.fixture(scope="module")
def images(gallery: Gallery) -> Sequence[Image]:
    images = gallery.fill(COUNT, "bob")
    with gallery.api(None) as client:
        for image in images[:12]:
            for side, quality in ((256, 70), (512, 50)):
                size: dict[str, str | int] = {"width": side, "height": side, "fit": "cover", "format": "avif"}
                client.get(f"/image/{image.guid}/content", params={**size, "quality": quality}).raise_for_status()
    share_variants(gallery.service.folder, images)
    return images


@pytest.fixture(scope="module")
def guids(images: Sequence[Image]) -> list[str]:
    return [str(image.guid) for image in images]


def test_a_visitor_sees_the_60_newest_public_images_first(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")

    expect(page.locator("#list > .page").first.locator(".cell")).to_have_count(60)
    assert shown(page)[:60] == guids[:60]
    until(page, lambda: page.evaluate("[...document.images].slice(0, 6).every(({naturalWidth}) => naturalWidth)"))


def test_the_policy_of_all_pages_is_strict(page: Page, guids: list[str]) -> None:
    for path in ("/gallery", f"/gallery/image/{guids[0]}", "/gallery/image/none"):
        response = page.request.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe-" not in policy


def test_without_javascript_there_are_pages_searches_and_images(
    new_page: NewPage, guids: list[str], images: Sequence[Image]
) -> None:
    page = new_page(java_script_enabled=False)

    page.goto("/gallery")
    page.get_by_role("link", name="Older").click()
    assert [each.get_attribute("data-guid") for each in page.locator(".cell").all()] == guids[60:120]

    page.get_by_role("link", name="Newer").click()
    assert page.locator(".cell").first.get_attribute("data-guid") == guids[0]

    page.get_by_role("searchbox").fill("lighthouse snow")
    page.get_by_role("searchbox").press("Enter")
    found = [str(each.guid) for each in images if "lighthouse in the snow" in each.prompt]
    assert [each.get_attribute("data-guid") for each in page.locator(".cell").all()] == found[:60]

    page.locator(".cell a").nth(1).click()
    expect(page.locator("h1")).to_contain_text("lighthouse in the snow")
    page.get_by_role("link", name="Next").click()
    assert found[2] in page.url
    page.get_by_role("link", name="Back to the list").click()
    assert page.locator(".cell").first.get_attribute("data-guid") == found[0]


def close_with_escape(page: Page) -> None:
    page.keyboard.press("Escape")


def close_with_back(page: Page) -> None:
    page.evaluate("history.back()")


def close_with_the_button(page: Page) -> None:
    page.locator("#viewer").get_by_role("link", name="Back to the list").click()


@pytest.mark.parametrize("close", [close_with_escape, close_with_back, close_with_the_button])
def test_a_viewer_that_closes_leaves_the_cell_where_it_was_and_focused(
    page: Page, guids: list[str], close: Callable[[Page], None]
) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[150])
    before, list_address = top_of(page, guids[150]), page.url

    open_viewer(page, guids[150])
    assert f"/gallery/image/{guids[150]}" in page.url
    expect(page).to_have_title(re.compile("a .* · PixyProxy"))
    close(page)

    expect(page.locator("#viewer")).to_be_hidden()
    page.wait_for_url(list_address)
    assert top_of(page, guids[150]) == before
    expect(link_of(page, guids[150])).to_be_focused()
    expect(page).to_have_title("Public images · PixyProxy")


def test_forward_opens_the_viewer_again(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    open_viewer(page, guids[3])
    close_with_back(page)
    expect(page.locator("#viewer")).to_be_hidden()

    page.evaluate("history.forward()")

    expect(page.locator(f'#viewer #image[data-guid="{guids[3]}"]')).to_be_visible()


def test_the_viewer_goes_on_through_pages_that_are_not_loaded_yet_and_ends_where_it_is(
    page: Page, guids: list[str]
) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[118])
    open_viewer(page, guids[118])
    depth = page.evaluate("history.length")

    for expected in guids[119:125]:
        page.keyboard.press("ArrowRight")
        expect(page.locator(f'#viewer #image[data-guid="{expected}"]')).to_be_visible()
    page.locator("#viewer").get_by_role("link", name="Previous").click()
    expect(page.locator(f'#viewer #image[data-guid="{guids[123]}"]')).to_be_visible()
    assert page.evaluate("history.length") == depth
    page.keyboard.press("Escape")

    expect(link_of(page, guids[123])).to_be_focused()
    expect(link_of(page, guids[123])).to_be_in_viewport(ratio=0.9)


def test_at_the_ends_of_the_list_the_viewer_stays(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    open_viewer(page, guids[0])

    page.keyboard.press("ArrowLeft")

    expect(page.locator("#status")).to_have_text("This is the first image.")
    expect(page.locator(f'#viewer #image[data-guid="{guids[0]}"]')).to_be_visible()


def test_after_a_reload_the_same_cell_is_at_the_top(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[200])
    guid, top = scroll_by(page, 77)

    page.reload()

    until(page, lambda: place(page)[0] == guid)
    assert top_of(page, guid) == pytest.approx(top, abs=PIXEL)


@pytest.mark.parametrize("bfcache", [True, False])
def test_after_leaving_and_back_the_same_cell_is_at_the_top(new_page: NewPage, guids: list[str], bfcache: bool) -> None:
    page = new_page(bfcache=bfcache)
    page.goto("/gallery")
    scroll_to(page, guids[200])
    guid, top = scroll_by(page, 77)
    page.evaluate("window.isTheSame = true")

    page.goto(f"/gallery/image/{guids[0]}")
    page.evaluate("history.back()")

    until(page, lambda: "/gallery?cursor=" in page.url and place(page)[0] == guid)
    assert top_of(page, guid) == pytest.approx(top, abs=PIXEL)
    assert bool(page.evaluate("window.isTheSame")) is bfcache


def test_an_image_page_that_was_reloaded_leads_back_to_the_list(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[130])
    guid, top = place(page)
    open_viewer(page, guids[130])

    page.reload()
    expect(page.locator("main #image")).to_be_visible()
    page.evaluate("history.back()")

    page.wait_for_url("**/gallery?cursor=*")
    until(page, lambda: page.locator("#list").count() and place(page)[0] == guid)
    assert top_of(page, guid) == pytest.approx(top, abs=PIXEL)


def test_the_back_link_of_a_reloaded_viewer_leads_to_the_place_in_the_list(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[130])
    guid, _ = place(page)
    open_viewer(page, guids[130])

    page.reload()
    page.get_by_role("link", name="Back to the list").click()

    page.wait_for_url("**/gallery?cursor=*")
    until(page, lambda: page.locator("#list").count() and place(page)[0] == guid)


def test_pages_before_a_cursor_come_when_scrolling_up(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[400])
    page.goto(page.url)
    settle(page)
    assert guids[0] not in shown(page)

    scroll_up_to(page, guids[0])

    until(page, lambda: shown(page)[:120] == guids[:120])
    scroll(page, -1_000_000)
    page.wait_for_url(re.compile("/gallery$"))


def test_images_created_by_others_meanwhile_move_nothing(new_page: NewPage, gallery: Gallery, guids: list[str]) -> None:
    page = new_page()
    page.goto("/gallery?author=bob")
    scroll_to(page, guids[100])
    before = place(page)
    new = [str(image.guid) for image in gallery.fill(7, "bob")]
    try:
        scroll(page, 1)
        scroll(page, -1)
        assert place(page) == before
        scroll_to(page, guids[300])
        assert shown(page) == sorted(shown(page), key=guids.index)

        page.reload()
        scroll_up_to(page, new[0])
        assert shown(page)[:20] == [*new, *guids[:13]]
    finally:
        page.close()
        with gallery.api("bob") as client:
            client.post("/private/image/bulk/delete", json={"guids": new}).raise_for_status()


def test_a_thumbnail_that_fails_is_requested_once_more(page: Page, watch: Watch, guids: list[str]) -> None:
    watch.expect("status of 503")
    answers: list[str] = []

    def refuse_once(route: Route) -> None:
        if answers:
            route.continue_()
        else:
            route.fulfill(status=503, headers={"Retry-After": "5"})
        answers.append(route.request.url)

    page.route(f"**/{guids[2]}/content?*", refuse_once)
    page.goto("/gallery")

    until(page, lambda: page.locator(f'[data-guid="{guids[2]}"] img').evaluate("({naturalWidth}) => naturalWidth"))
    assert len(answers) == 2


def test_more_images_can_be_requested_again_when_that_fails(page: Page, watch: Watch, guids: list[str]) -> None:
    watch.expect("status of 500")
    failing = True

    def answer(route: Route) -> None:
        if failing:
            route.fulfill(status=500, body="<h1>Internal error</h1><p>It is broken.</p>", content_type="text/html")
        else:
            route.continue_()

    page.route("**/gallery?cursor=*", answer)
    page.goto("/gallery")
    scroll(page, 1_000)
    expect(page.get_by_role("alert").filter(has_text="More images")).to_contain_text("It is broken.")

    failing = False
    page.get_by_role("button", name="Try again").click()

    until(page, lambda: shown(page)[:120] == guids[:120])
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_an_image_that_is_gone_gives_way_to_the_next(
    page: Page, gallery: Gallery, watch: Watch, guids: list[str]
) -> None:
    watch.expect("status of 404")
    first, second = gallery.fill(2, "bob")
    page.goto("/gallery")
    open_viewer(page, str(first.guid))
    delete(gallery, "bob", [second])

    page.keyboard.press("ArrowRight")

    expect(page.locator(f'#viewer #image[data-guid="{guids[0]}"]')).to_be_visible()
    expect(page.locator("#status")).to_have_text("That image is gone, or it is not yours to see.")
    page.keyboard.press("Escape")
    expect(link_of(page, guids[0])).to_be_focused()
    assert str(second.guid) not in shown(page)
    page.close()
    delete(gallery, "bob", [first])


def test_cells_that_are_removed_leave_no_gap_and_move_nothing_in_view(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    scroll_to(page, guids[150])
    guid, top = place(page)
    at = guids.index(guid)

    removed = [guids[5], guids[70], guids[at + 1], guids[at + 30]]
    page.evaluate("guids => document.dispatchEvent(new CustomEvent('pixy:deleted', {detail: {guids}}))", removed)

    assert top_of(page, guid) == pytest.approx(top, abs=PIXEL)
    left = [each for each in guids if each not in removed]
    scroll_to(page, guids[400])
    scroll_up_to(page, left[0])
    until(page, lambda: shown(page)[:150] == left[:150])
    sizes = page.eval_on_selector_all("ol.page:not(:empty)", "pages => pages.map((each) => each.childElementCount)")
    assert set(sizes) == {60}


def test_the_focus_goes_on_to_the_next_cell_when_its_own_is_removed(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    link_of(page, guids[8]).focus()

    page.evaluate("guids => document.dispatchEvent(new CustomEvent('pixy:deleted', {detail: {guids}}))", guids[7:10])

    expect(link_of(page, guids[10])).to_be_focused()


def test_a_picture_is_shown_in_full_size_and_fitted_again(page: Page, guids: list[str]) -> None:
    page.set_viewport_size({"width": 700, "height": 300})
    page.goto("/gallery")
    open_viewer(page, guids[0])
    picture = page.locator("#viewer #picture")

    page.keyboard.press("z")
    until(page, lambda: picture.evaluate("({currentSrc}) => currentSrc").endswith("/content"))
    until(page, lambda: picture.bounding_box() and picture.evaluate("({height}) => height") == 320)

    picture.click()
    until(page, lambda: picture.evaluate("({height}) => height") < 300)


def test_whole_pictures_are_remembered_by_the_browser(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    button = page.get_by_role("button", name="Whole pictures")

    button.click()
    page.reload()

    expect(button).to_have_attribute("aria-pressed", "true")
    until(page, lambda: "fit=contain" in page.locator(".cell img").nth(50).evaluate("({srcset}) => srcset"))
    button.click()
    until(page, lambda: "fit=cover" in page.locator(".cell img").nth(50).evaluate("({srcset}) => srcset"))


def link_of(page: Page, guid: str) -> Any:
    return page.locator(f'.cell[data-guid="{guid}"] .open')


def open_viewer(page: Page, guid: str) -> None:
    link_of(page, guid).click()
    expect(page.locator(f'#viewer #image[data-guid="{guid}"]')).to_be_visible()


def delete(gallery: Gallery, user: str, images: Sequence[Image]) -> None:
    with gallery.api(user) as client:
        for start in range(0, len(images), 1000):
            guids = [str(image.guid) for image in images[start : start + 1000]]
            client.post("/private/image/bulk/delete", json={"guids": guids}).raise_for_status()
