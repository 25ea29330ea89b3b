"""The gallery from login to logout, as a newcomer uses it: on SQLite with sketches, and on a real MySQL or MariaDB."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.doubles.mariadb import MySQLServer
from tests.doubles.service import running_service
from tests.e2e.gallery.conftest import PATIENCE_MS
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch


@pytest.fixture(params=["SQLite", "MySQL"])
def toured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    if request.param == "SQLite":
        yield request.getfixturevalue("gallery")
        return
    server: MySQLServer = request.getfixturevalue("mysql_server")
    with server.new_database() as url:
        environment = {"PIXYPROXY_DATABASE_URL": url, "PIXYPROXY_AUTO_UPGRADE": "true"}
        with running_service(tmp_path_factory.mktemp("toured"), environment) as service:
            yield Gallery(service, environment)


def test_a_newcomer_logs_in_creates_finds_shares_deletes_and_logs_out(toured: Gallery, browser: Browser) -> None:
    watch = Watch(toured.url)
    # The login that the first start has printed.
    name, password = toured.administrator
    context = browser.new_context(base_url=toured.url)
    context.set_default_timeout(2 * PATIENCE_MS)
    watch.begin(context)
    page = context.new_page()

    page.goto("/")
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_label("Name").first.fill(name)
    page.get_by_label("Password").first.fill(password)
    page.locator("main").get_by_role("button", name="Log in").click()
    page.locator("#new-link").click()
    page.get_by_label("Prompt").fill("a lighthouse at dusk")
    page.get_by_label("Tags").fill("sea, evening")
    page.get_by_role("button", name="Create", exact=True).click()
    page.locator(".tile[data-status=ready], #list .cell").first.wait_for()

    page.goto("/gallery?scope=mine")
    page.locator("#q").fill("lighthouse")
    page.locator("#q").press("Enter")
    page.locator("#list a.open").first.click()
    expect(page.locator("#viewer #prompt")).to_have_text("a lighthouse at dusk")
    page.locator("#viewer #change [name=visibility][value=public]").check()
    page.locator("#viewer #save").click()
    with toured.api(None) as client:
        expect(page.locator("#status")).not_to_be_empty()
        (found,) = client.get("/image").json()
    assert found["tags"] == ["sea", "evening"]

    page.locator("#viewer #share summary").click()
    page.locator("#viewer #make-link button").click()
    expect(page.locator("#link-url")).to_have_value(re.compile("signature="))
    stranger = browser.new_page()
    stranger.goto(page.locator("#link-url").input_value())
    assert stranger.evaluate("document.images[0].naturalWidth") > 0
    stranger.close()

    page.locator("#viewer #delete").click()
    page.locator("#confirm button.danger").click()
    expect(page.get_by_role("heading", name="No image fits all of these filters")).to_be_visible()
    page.goto("/gallery?scope=mine")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()

    context.close()
    assert watch.complaints == []
    with toured.api(name) as client:
        assert client.get("/private/image").json() == []
