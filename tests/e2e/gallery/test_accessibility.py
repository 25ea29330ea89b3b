"""Every state of the gallery: accessible in light and dark, in a narrow window, with large text, and with odd texts."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.e2e.gallery.conftest import NewPage, Upstream
from tests.e2e.gallery.running_gallery import PASSWORD, Gallery
from tests.e2e.gallery.watching import Watch, accessibility_violations, until

ODD_PROMPT: Final = (
    "<script>window.ran = 1</script><b>bold</b> \"double\" 'single' & {{ 7 * 7 }} {% raw %} ${ran} "
    "\u202eصورة قطة, תמונה של חתול\u202c 👩‍👩‍👧‍👦 🏴‍☠️ " + "m" * 300
)
ODD_TAGS: Final = ("漢" * 64, "m" * 64, '"><b>bold</b>')

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 720}
NARROW: Final[ViewportSize] = {"width": 320, "height": 640}


class Scene(NamedTuple):
    """A gallery with images in every state, all of them Ann's; `guids` are those that states need, by name."""

    gallery: Gallery
    guids: Mapping[str, str]


class State(NamedTuple):
    """A state of the gallery: who reaches it and how, and the complaints that belong to it."""

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
    guids = {"image": str(images[0].guid), "odd": str(odd.guid)}
    with gallery.api() as client:
        for name, prompt in {
            "generating": "a fox [[gate never]]",
            "failed": "a fox [[refuse]]",
            "odd_failed": f"{ODD_PROMPT} [[refuse]]",
        }.items():
            answer = client.post("/private/image", json={"prompt": prompt}, headers={"Prefer": "respond-async"})
            guids[name] = answer.json()["guid"]
    yield Scene(gallery, guids)
    upstream.open("never")


def goes_to(path: str) -> Callable[[Page, Scene], None]:
    def reach(page: Page, scene: Scene) -> None:
        page.goto(path.format_map(scene.guids))

    return reach


def opens_the_viewer(page: Page, scene: Scene) -> None:
    page.goto("/gallery?scope=mine")
    page.locator("a.open", has=page.locator("img")).nth(3).click()
    page.locator("#viewer[open] #image").wait_for()


def opens_the_filters(page: Page, _: Scene) -> None:
    page.goto("/gallery?scope=mine&tag=fox")
    page.locator("#filters summary").click()


def asks_for_the_keys(page: Page, _: Scene) -> None:
    page.goto("/gallery?scope=mine")
    page.keyboard.press("?")
    page.locator("#keys[open]").wait_for()


def asks_to_delete(page: Page, scene: Scene) -> None:
    page.goto(f"/gallery/image/{scene.guids['odd']}")
    page.locator("#delete").click()
    page.locator("#confirm[open]").wait_for()


def selects_some(page: Page, _: Scene) -> None:
    page.goto("/gallery?scope=mine")
    for position in range(3):
        page.locator(".pick").nth(position).check()
    page.locator("#bulk output").wait_for()


def asks_to_delete_some(page: Page, scene: Scene) -> None:
    selects_some(page, scene)
    page.locator("[data-bulk=delete]").click()
    page.locator("#confirm[open]").wait_for()


def tags_some(page: Page, scene: Scene) -> None:
    selects_some(page, scene)
    page.locator("[data-bulk=tag]").click()
    page.locator("#tagging[open]").wait_for()


def tags_in_vain(page: Page, scene: Scene) -> None:
    page.route("**/bulk/tag", answer_that_all_are_gone)
    tags_some(page, scene)
    page.locator("#tag-to-add").fill("fox")
    page.keyboard.press("Enter")
    page.locator("#told[open]").wait_for()


def answer_that_all_are_gone(route: Route) -> None:
    guids = json.loads(route.request.post_data or "")["guids"]
    problem = {"title": "There is no such record", "detail": f"There is no image {guids[0]}.", "status": 404}
    route.fulfill(json=[{"guid": guid, "status": 404, "image": None, "problem": problem} for guid in guids])


def shares_what_others_change(page: Page, scene: Scene) -> None:
    guid = scene.guids["odd"]
    page.goto(f"/gallery/image/{guid}")
    page.locator("#share summary").click()
    page.locator("#make-link button").click()
    page.locator("#link-url").wait_for()
    with scene.gallery.api() as client:
        client.patch(f"/private/image/{guid}", json={"filename": f"{uuid4()}.png"}).raise_for_status()
    page.locator("#new-tag").fill("m" * 60)
    page.locator("#save").click()
    page.locator(".conflict").wait_for()


def paints_a_mask(page: Page, scene: Scene) -> None:
    page.goto(f"/gallery/new?reference={scene.guids['image']}")
    page.locator("#references .paint").click()
    page.locator("#mask-dialog[open]").wait_for()


def finds_no_room(page: Page, _: Scene) -> None:
    problem = {"title": "There is no room", "detail": "Too many images wait.", "retryable": True, "maybe_billed": False}
    page.route("**/private/image", lambda route: route.fulfill(status=503, json=problem, headers={"Retry-After": "90"}))
    page.goto("/gallery/new")
    page.locator("#prompt").fill("a fox")
    page.locator("#create").click()
    page.locator("#waiting .left").filter(has_text="s.").wait_for()


def loses_the_service(page: Page, _: Scene) -> None:
    page.goto("/gallery/new")
    page.locator("#prompt").fill("a fox")
    page.context.set_offline(offline=True)
    page.locator("#create").click()
    page.locator("#offline").wait_for()


def gets_no_more_images(page: Page, _: Scene) -> None:
    page.route(
        re.compile("cursor="), lambda route: route.fulfill(status=500, body="<h1>Fault</h1><p>It is broken.</p>")
    )
    page.goto("/gallery?scope=mine")
    page.evaluate("() => { scrollTo(0, document.body.scrollHeight); }")
    page.locator("#list .again button").wait_for()


def sends_an_empty_form(page: Page, _: Scene) -> None:
    page.goto("/gallery/new")
    page.locator("#create").click()
    page.locator("#new [aria-invalid=true]").first.wait_for()


def mistypes_the_password(page: Page, _: Scene) -> None:
    page.goto("/gallery/login")
    page.locator("[name=name]").first.fill("ann")
    page.locator("[name=password]").first.fill(f"not {PASSWORD}")
    page.locator("main button").first.click()
    expect(page.locator("main")).to_contain_text("password", ignore_case=True)


def is_logged_out_meanwhile(page: Page, _: Scene) -> None:
    page.goto("/gallery/new")
    page.locator("#prompt").fill("a fox")
    page.context.clear_cookies()
    page.locator("#create").click()
    page.locator("#login-dialog[open]").wait_for()


STATES: Final[Mapping[str, State]] = {
    "the list": State(None, goes_to("/gallery")),
    "a list with every filter": State(
        None,
        goes_to(
            "/gallery?q=fox&tag=fox&tag=snow&author=ann&model=sketch&media_type=image/jpeg&sort=created_at"
            "&created_after=2020-01-01T00:00:00Z&created_before=2100-01-01T00:00:00Z"
        ),
    ),
    "a search that finds nothing": State(None, goes_to(f"/gallery?q={'w' * 100}&tag=harbour")),
    "a list whose filters can't be used": State(None, goes_to("/gallery?created_after=yesterday&cursor=forged")),
    "an image": State(None, goes_to("/gallery/image/{image}")),
    "no such image": State(None, goes_to("/gallery/image/00000000-0000-4000-8000-000000000000"), ["status of 404"]),
    "the login": State(None, goes_to("/gallery/login")),
    "a wrong password": State(None, mistypes_the_password, ["status of 422"]),
    "no images of one's own": State("bob", goes_to("/gallery?scope=mine")),
    "images of one's own, being made and failed": State("ann", goes_to("/gallery?scope=mine")),
    "the filters": State("ann", opens_the_filters),
    "odd filters": State("ann", goes_to(f"/gallery?scope=mine&q={'m' * 200}&tag={'m' * 64}&tag={'漢' * 64}")),
    "an image in a dialog": State("ann", opens_the_viewer),
    "an image of one's own with odd texts": State("ann", goes_to("/gallery/image/{odd}")),
    "an image that is being made": State("ann", goes_to("/gallery/image/{generating}")),
    "an image that failed": State("ann", goes_to("/gallery/image/{failed}")),
    "the keys": State("ann", asks_for_the_keys),
    "a form for an image": State("ann", goes_to("/gallery/new")),
    "a form that was sent empty": State("ann", sends_an_empty_form, ["status of 400"]),
    "a form with the texts of another image": State("ann", goes_to("/gallery/new?from={odd}")),
    "a mask that is painted": State("ann", paints_a_mask),
    "no room for an order": State("ann", finds_no_room, ["status of 503"]),
    "a service that can't be reached": State("ann", loses_the_service, ["ERR_INTERNET_DISCONNECTED"]),
    "a list that can't go on": State("ann", gets_no_more_images, ["status of 500"]),
    "a login that has ended": State("ann", is_logged_out_meanwhile, ["status of 401"]),
    "the page that asks to delete": State("ann", goes_to("/gallery/image/{odd}/delete")),
    "the dialog that asks to delete": State("ann", asks_to_delete),
    "a selection": State("ann", selects_some),
    "the dialog that asks to delete a selection": State("ann", asks_to_delete_some),
    "the dialog that tags a selection": State("ann", tags_some),
    "images of a selection that are gone": State("ann", tags_in_vain),
    "a link, and a change by others": State("ann", shares_what_others_change, ["status of 412"]),
}


@pytest.fixture(params=STATES)
def state(request: pytest.FixtureRequest, watch: Watch) -> State:
    state = STATES[request.param]
    watch.expect(*state.expected)
    return state


def test_a_state_is_accessible_in_light_and_dark_narrow_with_large_text_and_without_motion(
    new_page: NewPage, scene: Scene, state: State
) -> None:
    page = new_page(state.user, viewport=DESKTOP, reduced_motion="reduce")
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


@pytest.mark.parametrize(
    "name",
    [
        "images of one's own, being made and failed",
        "odd filters",
        "an image of one's own with odd texts",
        "a form with the texts of another image",
        "the page that asks to delete",
        "the dialog that asks to delete",
    ],
)
def test_odd_texts_are_shown_as_they_are_and_turn_nothing_else_around(
    new_page: NewPage, scene: Scene, name: str
) -> None:
    page = new_page("ann")
    STATES[name].reach(page, scene)
    until(page, lambda: page.evaluate("document.documentElement.classList.contains('js')"))

    assert page.evaluate("window.ran") is None
    assert page.locator("b", has_text="bold").count() == 0
    assert unisolated(page) == []
    texts = page.evaluate(
        """() => [...document.querySelectorAll("body *")].flatMap((element) => (
            [element.value, element.alt, element.ariaLabel, ...[...element.childNodes].map(({ data }) => data?.trim())]
        )).join("\\n")"""
    )
    expected = "m" * 64 if name == "odd filters" else ODD_PROMPT[:100]
    assert expected in texts


def moving(page: Page) -> list[str]:
    """Return what moves though less motion is wanted."""
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


def unisolated(page: Page) -> list[str]:
    """Return the elements in which a text that runs from right to left could turn around what follows it."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *:not(script, option, textarea, title)")].filter((element) => (
            element.checkVisibility()
            && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.includes("\\u202e"))
            && !element.closest("bdi, [dir=auto]")
        )).map((element) => element.outerHTML.slice(0, 100))"""
    )
    return found
