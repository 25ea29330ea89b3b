"""What tests see of a list: its cells, where they are, and what is at the top."""

from typing import Any, Final

from playwright.sync_api import Page

from tests.e2e.gallery.watching import until

_PLACE: Final = """() => {
  const top = document.getElementById("top").getBoundingClientRect().bottom;
  const isBelow = (each) => each.getBoundingClientRect().bottom > top + 1;
  const cell = [...document.querySelectorAll("#list .cell")].find(isBelow);
  return cell ? [cell.dataset.guid, cell.getBoundingClientRect().top] : null;
}"""

Place = tuple[str, float]


def place(page: Page) -> Place:
    """Return the guid of the first cell in view, and its distance from the top of the window."""
    guid, top = page.evaluate(_PLACE)
    return guid, top


def shown(page: Page) -> list[str]:
    """Return the guids of the cells in the document, in their order."""
    guids: list[str] = page.eval_on_selector_all("#list .cell", "cells => cells.map(({dataset}) => dataset.guid)")
    return guids


def top_of(page: Page, guid: str) -> float:
    """Return the distance of a cell from the top of the window."""
    top: float = page.locator(f'.cell[data-guid="{guid}"]').evaluate("cell => cell.getBoundingClientRect().top")
    return top


def scroll_by(page: Page, pixels: int) -> Place:
    """Scroll, wait until the list has settled there, and return what is at the top then."""
    scroll(page, pixels)
    settle(page)
    return place(page)


def scroll(page: Page, pixels: float) -> None:
    """Scroll at once."""
    page.evaluate("top => void scrollBy({top, behavior: 'instant'})", pixels)


def scroll_down_to(page: Page, guid: str, pixels: float = 700) -> None:
    """Scroll down until this image's cell is in the document."""

    def is_there() -> bool:
        scroll(page, pixels)
        return guid in shown(page)

    until(page, is_there)


def scroll_up_to(page: Page, guid: str) -> None:
    """Scroll up until this image's cell is in the document."""

    def is_there() -> bool:
        scroll(page, -700)
        return guid in shown(page)

    until(page, is_there)


def settle(page: Page) -> None:
    """Wait until the history tells the place that is in view."""

    def is_settled() -> bool:
        noted: dict[str, Any] | None = page.evaluate("history.state")
        return page.evaluate("scrollY") < 1 or bool(noted and noted.get("place") == list(place(page)))

    until(page, is_settled)


def scroll_to(page: Page, guid: str) -> None:
    """Scroll down until the list has this image, and into its view."""
    if guid not in shown(page):
        scroll_down_to(page, guid)
    cell = page.locator(f'.cell[data-guid="{guid}"]')
    cell.evaluate("cell => cell.scrollIntoView({block: 'center', behavior: 'instant'})")
    settle(page)
