"""The gallery by keyboard alone."""

from collections.abc import Sequence

import pytest
from playwright.sync_api import Page, expect

from pixyproxy.domain.image import Image
from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.looking import shown
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import until

FOCUSED = "document.activeElement.closest('.cell')?.dataset.guid ?? document.activeElement.id"


@pytest.fixture(scope="module")
def images(gallery: Gallery) -> Sequence[Image]:
    return gallery.fill(200, "bob")


@pytest.fixture
def guids(images: Sequence[Image]) -> list[str]:
    return [str(image.guid) for image in images]


@pytest.fixture
def listed(page: Page, guids: list[str]) -> Page:
    """The list, with the focus on its first cell."""
    page.goto("/gallery")
    tab_to_the_list(page)
    assert page.evaluate(FOCUSED) == guids[0]
    return page


def test_the_list_is_one_stop_of_the_tab_key(listed: Page, guids: list[str]) -> None:
    listed.keyboard.press("ArrowRight")
    listed.keyboard.press("Shift+Tab")
    assert listed.evaluate(FOCUSED) == "copy-link"
    listed.keyboard.press("Tab")
    assert listed.evaluate(FOCUSED) == guids[1]

    listed.keyboard.press("Tab")

    assert listed.evaluate("document.activeElement.closest('#list')") is None


def test_the_order_of_the_tab_key_is_that_of_the_page(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    stops = []
    for _ in range(9):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))
    assert stops[:5] == ["Skip to the content", "PixyProxy", "q", "Search", "Public"] or stops[:3] == [
        "Skip to the content",
        "PixyProxy",
        "q",
    ]
    assert stops[-3:] == ["Filter", "Whole pictures", "Copy link"]


def test_the_focus_is_visible_everywhere(page: Page, guids: list[str]) -> None:
    page.goto("/gallery")
    for _ in range(10):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px", page.evaluate("document.activeElement.outerHTML")


def test_arrows_home_and_end_move_in_the_grid(listed: Page, guids: list[str]) -> None:
    columns = listed.evaluate("getComputedStyle(document.querySelector('.page')).gridTemplateColumns.split(' ').length")

    for key, expected in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("ArrowLeft", 0),
    ]:
        listed.keyboard.press(key)
        wait_for_focus(listed, guids[expected])

    listed.keyboard.press("End")
    until(listed, lambda: guids.index(listed.evaluate(FOCUSED)) in {59, 119})
    listed.keyboard.press("ArrowRight")
    until(listed, lambda: guids.index(listed.evaluate(FOCUSED)) in {60, 120})
    until(listed, lambda: press_end(listed) == guids[-1])
    expect(listed.locator(":focus")).to_be_in_viewport(ratio=0.9)
    listed.keyboard.press("Home")
    wait_for_focus(listed, guids[0])
    expect(listed.locator(":focus")).to_be_in_viewport(ratio=0.9)


def test_enter_opens_and_escape_closes(listed: Page, guids: list[str]) -> None:
    listed.keyboard.press("Enter")
    expect(listed.locator(f'#viewer #image[data-guid="{guids[0]}"]')).to_be_visible()
    assert listed.evaluate("document.activeElement.closest('#viewer') !== null")

    listed.keyboard.press("ArrowRight")
    expect(listed.locator(f'#viewer #image[data-guid="{guids[1]}"]')).to_be_visible()
    listed.keyboard.press("Escape")

    wait_for_focus(listed, guids[1])


def test_keys_of_the_viewer(new_page: NewPage, images: Sequence[Image], guids: list[str]) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    page.goto("/gallery")
    tab_to_the_list(page)
    page.keyboard.press("Enter")
    expect(page.locator("#viewer #picture")).to_be_visible()

    page.keyboard.press("c")
    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == images[0].prompt

    page.keyboard.press("i")
    expect(page.locator("#viewer .facts")).to_be_hidden()
    page.keyboard.press("i")
    expect(page.locator("#viewer .facts")).to_be_visible()

    page.keyboard.press("z")
    expect(page.locator("#viewer figure")).to_have_class("full")
    page.keyboard.press("z")
    expect(page.locator("#viewer figure")).not_to_have_class("full")

    with page.expect_download() as download:
        page.keyboard.press("d")
    assert download.value.suggested_filename == images[0].filename


def test_the_page_of_an_image_has_the_same_keys(page: Page, guids: list[str]) -> None:
    page.goto(f"/gallery/image/{guids[3]}")

    page.keyboard.press("ArrowRight")

    page.wait_for_url(f"**/{guids[4]}")
    page.keyboard.press("z")
    expect(page.locator("figure")).to_have_class("full")


def test_a_question_mark_lists_the_keys(listed: Page, guids: list[str]) -> None:
    listed.keyboard.press("?")
    expect(listed.get_by_role("dialog", name="Keys")).to_contain_text("Copy the prompt")

    listed.keyboard.press("Escape")

    expect(listed.get_by_role("dialog")).to_be_hidden()
    assert listed.evaluate(FOCUSED) == guids[0]


def test_a_slash_leads_to_the_search_and_keys_are_letters_there(listed: Page) -> None:
    listed.keyboard.press("/")
    listed.keyboard.type("zin/?dc x")

    expect(listed.get_by_role("searchbox")).to_have_value("zin/?dc x")
    expect(listed.get_by_role("searchbox")).to_be_focused()
    expect(listed.get_by_role("dialog")).to_be_hidden()


def test_n_leads_to_a_new_image(own_page: Page, images: Sequence[Image]) -> None:
    own_page.goto("/gallery")

    own_page.keyboard.press("n")

    own_page.wait_for_url("**/gallery/new", wait_until="commit")


def test_keys_with_modifiers_are_left_to_the_browser(listed: Page) -> None:
    prevented = listed.evaluate("""() => ["z", "i", "d", "c", "n", "/", "ArrowLeft"].flatMap((key) =>
      ["ctrlKey", "altKey", "metaKey"].map((modifier) => {
        const event = new KeyboardEvent("keydown", {key, [modifier]: true, bubbles: true, cancelable: true});
        return !document.activeElement.dispatchEvent(event);
      }))""")

    assert not any(prevented)


def test_the_cell_with_the_focus_stays_when_its_page_is_far_away(listed: Page, guids: list[str]) -> None:
    listed.evaluate("scrollTo(0, 1e6)")
    until(listed, lambda: guids[150] in shown(listed))

    listed.keyboard.press("ArrowRight")

    wait_for_focus(listed, guids[1])
    expect(listed.locator(":focus")).to_be_in_viewport(ratio=0.9)


def press_end(page: Page) -> str:
    """Go to the last image that is loaded, and return what has the focus then."""
    page.keyboard.press("End")
    focused: str = page.evaluate(FOCUSED)
    return focused


def wait_for_focus(page: Page, guid: str) -> None:
    until(page, lambda: page.evaluate(FOCUSED) == guid)


def tab_to_the_list(page: Page) -> None:
    def is_there() -> bool:
        page.keyboard.press("Tab")
        in_list: bool = page.evaluate("document.activeElement.closest('#list') !== null")
        return in_list

    until(page, is_there)
