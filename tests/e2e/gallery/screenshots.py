"""The pictures of docs/gallery.md, taken of a gallery of sketches.

    PYTHONPATH=. .venv/bin/python -m tests.e2e.gallery.screenshots

The sketches are made first; then the same images are shown by a service that buys of the stand-in for OpenAI, which
holds back what is to be seen while it is made.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from PIL import Image as Picture
from playwright.sync_api import Browser, Page, sync_playwright

from tests.documents import ROOT
from tests.doubles.openai_server import KEY
from tests.doubles.service import running_service
from tests.e2e.conftest import FLAGS
from tests.e2e.gallery.conftest import log_in
from tests.e2e.gallery.running_gallery import Gallery
from tests.e2e.gallery.watching import until

FOLDER: Final = ROOT / "docs" / "gallery"
QUALITY: Final = 70

ARE_COMPLETE: Final = """[...document.images].every((image) => (
  !image.src || image.complete || image.getBoundingClientRect().top > innerHeight
))"""

# What the stand-in is told in prompts, and the plain colours of its partial images, belong to no gallery.
RETOUCH: Final = """(partial) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replace(/ \\[\\[[^\\]]*(\\]\\]|…)/, "");
  for (const image of document.querySelectorAll(".partial:not([hidden])")) image.src = partial;
}"""

SIGHTS: Final = (
    "mountains at sunset",
    "a forest in the mist",
    "the sea at dawn",
    "a red fox in the snow",
    "a city at night",
    "a lighthouse on a cliff",
    "a field of lavender",
    "a desert under the moon",
    "an island in the ocean",
    "a village in autumn",
    "a river through green hills",
    "a harbour in the rain",
)
MOODS: Final = ("", ", golden")

DESKTOP: Final[Mapping[str, Any]] = {"viewport": {"width": 1200, "height": 760}}
PHONE: Final[Mapping[str, Any]] = {"viewport": {"width": 390, "height": 760}, "is_mobile": True, "has_touch": True}
DARK: Final[Mapping[str, Any]] = {"color_scheme": "dark"}


class Shot(NamedTuple):
    """A picture: its name, whose page it shows, the options of the browser's context, and the way there."""

    name: str
    user: str | None
    options: Mapping[str, Any]
    reach: Callable[[Page, Mapping[str, str]], None]


def at(path: str) -> Callable[[Page, Mapping[str, str]], None]:
    """Return the way to a page; `{name}` in the path is the guid of an image."""

    def reach(page: Page, guids: Mapping[str, str]) -> None:
        page.goto(path.format_map(guids))

    return reach


def in_the_viewer(page: Page, _: Mapping[str, str]) -> None:
    """Open an image above the list."""
    page.goto("/gallery?scope=mine")
    page.locator("#list a.open").nth(8).click()
    page.locator("#viewer[open] #image").wait_for()


def with_filters(page: Page, _: Mapping[str, str]) -> None:
    """Open the filters of a search."""
    page.goto("/gallery?q=mountains&tag=sketch")
    page.locator("#filters summary").click()


def selecting(page: Page, _: Mapping[str, str]) -> None:
    """Select some images."""
    page.goto("/gallery?scope=mine")
    page.locator("#list .pick").nth(1).check()
    page.locator("#list .pick").nth(4).click(modifiers=["Shift"])
    page.locator("#bulk:not([hidden])").wait_for()


def asking_to_delete(page: Page, guids: Mapping[str, str]) -> None:
    """Ask to delete an image."""
    page.goto(f"/gallery/image/{guids['image']}")
    page.locator("#delete").click()
    page.locator("#confirm[open]").wait_for()


def asking_for_keys(page: Page, _: Mapping[str, str]) -> None:
    """Show the keys."""
    page.goto("/gallery")
    page.keyboard.press("?")
    page.locator("#keys[open]").wait_for()


def filling_in(page: Page, guids: Mapping[str, str]) -> None:
    """Fill the form from an image, which is a reference as well."""
    page.goto(f"/gallery/new?from={guids['image']}")
    page.locator("#create").wait_for()


SHOTS: Final = (
    Shot("list", None, DESKTOP, at("/gallery")),
    Shot("list-dark", None, {**DESKTOP, **DARK}, at("/gallery")),
    Shot("list-phone", None, PHONE, at("/gallery")),
    Shot("search", None, DESKTOP, with_filters),
    Shot("nothing-found", None, {**DESKTOP, **DARK}, at("/gallery?q=zeppelin")),
    Shot("viewer", "ann", DESKTOP, in_the_viewer),
    Shot("viewer-dark", "ann", {**DESKTOP, **DARK}, in_the_viewer),
    Shot("image-phone", "ann", {**PHONE, **DARK}, at("/gallery/image/{image}")),
    Shot("making", "ann", DESKTOP, at("/gallery?scope=mine")),
    Shot("making-phone", "ann", PHONE, at("/gallery?scope=mine")),
    Shot("failed", "ann", {**DESKTOP, **DARK}, at("/gallery/image/{failed}")),
    Shot("new", "ann", DESKTOP, filling_in),
    Shot("new-phone", "ann", {**PHONE, **DARK}, at("/gallery/new")),
    Shot("select", "ann", DESKTOP, selecting),
    Shot("delete", "ann", DESKTOP, asking_to_delete),
    Shot("login", None, DESKTOP, at("/gallery/login")),
    Shot("keys", None, {**DESKTOP, **DARK}, asking_for_keys),
    Shot("gone", None, DESKTOP, at("/gallery/image/00000000-0000-4000-8000-000000000000")),
)


@contextmanager
def stand_in() -> Iterator[str]:
    """Run the stand-in for OpenAI, and give its address."""
    command = [sys.executable, "-m", "tests.doubles.openai_server", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        finally:
            process.terminate()


def draw(gallery: Gallery) -> str:
    """Have the sketches made, and return the guid of one."""

    def create(number: int) -> str:
        mood, sight = divmod(number, len(SIGHTS))
        tags = ["sketch", SIGHTS[sight].split()[-1]]
        guid: str = gallery.create(SIGHTS[sight] + MOODS[mood], tags=tags)["guid"]
        return guid

    with ThreadPoolExecutor(2) as executor:
        first, *_ = executor.map(create, range(len(SIGHTS) * len(MOODS)))
    return first


def order(gallery: Gallery) -> dict[str, str]:
    """Order what is to be seen while it is made, and what fails; return the guids."""
    guids = {}
    with gallery.api() as client:
        for name, prompt in {
            "failed": "a portrait of a famous person [[refuse]]",
            "partial": "an owl in a hollow tree [[gate-body screenshots]]",
            "pending": "a steam train on a viaduct [[gate screenshots]]",
        }.items():
            order = {"prompt": prompt, "partial_images": 2} if name == "partial" else {"prompt": prompt}
            answer = client.post("/private/image", json=order, headers={"Prefer": "respond-async"})
            guids[name] = answer.json()["guid"]
    return guids


def take(browser: Browser, gallery: Gallery, shot: Shot, guids: Mapping[str, str]) -> None:
    """Take a picture."""
    context = browser.new_context(base_url=gallery.url, reduced_motion="reduce", **shot.options)
    if shot.user:
        log_in(context, gallery, shot.user)
    page = context.new_page()
    shot.reach(page, guids)
    until(page, lambda: page.evaluate(ARE_COMPLETE))
    page.evaluate(RETOUCH, f"/image/{guids['image']}/content?width=256&height=256&fit=cover&format=auto&quality=70")
    page.wait_for_timeout(500)
    picture = Picture.open(io.BytesIO(page.screenshot()))
    picture.save(FOLDER / f"{shot.name}.webp", quality=QUALITY, method=6)
    context.close()


def main() -> None:
    """Take all pictures, or those that the command line names."""
    wanted = sys.argv[1:] or [shot.name for shot in SHOTS]
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, stand_in() as url, sync_playwright() as playwright:
        folder = Path(name)
        with running_service(folder) as service:
            gallery = Gallery(service, {})
            guids = {"image": draw(gallery)}
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}
        with running_service(folder, environment) as service:
            gallery.service, gallery.url = service, service.url
            guids |= order(gallery)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            try:
                for shot in SHOTS:
                    if shot.name in wanted:
                        take(browser, gallery, shot, guids)
            finally:
                browser.close()
                httpx.post(f"{url.removesuffix('/v1')}/stand-in/open/screenshots")


if __name__ == "__main__":
    main()
