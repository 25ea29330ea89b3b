"""The addresses of the gallery's lists."""

import pytest
from litestar.datastructures import MultiDict

from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.entrypoints.http.gallery.queries import PAGE_SIZE, GalleryQuery, parse_gallery_query


def parsed(*given: tuple[str, str]) -> GalleryQuery:
    return parse_gallery_query(MultiDict(given))


def test_without_parameters_it_is_the_first_page_of_public_images() -> None:
    query = parsed()

    assert (query.scope, query.images.limit, query.images.cursor) == (ImageScope.PUBLIC, PAGE_SIZE, None)
    assert query.path() == "/gallery"


def test_a_form_may_send_empty_fields() -> None:
    assert parsed(("q", " "), ("model", ""), ("scope", "")).path() == "/gallery"


def test_the_path_of_a_list_means_the_same_list() -> None:
    query = parsed(("scope", "mine"), ("tag", "fox"), ("tag", "snow"), ("q", "a & b"), ("visibility", "private"))

    assert query.path() == "/gallery?scope=mine&q=a+%26+b&tag=fox&tag=snow&visibility=private"
    assert query.images.wanted.visibility is Visibility.PRIVATE


def test_one_filter_can_be_left_out() -> None:
    query = parsed(("tag", "fox"), ("tag", "snow"))

    assert query.path(without=("tag", "fox")) == "/gallery?tag=snow"


def test_filters_of_own_images_stay_behind_when_the_scope_changes() -> None:
    query = parsed(("scope", "mine"), ("tag", "fox"), ("visibility", "private"))

    assert query.path(scope="") == "/gallery?tag=fox"


@pytest.mark.parametrize(
    ("name", "value"),
    [("media_type", "text/html"), ("sort", "size"), ("created_after", "yesterday"), ("tag", "x" * 65)],
)
def test_a_filter_that_can_not_be_used_is_left_out_and_named(name: str, value: str) -> None:
    query = parsed((name, value), ("q", "fox"))

    assert list(query.refused) == [name]
    assert query.path() == "/gallery?q=fox"


def test_unknown_parameters_are_ignored() -> None:
    assert parsed(("utm_source", "mail"), ("limit", "5")).images.limit == PAGE_SIZE


def test_days_are_whole_days() -> None:
    wanted = parsed(("created_after", "2026-11-01"), ("created_before", "2026-11-02")).images.wanted

    assert str(wanted.created_after) == "2026-11-01 00:00:00+00:00"
    assert str(wanted.created_before) == "2026-11-03 00:00:00+00:00"
