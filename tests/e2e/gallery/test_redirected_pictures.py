"""Pictures that browsers get from a bucket of S3, under the content security policy of the gallery's pages."""

from collections.abc import Mapping
from typing import Final

import pytest
from playwright.sync_api import Page, Request

from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch

ALL_SHOWN: Final = """
(count) => {
  const pictures = [...document.querySelectorAll("main img")];
  return pictures.length === count && pictures.every((picture) => picture.complete && picture.naturalWidth > 0);
}
"""


@pytest.fixture(scope="module")
def store(_seaweedfs: SeaweedFS) -> str:
    """The host of the bucket as browsers see it; the service knows it by another name."""
    return f"localhost:{_seaweedfs.port}"


@pytest.fixture(scope="module")
def gallery_environment(_seaweedfs: SeaweedFS, store: str) -> Mapping[str, str]:
    return {
        **CREDENTIALS,
        "PIXYPROXY_CONTENT_URL": _seaweedfs.url(public_endpoint=f"http://{store}"),
        "PIXYPROXY_CONTENT_DELIVERY": "redirect",
    }


def test_a_browser_shows_pictures_that_are_redirected_to_a_bucket(
    gallery: Gallery, page: Page, watch: Watch, store: str
) -> None:
    guids = [gallery.create(size="256x256")["guid"] for _ in range(3)]
    sent: list[str | None] = []
    page.on("requestfinished", lambda request: sent.append(_type_from(store, request)))
    watch.expect_host(store)

    for path, count in (("/gallery", 3), (f"/gallery/image/{guids[0]}", 1)):
        sent.clear()
        page.goto(path)
        page.wait_for_function(ALL_SHOWN, arg=count)
        assert sent.count("image/avif") == count


def test_no_other_host_may_send_pictures(page: Page, watch: Watch, store: str) -> None:
    watch.expect_host(store)
    watch.expect("http://localhost:9/")
    page.goto("/gallery")

    blocked = page.evaluate(
        """
        () => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
          document.body.append(Object.assign(new Image(), { src: "http://localhost:9/picture.png" }));
        })
        """
    )

    assert blocked == "http://localhost:9/picture.png"


def _type_from(store: str, request: Request) -> str | None:
    """Return the media type of what the bucket has sent; None for the answer of another host."""
    response = request.response()
    return response.headers["content-type"] if response and request.url.startswith(f"http://{store}/") else None
