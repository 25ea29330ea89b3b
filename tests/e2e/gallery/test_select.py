"""Selecting images of the list, and doing something with all of them."""

import re
import zipfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch, until

MOVED: Final = "before => document.activeElement.closest('.cell')?.dataset.guid !== before"


@pytest.fixture(autouse=True)
def empty_gallery(gallery: Gallery) -> None:
    gallery.empty()


def filled(gallery: Gallery, count: int, user: str = "ann", **options: Any) -> list[str]:
    """Store images, and return their guids as the list shows them."""
    return [str(image.guid) for image in gallery.fill(count, user, **options)]


def open_list(page: Page, scope: str = "mine") -> None:
    page.goto(f"/gallery?scope={scope}")
    expect(page.locator(".cell").first).to_be_visible()


def picture(page: Page, guid: str) -> Any:
    return page.locator(f'.cell[data-guid="{guid}"] .open')


def box(page: Page, guid: str) -> Any:
    return page.locator(f'.cell[data-guid="{guid}"] .pick')


def load_down_to(page: Page, guid: str) -> None:
    """Scroll down until an image is in the document, and show it."""

    def is_there() -> bool:
        page.evaluate("() => { scrollBy(0, innerHeight / 2); }")
        return bool(picture(page, guid).count())

    until(page, is_there)
    picture(page, guid).scroll_into_view_if_needed()


def note_selection(page: Page) -> None:
    """Let the page remember what is selected, as it tells other modules."""
    page.evaluate("document.addEventListener('pixy:selection', ({ detail }) => { window.selection = detail.guids; })")


def selection(page: Page) -> Sequence[str]:
    selected: Sequence[str] = page.evaluate("window.selection")
    return selected


def focused(page: Page) -> str | None:
    guid: str | None = page.evaluate("document.activeElement.closest('.cell')?.dataset.guid")
    return guid


def tags(gallery: Gallery, guids: Sequence[str]) -> list[Sequence[str]]:
    with gallery.api() as client:
        return [client.get(f"/private/image/{guid}").json()["tags"] for guid in guids]


def statuses(gallery: Gallery, guids: Sequence[str]) -> set[int]:
    with gallery.api() as client:
        return {client.get(f"/private/image/{guid}").status_code for guid in guids}


class TestSelecting:
    def test_a_shift_click_three_pages_on_selects_exactly_what_lies_between(
        self, gallery: Gallery, own_page: Page
    ) -> None:
        guids = filled(gallery, 300)
        open_list(own_page)
        note_selection(own_page)
        box(own_page, guids[7]).check()
        # The page that has the focus stays in the document.
        box(own_page, guids[7]).blur()

        load_down_to(own_page, guids[200])
        # The cells between have left the document, the first one among them.
        expect(box(own_page, guids[7])).to_have_count(0)
        box(own_page, guids[200]).click(modifiers=["Shift"])

        assert sorted(selection(own_page)) == sorted(guids[7:201])
        expect(own_page.locator("#bulk output")).to_have_text("194 selected")

    def test_a_cell_that_comes_back_is_still_selected(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 300)
        open_list(own_page)
        box(own_page, guids[0]).check()
        box(own_page, guids[0]).blur()
        load_down_to(own_page, guids[-1])
        expect(box(own_page, guids[0])).to_have_count(0)

        own_page.evaluate("() => { scrollTo(0, 0); }")

        expect(box(own_page, guids[0])).to_be_checked()
        expect(box(own_page, guids[1])).not_to_be_checked()

    def test_a_range_can_be_made_shorter_and_goes_upwards_too(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 12)
        open_list(own_page)
        note_selection(own_page)
        box(own_page, guids[0]).check()
        box(own_page, guids[6]).check()

        picture(own_page, guids[10]).click(modifiers=["Shift"])
        assert set(selection(own_page)) == {guids[0], *guids[6:11]}
        picture(own_page, guids[8]).click(modifiers=["Shift"])
        assert set(selection(own_page)) == {guids[0], *guids[6:9]}
        picture(own_page, guids[4]).click(modifiers=["Shift"])
        assert set(selection(own_page)) == {guids[0], *guids[4:7]}

        assert own_page.url.endswith("scope=mine")
        expect(own_page.locator("#viewer")).to_be_hidden()

    def test_keys_select_one_a_range_all_and_none(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 70)
        open_list(own_page)
        note_selection(own_page)
        picture(own_page, guids[2]).focus()

        own_page.keyboard.press("x")
        assert selection(own_page) == [guids[2]]
        own_page.keyboard.press("Shift+ArrowRight")
        until(own_page, lambda: focused(own_page) == guids[3])
        own_page.keyboard.press("Shift+ArrowRight")
        until(own_page, lambda: focused(own_page) == guids[4])
        own_page.keyboard.press("Shift+ArrowLeft")
        until(own_page, lambda: focused(own_page) == guids[3])
        assert selection(own_page) == guids[2:4]

        own_page.keyboard.press("ArrowRight")
        until(own_page, lambda: focused(own_page) == guids[4])
        own_page.keyboard.press("Space")
        assert selection(own_page) == guids[2:5]
        own_page.keyboard.press("Space")
        assert selection(own_page) == guids[2:4]

        load_down_to(own_page, guids[69])
        own_page.keyboard.press("Control+a")
        assert sorted(selection(own_page)) == sorted(guids)
        own_page.keyboard.press("Escape")
        assert selection(own_page) == []
        expect(own_page.locator("#bulk")).to_be_hidden()

    def test_the_bar_does_not_cover_the_cell_that_has_the_focus(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 60)
        open_list(own_page)
        box(own_page, guids[0]).check()
        picture(own_page, guids[0]).focus()
        for _ in range(6):
            before = focused(own_page)
            own_page.keyboard.press("ArrowDown")
            own_page.wait_for_function(MOVED, arg=before)

            bottom = own_page.evaluate("document.activeElement.getBoundingClientRect().bottom")
            assert bottom <= own_page.locator("#bulk").bounding_box()["y"]  # type: ignore[index]


class TestDeleting:
    def test_it_names_number_and_pictures_starts_on_cancel_and_moves_nothing(
        self, gallery: Gallery, own_page: Page
    ) -> None:
        guids = filled(gallery, 180)
        open_list(own_page)
        load_down_to(own_page, guids[100])
        picture(own_page, guids[95]).focus()
        own_page.keyboard.press("x")
        own_page.keyboard.press("Shift+ArrowRight")
        until(own_page, lambda: focused(own_page) == guids[96])
        own_page.keyboard.press("Shift+ArrowRight")
        until(own_page, lambda: focused(own_page) == guids[97])
        above = own_page.evaluate(f"document.querySelector('[data-guid=\"{guids[94]}\"]').getBoundingClientRect().top")

        own_page.keyboard.press("Delete")
        dialog = own_page.locator("#confirm")
        expect(dialog.locator("h2")).to_have_text("Delete these 3 images?")
        expect(dialog.locator("img")).to_have_count(3)
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        own_page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        assert statuses(gallery, guids[95:98]) == {200}
        own_page.keyboard.press("Delete")
        dialog.get_by_role("button", name="Delete").click()

        expect(box(own_page, guids[95])).to_have_count(0)
        until(own_page, lambda: focused(own_page) == guids[98])
        top = own_page.evaluate(f"document.querySelector('[data-guid=\"{guids[94]}\"]').getBoundingClientRect().top")
        assert abs(top - above) <= 2
        assert statuses(gallery, guids[95:98]) == {404}
        assert statuses(gallery, [guids[94], guids[98]]) == {200}
        expect(own_page.locator("#bulk")).to_be_hidden()

    def test_after_the_end_of_the_list_the_last_cell_has_the_focus(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 5)
        open_list(own_page)
        picture(own_page, guids[4]).focus()

        own_page.keyboard.press("Delete")
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()

        until(own_page, lambda: focused(own_page) == guids[3])

    def test_a_service_that_is_gone_is_told_until_it_is_back(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("ERR_INTERNET_DISCONNECTED")
        guids = filled(gallery, 2)
        open_list(own_page)
        picture(own_page, guids[0]).focus()
        own_page.context.set_offline(offline=True)
        own_page.keyboard.press("Delete")
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()

        expect(own_page.locator("#offline")).to_be_visible()
        expect(own_page.locator("#status")).to_contain_text("not known whether this was done")
        own_page.context.set_offline(offline=False)
        expect(own_page.locator("#offline")).to_be_hidden()
        assert statuses(gallery, guids) == {200}

    def test_more_than_a_thousand_are_deleted_in_several_requests(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        # Thumbnails that come meanwhile.
        watch.expect("status of 404")
        guids = filled(gallery, 1_005)
        asked: list[int] = []

        def note(request: Request) -> None:
            if "/bulk/" in request.url:
                asked.append((request.post_data or "").count("-") // 4)

        own_page.on("request", note)
        open_list(own_page)
        load_down_to(own_page, guids[-1])
        own_page.keyboard.press("Control+a")
        expect(own_page.locator("#bulk output")).to_have_text("1,005 selected")

        own_page.locator("#bulk").get_by_role("button", name="Download").click()
        expect(own_page.locator("#status")).to_have_text("A download has at most 1,000 images; 1,005 are selected.")
        own_page.locator("#bulk").get_by_role("button", name="Delete").click()
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()

        expect(own_page.locator("#list")).to_contain_text("No images yet", timeout=60_000)
        assert asked == [1000, 5]


class TestOtherActions:
    def test_tags_are_added_and_removed(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 3, tags=["old", "kept"])
        open_list(own_page)
        for guid in guids[:2]:
            box(own_page, guid).check()

        own_page.locator("#bulk").get_by_role("button", name="Tag").click()
        own_page.get_by_label("Add a tag").fill("new, with a comma")
        own_page.get_by_label("Remove a tag").fill("old")
        own_page.keyboard.press("Enter")

        expect(own_page.locator("#status")).to_have_text("2 tagged.")
        assert tags(gallery, guids) == [["kept", "new, with a comma"]] * 2 + [["old", "kept"]]
        expect(own_page.locator("#bulk output")).to_have_text("2 selected")

    def test_a_tag_that_is_refused_stays_typed(self, gallery: Gallery, own_page: Page, watch: Watch) -> None:
        watch.expect("status of 400")
        guids = filled(gallery, 1, tags=[])
        open_list(own_page)
        box(own_page, guids[0]).check()
        own_page.locator("#bulk").get_by_role("button", name="Tag").click()

        own_page.get_by_label("Add a tag").fill("x" * 65)
        own_page.keyboard.press("Enter")

        expect(own_page.locator("#tagging .error")).to_contain_text("64")
        expect(own_page.get_by_label("Add a tag")).to_have_value("x" * 65)
        own_page.get_by_label("Add a tag").fill("漢" * 64)
        own_page.keyboard.press("Enter")
        expect(own_page.locator("#tagging")).to_be_hidden()
        assert tags(gallery, guids) == [["漢" * 64]]

    def test_images_are_made_public_after_a_question_and_private_at_once(
        self, gallery: Gallery, own_page: Page
    ) -> None:
        guids = filled(gallery, 2, visibility="private")
        open_list(own_page)
        own_page.locator(".cell .pick").first.check()

        own_page.locator("#bulk").get_by_role("button", name="Make public").click()
        expect(own_page.locator("#confirm").get_by_role("button", name="Cancel")).to_be_focused()
        own_page.locator("#confirm").get_by_role("button", name="Make public").click()
        expect(own_page.locator("#status")).to_have_text("1 made public.")
        with gallery.api(None) as client:
            assert [client.get(f"/image/{guid}").status_code for guid in guids] == [200, 404]

        own_page.locator("#bulk").get_by_role("button", name="Make private").click()
        expect(own_page.locator("#status")).to_have_text("1 made private.")
        with gallery.api(None) as client:
            assert client.get(f"/image/{guids[0]}").status_code == 404

    def test_the_selected_images_are_downloaded_as_a_zip(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 5)
        open_list(own_page)
        for guid in guids[:3]:
            box(own_page, guid).check()

        with own_page.expect_download() as download:
            own_page.locator("#bulk").get_by_role("button", name="Download").click()

        content = download.value.path().read_bytes()
        assert len(zipfile.ZipFile(BytesIO(content)).namelist()) == 3
        assert re.fullmatch(r"pixyproxy-[0-9-]+\.zip", download.value.suggested_filename)
        expect(own_page.locator("#bulk output")).to_have_text("3 selected")


class TestAnswersThatDiffer:
    def test_those_that_failed_are_told_with_the_reason_and_the_others_are_done(
        self, gallery: Gallery, own_page: Page
    ) -> None:
        others = gallery.create("<b>Bob’s</b> “fox” שלום", "bob")["guid"]
        gone, mine = filled(gallery, 2, tags=[])
        open_list(own_page, "public")
        for guid in (others, gone, mine):
            box(own_page, guid).check()
        with gallery.api() as client:
            client.delete(f"/private/image/{gone}")

        own_page.locator("#bulk").get_by_role("button", name="Tag").click()
        own_page.get_by_label("Add a tag").fill("done")
        own_page.keyboard.press("Enter")

        told = own_page.locator("#told")
        expect(told.locator("p").first).to_have_text("Done: 1. Left as they are: 2.")
        expect(told.locator("li")).to_have_count(2)
        expect(told.locator("li").nth(0)).to_contain_text("<b>Bob’s</b> “fox” שלום")
        expect(told.locator("li").nth(0)).to_contain_text("Only the author of an image may change or delete it.")
        expect(told.locator("li").nth(1)).to_contain_text(f"There is no image {gone}.")
        told.get_by_role("button", name="Close").click()
        assert tags(gallery, [mine]) == [["done"]]

    def test_a_deletion_leaves_what_is_not_ones_own(self, gallery: Gallery, own_page: Page) -> None:
        others = gallery.create("a fox of Bob’s", "bob")["guid"]
        gone, mine = filled(gallery, 2)
        open_list(own_page, "public")
        for guid in (others, gone, mine):
            box(own_page, guid).check()
        with gallery.api() as client:
            client.delete(f"/private/image/{gone}")

        own_page.locator("#bulk").get_by_role("button", name="Delete").click()
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()

        expect(own_page.locator("#told li")).to_have_count(2)
        own_page.locator("#told").get_by_role("button", name="Close").click()
        expect(own_page.locator(".cell")).to_have_count(1)
        expect(own_page.locator("#bulk output")).to_have_text("1 selected")
        assert statuses(gallery, [mine]) == {404}

    def test_images_of_others_are_only_downloaded(self, gallery: Gallery, own_page: Page) -> None:
        guids = filled(gallery, 2, "bob")
        open_list(own_page, "public")
        box(own_page, guids[0]).check()

        bar = own_page.locator("#bulk")
        expect(bar.get_by_role("button", name="Download")).to_be_visible()
        for name in ("Tag", "Make public", "Make private", "Delete"):
            expect(bar.get_by_role("button", name=name)).to_be_hidden()
        picture(own_page, guids[0]).focus()
        own_page.keyboard.press("Delete")
        expect(own_page.locator("#confirm")).to_be_hidden()

    def test_a_request_that_breaks_off_is_told_and_the_selection_stays(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("ERR_FAILED")
        guids = filled(gallery, 2)
        open_list(own_page)
        box(own_page, guids[0]).check()
        own_page.route("**/bulk/delete", lambda route: route.abort())

        own_page.locator("#bulk").get_by_role("button", name="Delete").click()
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()

        expect(own_page.locator("#status")).to_contain_text("That did not work.")
        expect(own_page.locator("#bulk output")).to_have_text("1 selected")
        assert statuses(gallery, guids) == {200}


def test_a_visitor_selects_nothing(gallery: Gallery, page: Page) -> None:
    filled(gallery, 2)
    open_list(page, "public")

    expect(page.locator(".pick").first).to_be_hidden()
    expect(page.locator("#bulk")).to_have_count(0)
