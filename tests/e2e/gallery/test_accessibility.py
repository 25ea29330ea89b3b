"""Every state of the gallery: accessible in light and dark, on a narrow window, with large text, and with odd texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import pytest
from playwright.sync_api import Page, ViewportSize

from pixyproxy.domain.image import Image
from tests.e2e.gallery.conftest import NewPage, Upstream
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import Watch, accessibility_violations

ODD_PROMPT: Final = (
    "<script>window.ran = 1</script><b>bold</b> \"double\" 'single' & {{ 7 * 7 }} {% raw %} ${ran} "
    "\u202eصورة قطة, תמונה של חתול\u202c 👩‍👩‍👧‍👦 🏴‍☠️ " + "m" * 300
)
ODD_TAGS: Final = ("漢" * 64, "m" * 64, '"><b>x</b>')

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 720}
NARROW: Final[ViewportSize] = {"width": 320, "height": 640}


class Scene(NamedTuple):
    """A gallery with images in every state: Ann's are many, Bob has none."""

    gallery: Gallery
    images: Sequence[Image]
    odd: Image


class State(NamedTuple):
    """A state of the gallery: whose page it is, and how it gets there."""

    user: str | None
    reach: Callable[[Page, Scene], None]
    expected: Sequence[str] = ()


@pytest.fixture(scope="module")
def gallery_environment(openai_environment: Mapping[str, str]) -> Mapping[str, str]:
    return openai_environment


@pytest.fixture(scope="module")
def scene(gallery: Gallery, upstream: Upstream) -> Iterator[Scene]:
    images = gallery.fill(130)
    (odd,) = gallery.fill(1, prompt=ODD_PROMPT, tags=ODD_TAGS)
    yield Scene(gallery, images, odd)
    upstream.open("never")


def goes_to(path: str) -> Callable[[Page, Scene], None]:
    def reach(page: Page, scene: Scene) -> None:
        page.goto(path.format(image=scene.images[0].guid, odd=scene.odd.guid))

    return reach


STATES: Final[Mapping[str, State]] = {
    "the list": State(None, goes_to("/gallery")),
    "a list with every filter": State(
        None,
        goes_to(
            "/gallery?q=fox&tag=fox&tag=snow&author=ann&model=sketch&media_type=image/jpeg&sort=oldest"
            "&created_after=2020-01-01T00:00:00Z&created_before=2100-01-01T00:00:00Z"
        ),
    ),
    "a search that finds nothing": State(None, goes_to("/gallery?q=zeppelin&tag=harbour")),
    "a list whose filters can't be used": State(None, goes_to("/gallery?created_after=yesterday&cursor=forged")),
    "an image": State(None, goes_to("/gallery/image/{image}")),
    "an image with odd texts": State(None, goes_to("/gallery/image/{odd}")),
    "a list with odd filters": State(None, goes_to(f"/gallery?tag={'m' * 64}&tag={'漢' * 64}")),
    "no such image": State(None, goes_to("/gallery/image/00000000-0000-4000-8000-000000000000"), ["status of 404"]),
}


@pytest.fixture(params=STATES)
def state(request: pytest.FixtureRequest, watch: Watch) -> State:
    state = STATES[request.param]
    watch.expect(*state.expected)
    return state


def test_a_state_is_accessible_in_light_and_dark_narrow_with_large_text_and_without_motion(
    new_page: NewPage, scene: Scene, state: State
) -> None:
    page = new_page(state.user, viewport=DESKTOP)
    state.reach(page, scene)
    found = {"moving": moving(page)}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found[scheme] = accessibility_violations(page)

    page.set_viewport_size(NARROW)
    found["320 pixels"] = too_wide(page)
    page.set_viewport_size(DESKTOP)
    page.context.new_cdp_session(page).send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") == 32
    found["text twice as large"] = too_wide(page)

    assert {name: faults for name, faults in found.items() if faults} == {}


def moving(page: Page) -> list[str]:
    """Return what moves for those who want less motion."""
    page.emulate_media(reduced_motion="reduce")
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((element) => {
            const style = getComputedStyle(element);
            const seconds = `${style.transitionDuration},${style.animationDuration}`.split(",").map(parseFloat);
            return Math.max(...seconds) > 0.01 || style.scrollBehavior === "smooth";
        }).map((element) => element.outerHTML.slice(0, 100))"""
    )
    return found


def too_wide(page: Page) -> list[str]:
    """Return what has to be scrolled sideways, or can't be seen without: the page, a dialog, or something in them."""
    found: list[str] = page.evaluate(
        """() => {
            const root = document.scrollingElement;
            const boxes = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility());
            const beyond = boxes.filter((element) => {
                const { left, right, width } = element.getBoundingClientRect();
                return width > 1 && (right > innerWidth + 1 || left < -1);
            });
            const scrolling = [root, ...boxes].filter((element) => (
                element.scrollWidth > element.clientWidth + 1
                && (element === root || ["auto", "scroll"].includes(getComputedStyle(element).overflowX))
                && !element.matches("input, textarea")
            ));
            return [...beyond, ...scrolling].map((element) => element.outerHTML.slice(0, 100));
        }"""
    )
    return found
