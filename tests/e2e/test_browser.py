"""The page that describes the API, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.doubles.service import Service, running_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("browser")) as service:
        yield service


def test_the_page_lists_every_operation_without_the_internet(service: Service, page: Page) -> None:
    problems: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: hosts.add(request.url.partition("://")[2].partition("/")[0]))

    page.goto(f"{service.url}/")
    page.wait_for_selector(".opblock")

    assert page.url == f"{service.url}/schema"
    assert page.locator(".opblock").count() == 21
    assert problems == []
    assert hosts - {""} == {service.url.partition("://")[2]}


def test_an_operation_shows_its_fields_and_its_errors(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/schema")
    page.locator(".opblock-post", has_text="Generate a public image").locator(".opblock-summary").click()
    page.wait_for_selector(".opblock-body .responses-table")

    text = page.locator(".opblock-post.is-open").inner_text()
    for expected in ("A lighthouse at dusk", "401", "422", "504", "X-Request-ID"):
        assert expected in text


def test_an_image_is_shown_as_a_picture(service: Service, page: Page) -> None:
    created = page.request.post(
        f"{service.url}/image",
        data={"prompt": "a red fox"},
        headers={"Authorization": page.evaluate("login => 'Basic ' + btoa(login)", ":".join(service.login))},
    ).json()

    page.goto(f"{service.url}/image/{created['guid']}/content")

    size = page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]")
    assert size == [1024, 1024]
