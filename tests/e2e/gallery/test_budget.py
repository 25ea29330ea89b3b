"""The gallery keeps its budget of bytes and counts; `make bench-gallery` measures the times."""

from collections.abc import Mapping

import pytest

from tests.e2e.gallery.conftest import NewPage
from tests.e2e.gallery.measuring import (
    BUDGET,
    DESKTOP,
    fill_with_photographs,
    measured_html,
    measured_loads,
    measured_scroll,
)
from tests.e2e.gallery.running_gallery import Gallery


@pytest.fixture(scope="module")
def gallery_of_photographs(gallery: Gallery) -> Gallery:
    fill_with_photographs(gallery.service, 1_200)
    return gallery


def test_pages_and_static_files_are_small(gallery_of_photographs: Gallery) -> None:
    assert beyond_budget(dict(measured_html(gallery_of_photographs.service))) == {}


def test_the_first_page_is_there_soon_and_takes_few_bytes(gallery_of_photographs: Gallery, new_page: NewPage) -> None:
    assert beyond_budget(dict(measured_loads(new_page, rounds=1))) == {}


def test_the_document_stays_small_while_it_scrolls(gallery_of_photographs: Gallery, new_page: NewPage) -> None:
    page = new_page(**DESKTOP)
    page.goto("/gallery")

    assert beyond_budget(dict(measured_scroll(page, seconds=4))) == {}


def beyond_budget(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are larger than they may be, but times, which depend on what else the machine does."""
    return {name: figure for name, figure in figures.items() if not BUDGET[name].is_time and figure > BUDGET[name].most}
