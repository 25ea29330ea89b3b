"""Changing, sharing and deleting the image that is shown."""

import re
import time
from typing import Any, Final
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch

AWKWARD: Final = "<b>bold</b> \"double\" 'single' & {{ 7 * 7 }} שלום 🦊"
WIDE: Final = "漢" * 64


@pytest.fixture(autouse=True)
def empty_gallery(gallery: Gallery) -> None:
    gallery.empty()


def stored(gallery: Gallery, **options: Any) -> str:
    """Store an image of Ann's, and return its guid."""
    (image,) = gallery.fill(1, **{"tags": ["fox", "snow"], "visibility": "private", **options})
    return str(image.guid)


def details(gallery: Gallery, guid: str) -> dict[str, Any]:
    with gallery.api() as client:
        found: dict[str, Any] = client.get(f"/private/image/{guid}").json()
        return found


def change(gallery: Gallery, guid: str, **changes: Any) -> None:
    """Change an image as another program does."""
    with gallery.api() as client:
        client.patch(f"/private/image/{guid}", json=changes).raise_for_status()


def open_image(page: Page, guid: str) -> None:
    page.goto(f"/gallery/image/{guid}?scope=mine")
    expect(page.locator("#change")).to_be_visible()


def add_tag(page: Page, tag: str) -> None:
    page.locator("#new-tag").fill(tag)
    page.locator("#new-tag").press("Enter")


def chips(page: Page) -> Any:
    return page.locator("#change .tags bdi")


class TestChanging:
    def test_tags_visibility_and_file_name_change_in_place_with_if_match(
        self, gallery: Gallery, own_page: Page
    ) -> None:
        guid = stored(gallery)
        open_image(own_page, guid)

        with own_page.expect_request(lambda request: request.method == "PATCH") as sent:
            add_tag(own_page, WIDE)
        expect(chips(own_page)).to_have_text(["fox", "snow", WIDE])
        expect(own_page.locator("#new-tag")).to_be_focused()
        assert sent.value.headers["if-match"] == '"1"'
        assert sent.value.post_data_json == {"tags": ["fox", "snow", WIDE]}

        own_page.get_by_label("Keep the tag fox").click()
        expect(chips(own_page)).to_have_text(["snow", WIDE])
        own_page.get_by_label("Public").check()
        own_page.get_by_label("File name").fill("harbour")
        own_page.get_by_role("button", name="Save").click()
        expect(own_page.get_by_label("File name")).to_have_value(re.compile(r"harbour\.\w+"))

        found = details(gallery, guid)
        assert (found["tags"], found["visibility"]) == (["snow", WIDE], "public")
        assert found["filename"].startswith("harbour.")
        assert own_page.url.endswith(f"/gallery/image/{guid}?scope=mine")

    def test_the_same_works_in_the_viewer(self, gallery: Gallery, own_page: Page) -> None:
        guid = stored(gallery)
        own_page.goto("/gallery?scope=mine")
        own_page.locator(".open").click()

        add_tag(own_page, "a, comma")

        expect(own_page.locator("#viewer #change .tags bdi")).to_have_text(["fox", "snow", "a, comma"])
        assert details(gallery, guid)["tags"] == ["fox", "snow", "a, comma"]

    def test_tags_that_exist_are_suggested(self, gallery: Gallery, own_page: Page) -> None:
        stored(gallery, tags=["lighthouse", "lightning", "dark"])
        guid = stored(gallery)
        open_image(own_page, guid)

        own_page.locator("#new-tag").press_sequentially("light")

        expect(own_page.locator("#tag-suggestions option")).to_have_count(2)
        values = own_page.evaluate("[...document.querySelectorAll('#tag-suggestions option')].map((one) => one.value)")
        assert values == ["lighthouse", "lightning"]

    def test_a_prompt_is_copied_as_it_is(self, gallery: Gallery, new_page: NewPage) -> None:
        guid = stored(gallery, prompt=AWKWARD)
        page = new_page("ann", permissions=["clipboard-read", "clipboard-write"])
        open_image(page, guid)
        expect(page.locator("#prompt")).to_have_text(AWKWARD)

        page.keyboard.press("c")

        expect(page.locator("#status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == AWKWARD

    def test_a_prompt_is_selected_where_the_clipboard_is_out_of_reach(self, gallery: Gallery, own_page: Page) -> None:
        own_page.add_init_script("delete Navigator.prototype.clipboard; Document.prototype.execCommand = () => false;")
        open_image(own_page, stored(gallery, prompt=AWKWARD))

        own_page.get_by_role("button", name="Copy prompt").click()

        expect(own_page.locator("#status")).to_contain_text("Ctrl+C")
        assert own_page.evaluate("getSelection().toString()") == AWKWARD


class TestChangesByOthers:
    def test_a_change_meanwhile_is_shown_and_not_overwritten(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("status of 412")
        guid = stored(gallery)
        open_image(own_page, guid)
        own_page.get_by_label("File name").fill("mine")
        change(gallery, guid, tags=["theirs"], filename="theirs.jpg")
        theirs = details(gallery, guid)

        own_page.locator("#new-tag").fill("mine")
        own_page.get_by_role("button", name="Save").click()

        conflict = own_page.locator(".conflict")
        expect(conflict).to_contain_text("This image was changed meanwhile.")
        expect(conflict.locator("dd")).to_have_text(
            ["theirs", re.compile(r"fox\s+snow\s+mine"), theirs["filename"], "mine"]
        )
        assert details(gallery, guid) == theirs
        own_page.get_by_role("button", name="Save").click()
        expect(conflict).to_have_count(0)
        assert details(gallery, guid)["tags"] == ["theirs", "mine"]
        assert details(gallery, guid)["filename"].startswith("mine.")

    def test_what_is_there_can_be_kept(self, gallery: Gallery, own_page: Page, watch: Watch) -> None:
        watch.expect("status of 412")
        guid = stored(gallery)
        open_image(own_page, guid)
        own_page.get_by_label("File name").fill("mine")
        change(gallery, guid, filename="theirs.jpg")
        theirs = details(gallery, guid)["filename"]
        own_page.get_by_role("button", name="Save").click()

        own_page.get_by_role("link", name="Keep what is there").click()

        expect(own_page.get_by_label("File name")).to_have_value(theirs)
        expect(own_page.locator(".conflict")).to_have_count(0)
        assert details(gallery, guid)["filename"] == theirs

    def test_two_tabs_that_change_the_same_tags_lose_none(self, gallery: Gallery, new_page: NewPage) -> None:
        guid = stored(gallery)
        first, second = new_page("ann"), new_page("ann")
        for page in (first, second):
            open_image(page, guid)

        add_tag(first, "one")
        # The other tab learns of it by itself.
        expect(chips(second)).to_have_text(["fox", "snow", "one"])
        add_tag(second, "two")

        expect(chips(first)).to_have_text(["fox", "snow", "one", "two"])
        assert details(gallery, guid)["tags"] == ["fox", "snow", "one", "two"]

    def test_what_is_being_typed_stays_when_another_tab_changes_the_image(
        self, gallery: Gallery, new_page: NewPage, watch: Watch
    ) -> None:
        watch.expect("status of 412")
        guid = stored(gallery)
        first, second = new_page("ann"), new_page("ann")
        for page in (first, second):
            open_image(page, guid)
        second.locator("#new-tag").fill("typed")

        add_tag(first, "one")
        expect(second.locator("#status")).to_have_text("This image was just changed elsewhere. What you typed is kept.")
        expect(second.locator("#new-tag")).to_have_value("typed")
        second.locator("#new-tag").press("Enter")

        expect(second.locator(".conflict")).to_be_visible()
        second.get_by_role("button", name="Save").click()
        expect(chips(second)).to_have_text(["fox", "snow", "one", "typed"])

    def test_an_image_that_is_deleted_while_it_is_looked_at_is_told(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("status of 404")
        guid = stored(gallery)
        open_image(own_page, guid)
        with gallery.api() as client:
            client.delete(f"/private/image/{guid}")

        add_tag(own_page, "typed")

        expect(own_page.locator("#change .error")).to_contain_text("gone")
        expect(own_page.locator("#new-tag")).to_have_value("typed")


class TestFailures:
    def test_what_is_refused_stays_typed(self, gallery: Gallery, own_page: Page, watch: Watch) -> None:
        watch.expect("status of 400")
        guid = stored(gallery)
        open_image(own_page, guid)

        own_page.get_by_label("File name").fill("a/b")
        own_page.get_by_role("button", name="Save").click()

        expect(own_page.locator("#change .error")).to_contain_text("filename must be 1 to 255")
        expect(own_page.get_by_label("File name")).to_have_value("a/b")

    def test_a_service_that_is_gone_stores_the_change_when_it_is_back(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("ERR_", "Failed to load resource")
        guid = stored(gallery)
        open_image(own_page, guid)
        own_page.context.set_offline(True)

        add_tag(own_page, "typed")
        expect(own_page.locator("#offline")).to_be_visible()
        expect(own_page.locator("#new-tag")).to_have_value("typed")
        own_page.context.set_offline(False)

        expect(chips(own_page)).to_have_text(["fox", "snow", "typed"])
        expect(own_page.locator("#offline")).to_be_hidden()
        assert details(gallery, guid)["tags"] == ["fox", "snow", "typed"]

    def test_a_deletion_that_the_service_missed_leaves_no_word_of_it_when_it_is_back(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("ERR_CONNECTION_REFUSED")
        open_image(own_page, stored(gallery))
        own_page.route(
            "**/private/image/*",
            lambda route: route.abort("connectionrefused") if route.request.method == "DELETE" else route.continue_(),
        )
        own_page.click("#delete")
        own_page.locator("#confirm").get_by_role("button", name="Delete").click()
        expect(own_page.locator("#offline")).to_be_visible()

        # The stream of events is opened again.
        own_page.evaluate("dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('pageshow'))")

        expect(own_page.locator("#offline")).to_be_hidden()

    def test_an_answer_that_is_lost_is_no_conflict(self, gallery: Gallery, own_page: Page, watch: Watch) -> None:
        watch.expect("ERR_", "status of 412")
        guid = stored(gallery)
        open_image(own_page, guid)
        lost: list[int] = []

        def lose(route: Any) -> None:
            if route.request.method == "PATCH" and not lost:
                lost.append(route.fetch().status)
                route.abort()
            else:
                route.continue_()

        own_page.route(f"**/private/image/{guid}", lose)
        add_tag(own_page, "typed")

        expect(chips(own_page)).to_have_text(["fox", "snow", "typed"])
        expect(own_page.locator(".conflict")).to_have_count(0)
        assert lost == [200]

    def test_a_database_that_takes_no_changes_loses_nothing_typed(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("status of 503")
        guid = stored(gallery)
        open_image(own_page, guid)
        problem = {"title": "The database is unavailable", "detail": "The database is read-only.", "status": 503}
        own_page.route(
            f"**/private/image/{guid}",
            lambda route: route.fulfill(status=503, json=problem, content_type="application/problem+json"),
        )

        add_tag(own_page, "typed")

        expect(own_page.locator("#change .error")).to_have_text("The database is read-only.")
        expect(own_page.locator("#new-tag")).to_have_value("typed")
        own_page.unroute(f"**/private/image/{guid}")
        own_page.locator("#new-tag").press("Enter")
        expect(chips(own_page)).to_have_text(["fox", "snow", "typed"])

    def test_what_is_typed_outlives_a_reload_and_the_viewer(self, gallery: Gallery, own_page: Page) -> None:
        guid = stored(gallery)
        stored(gallery)
        open_image(own_page, guid)
        own_page.locator("#new-tag").fill("typed")
        own_page.get_by_label("File name").fill("typed.png")

        own_page.reload()
        expect(own_page.get_by_label("File name")).to_have_value("typed.png")
        own_page.goto("/gallery?scope=mine")
        own_page.locator(f'.cell[data-guid="{guid}"] .open').click()
        expect(own_page.get_by_label("File name")).to_have_value("typed.png")
        own_page.get_by_role("button", name="Save").click()

        expect(chips(own_page)).to_have_text(["fox", "snow", "typed"])
        assert details(gallery, guid)["filename"].startswith("typed.")

    def test_what_is_typed_can_be_discarded(self, gallery: Gallery, own_page: Page) -> None:
        guid = stored(gallery)
        open_image(own_page, guid)
        before = own_page.get_by_label("File name").input_value()
        expect(own_page.get_by_role("link", name="Discard")).to_be_hidden()
        own_page.get_by_label("File name").fill("typed.png")

        own_page.get_by_role("link", name="Discard").click()

        expect(own_page.get_by_label("File name")).to_have_value(before)
        own_page.reload()
        expect(own_page.get_by_label("File name")).to_have_value(before)


class TestDeleting:
    def test_it_shows_picture_and_prompt_and_starts_on_cancel(self, gallery: Gallery, own_page: Page) -> None:
        guid = stored(gallery, prompt=AWKWARD)
        open_image(own_page, guid)

        own_page.keyboard.press("Delete")
        dialog = own_page.locator("#confirm")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        expect(dialog.locator("img")).to_be_visible()
        expect(dialog.locator("p").first).to_have_text(AWKWARD)
        own_page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        assert details(gallery, guid)["guid"] == guid

        own_page.get_by_role("link", name="Delete").click()
        dialog.get_by_role("button", name="Delete").click()
        own_page.wait_for_url("**/gallery?scope=mine")
        expect(own_page.locator("#list")).to_contain_text("No images yet")

    def test_in_the_viewer_the_next_image_is_shown_and_the_cell_is_gone(
        self, gallery: Gallery, own_page: Page, watch: Watch
    ) -> None:
        # Pictures that are on their way when their image is deleted.
        watch.expect("status of 404")
        oldest, middle, newest = (stored(gallery) for _ in range(3))
        own_page.goto("/gallery?scope=mine")
        own_page.locator(f'.cell[data-guid="{middle}"] .open').click()
        expect(own_page.locator("#viewer #image")).to_have_attribute("data-guid", middle)

        for shown, following in ((middle, oldest), (oldest, newest)):
            own_page.keyboard.press("Delete")
            own_page.locator("#confirm").get_by_role("button", name="Delete").click()
            expect(own_page.locator("#viewer #image")).to_have_attribute("data-guid", following)
            expect(own_page.locator(f'.cell[data-guid="{shown}"]')).to_have_count(0)
        own_page.keyboard.press("Escape")

        expect(own_page.locator(".cell")).to_have_count(1)


class TestSharing:
    def test_a_link_opens_in_a_fresh_browser_and_expires(
        self, gallery: Gallery, own_page: Page, new_page: NewPage, watch: Watch
    ) -> None:
        watch.expect("status of 403", "favicon.ico")
        guid = stored(gallery)
        open_image(own_page, guid)
        own_page.get_by_text("Share", exact=True).click()

        own_page.get_by_label("A link that opens the picture without a login").select_option("an hour")
        own_page.get_by_role("button", name="Make link").click()

        link = own_page.locator("#link-url")
        expect(link).to_be_visible()
        url = link.input_value()
        seconds = own_page.evaluate("(Date.parse(document.querySelector('#link time').dateTime) - Date.now()) / 1000")
        assert 3_300 < seconds <= 3_600
        stranger = new_page()
        stranger.goto(url)
        assert stranger.evaluate("document.images[0].naturalWidth") > 0
        expired = int(time.time()) - 1
        signature = gallery.run(lambda container: container.link_signer().sign(UUID(guid), "", expired))
        answer = stranger.goto(f"/private/image/{guid}/content?expires={expired}&signature={signature}")
        assert answer
        assert (answer.status, "The link has expired." in answer.text()) == (403, True)

    def test_a_public_image_has_the_address_of_its_page(
        self, gallery: Gallery, own_page: Page, new_page: NewPage
    ) -> None:
        guid = stored(gallery, visibility="public", prompt=AWKWARD)
        open_image(own_page, guid)
        own_page.get_by_text("Share", exact=True).click()

        stranger = new_page()
        stranger.goto(own_page.get_by_label("This page, which anyone can open").input_value())

        expect(stranger.locator("#prompt")).to_have_text(AWKWARD)
        expect(stranger.locator("#change, #delete, #make-link")).to_have_count(0)


def test_without_javascript_an_image_is_changed_shared_and_deleted(gallery: Gallery, new_page: NewPage) -> None:
    guid = stored(gallery)
    page = new_page("ann", java_script_enabled=False)
    open_image(page, guid)

    page.get_by_label("Keep the tag fox").uncheck()
    page.get_by_label("Add a tag").nth(0).fill("one, two")
    page.get_by_label("Add a tag").nth(1).fill(WIDE)
    page.get_by_label("Public").check()
    page.get_by_role("button", name="Save").click()
    expect(chips(page)).to_have_text(["snow", "one, two", WIDE])
    assert details(gallery, guid)["visibility"] == "public"

    page.get_by_text("Share", exact=True).click()
    page.get_by_role("button", name="Make link").click()
    expect(page.locator("#link-url")).to_have_value(re.compile("signature="))

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#list")).to_contain_text("No images yet")
