"""The test bed itself: it sees what a page does wrong, and stores images that work."""

import pytest
from playwright.sync_api import Page

from tests.doubles.large_library import share_variants
from tests.doubles.photographs import photograph
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch, accessibility_violations, until


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('that went wrong')", "that went wrong"),
        ("setTimeout(() => { throw new Error('thrown by a page') })", "thrown by a page"),
        ("fetch('http://localhost:9/elsewhere').catch(() => null)", "http://localhost:9/elsewhere"),
        (
            """() => {
                const policy = document.createElement('meta');
                policy.httpEquiv = 'Content-Security-Policy';
                policy.content = "img-src 'none'";
                document.head.append(policy);
                const picture = new Image();
                picture.src = '/favicon.ico';
                return new Promise((resolve) => document.addEventListener('securitypolicyviolation', resolve));
            }""",
            "securitypolicyviolation: img-src",
        ),
    ],
)
def test_a_page_that_misbehaves_is_seen(page: Page, watch: Watch, script: str, complaint: str) -> None:
    page.goto("/health/live")
    page.evaluate(script)

    until(page, lambda: any(complaint in each for each in watch.complaints))

    watch.expect(".")


def test_axe_names_the_element_that_breaks_a_rule(page: Page) -> None:
    page.set_content("<html lang=en><title>A page</title><main><h1>A page</h1><img src='/x.png'></main>")

    (violation,) = accessibility_violations(page)

    assert violation.startswith("image-alt (critical): <img")


def test_images_that_were_stored_quickly_are_listed_and_have_thumbnails(gallery: Gallery) -> None:
    made = gallery.create("a red fox")
    images = gallery.fill(130, "bob", tags=["fox"])

    with gallery.api(None) as client:
        listed = client.get("/image", params={"limit": 100}).json()
        found = client.get("/image", params={"q": "lighthouse", "tag": "fox", "limit": 100}).json()
        thumbnail = client.get(f"/image/{images[0].guid}/content?width=256&height=256&fit=cover&format=jpeg")

    assert [item["guid"] for item in listed] == [str(image.guid) for image in images[:100]]
    assert len(found) == 13
    assert thumbnail.headers["Content-Type"] == "image/jpeg"
    assert gallery.create("a blue fox", "bob")["guid"] != made["guid"]


def test_thumbnails_of_one_picture_serve_all_images_that_have_it(gallery: Gallery) -> None:
    folder = gallery.service.folder
    images = gallery.fill(50, "bob", pictures=[photograph(1), photograph(2)])
    size: dict[str, str | int] = {"width": 256, "height": 256, "fit": "cover", "format": "avif", "quality": 70}

    with gallery.api(None) as client:
        thumbnails = [client.get(f"/image/{image.guid}/content", params=size).content for image in images[:2]]
        share_variants(folder, images)
        files = len(list(folder.glob("data/images/variants/??/??/*/*")))
        shared = [client.get(f"/image/{image.guid}/content", params=size).content for image in images]

    assert thumbnails[0] != thumbnails[1]
    assert shared == thumbnails * 25
    assert len(list(folder.glob("data/images/variants/??/??/*/*"))) == files
