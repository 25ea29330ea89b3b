"""Logging out while an image is being made."""

from collections.abc import Mapping

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.gallery.conftest import Upstream
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch, until


@pytest.fixture(scope="module")
def gallery_environment(openai_environment: Mapping[str, str]) -> Mapping[str, str]:
    return openai_environment


def test_after_a_logout_the_old_cookie_opens_nothing_and_the_image_is_kept(
    gallery: Gallery, upstream: Upstream, own_page: Page, watch: Watch
) -> None:
    watch.expect("status of 401")
    own_page.goto("/gallery")
    (cookie,) = own_page.context.cookies()
    old = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    # What an earlier request of the session does at its end must not bring the session back.
    with httpx.Client(base_url=gallery.url, headers=old, timeout=60) as client:
        with client.stream("POST", "/private/image", json={"prompt": "x"}) as refused:
            assert refused.status_code == 403
        own_page.evaluate(
            """() => { fetch("/private/image", {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ prompt: "a fox [[gate logout]]" }),
                keepalive: true,
            }); }"""
        )
        until(own_page, lambda: upstream.waiting("logout") == 1)
        own_page.get_by_role("button", name="Log out").click()
        expect(own_page.get_by_role("link", name="Log in").first).to_be_visible()
        assert client.get("/private/image").status_code == 401
        upstream.open("logout")
        with gallery.api() as ann:
            until(own_page, lambda: [each["status"] for each in ann.get("/private/image").json()] == ["ready"])
        for path in ("/private/image", "/private/key", "/gallery?scope=mine"):
            assert client.get(path).status_code in {401, 303}
    assert gallery.run(lambda container: container.sessions().list()) == []
    own_page.reload()
    expect(own_page.get_by_role("link", name="Log in").first).to_be_visible()
