"""Lists of many images: scrolling through all of them, and flying over thumbnails that do not exist yet."""

from playwright.sync_api import Page

from tests.e2e.gallery.looking import scroll_down_to
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import until

# The order that the list knows, of all pages it has seen.
ORDER = """() => import(document.querySelector('[src$="/endless.js"]').src).then(({ order }) => order())"""

# Notes each image when its cell appears for the first time, and the most cells that were in the document at once.
SCROLL_TO_THE_END = """() => {
  const appeared = new Set();
  window.most = 0;
  const scroll = () => {
    const cells = document.querySelectorAll("#list .cell");
    window.most = Math.max(window.most, cells.length);
    for (const { dataset } of cells) appeared.add(dataset.guid);
    if (document.querySelector("#list .holder:last-child")) {
      scrollBy({ top: 1000, behavior: "instant" });
      requestAnimationFrame(scroll);
    } else {
      window.appeared = [...appeared];
    }
  };
  scroll();
}"""

# Whether each cell in view has its picture.
HAS_PICTURES = """() => [...document.querySelectorAll(".cell img")].every((picture) => {
  const { top, bottom } = picture.getBoundingClientRect();
  return bottom < 0 || top > innerHeight || (picture.complete && picture.naturalWidth);
})"""


def test_after_a_flight_over_cold_thumbnails_the_cells_in_view_have_pictures_soon(page: Page, gallery: Gallery) -> None:
    cold = gallery.fill(900, prompt="one of the cold ones, {number}")
    page.goto("/gallery?q=cold")
    scroll_down_to(page, str(cold[-1].guid), 2_000)

    until(page, lambda: page.evaluate(HAS_PICTURES))


def test_scrolling_to_the_end_of_10000_shows_each_image_once_and_in_order(page: Page, gallery: Gallery) -> None:
    images = gallery.fill(10_000, "bob", prompt="one of many, {number}")
    page.goto("/gallery?author=bob")

    page.evaluate(SCROLL_TO_THE_END)
    until(page, lambda: page.evaluate("window.appeared"), 110)

    expected = [str(image.guid) for image in images]
    assert page.evaluate("window.appeared") == expected
    assert page.evaluate(ORDER) == expected
    assert 60 < page.evaluate("window.most") <= 400
