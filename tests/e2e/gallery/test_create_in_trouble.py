"""Creating images while the service can't be reached, can't write, or has no room; and without JavaScript."""

from contextlib import closing
from uuid import uuid4

from playwright.sync_api import Route, expect

from tests.doubles.service import Service
from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.test_create import OWN_LIST, expect_picture, picture, words
from tests.e2e.gallery.watching import Watch


def test_the_form_works_without_javascript(new_page: NewPage, gallery: Gallery, watch: Watch) -> None:
    watch.expect("status of 400")
    prompt = f"a plain fox {uuid4()}"
    page = new_page("ann", java_script_enabled=False)
    page.goto("/gallery/new")
    page.fill("#prompt", prompt)
    page.fill("#tags", "snow, night")
    page.set_input_files("#reference", [words("fox.png", "image/png")])
    page.click("#create")
    expect(page.locator("#error-references")).to_contain_text("PNG, JPEG")
    expect(page.locator("#prompt")).to_have_value(prompt)
    expect(page.locator("#tags")).to_have_value("snow, night")
    page.set_input_files("#reference", [picture()])
    page.select_option("#size", "other")
    page.fill("[name=width]", "64")
    page.fill("[name=height]", "48")
    page.click("#create")
    page.wait_for_url("**/gallery/image/*")
    first = page.url
    expect_picture(page.locator("#picture"))
    page.go_back()
    page.set_input_files("#reference", [picture()])
    page.click("#create")
    page.wait_for_url("**/gallery/image/*")

    assert page.url == first
    with gallery.api() as client:
        (image,) = client.get("/private/image", params={"q": prompt}).json()
    assert (image["tags"], image["request"]["size"], len(image["references"])) == (["snow", "night"], "64x48", 1)


def test_a_database_that_can_not_be_written_is_waited_for(new_page: NewPage, gallery: Gallery, watch: Watch) -> None:
    watch.expect("status of 503")
    prompt = f"a locked fox {uuid4()}"
    page = new_page("ann")
    keys: list[str] = []

    def refuse_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        problem = {
            "title": "The database does not answer",
            "detail": "The database can't be written to.",
            "retryable": True,
            "maybe_billed": True,
        }
        if len(keys) == 1:
            route.fulfill(status=503, json=problem, headers={"Retry-After": "2"})
        else:
            route.continue_()

    page.route("**/private/image", refuse_first)
    page.goto("/gallery/new")
    page.fill("#prompt", prompt)
    page.click("#create")
    expect(page.locator("#waiting")).to_contain_text("The database can't be written to.")
    expect(page.locator("#prompt")).to_have_value(prompt)
    page.wait_for_url(OWN_LIST)

    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_service_that_was_gone_gets_the_order_once_when_it_is_back(
    new_page: NewPage, gallery: Gallery, watch: Watch
) -> None:
    watch.expect(
        "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"
    )
    prompt = f"a patient fox {uuid4()}"
    page = new_page("ann")
    page.goto("/gallery/new")
    page.fill("#prompt", prompt)
    gallery.service.stop()
    page.click("#create")
    expect(page.locator("#offline")).to_be_visible()
    with closing(Service(gallery.service.folder, {}, port=gallery.service.port)) as service:
        try:
            service.wait_until_live()
            page.wait_for_url(OWN_LIST, timeout=45_000)
            expect_picture(page.locator(f'img[alt="{prompt}"]'))
            with gallery.api() as client:
                assert len(client.get("/private/image", params={"q": prompt}).json()) == 1
        finally:
            service.stop()
