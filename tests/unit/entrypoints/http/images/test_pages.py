"""Filters, order, pages and counts of the lists over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.container import Container
from tests.factories import ContentInfoFactory, FailedImageFactory, ImageFactory, PendingImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.problem_bodies import problem

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("path", ["/image", "/private/image"])
BATCH, FOX, SECRET = UUID(int=1 << 64), UUID(int=2 << 64), UUID(int=3 << 64)
LISTS = pytest.mark.parametrize("path", ["/image", "/private/image", "/tag", "/private/tag"])


async def add(container: Container, name: str, minutes: int, **fields: Any) -> None:
    """Store a ready image of Ann's with the title `name`, created this many minutes after noon."""
    media_type = fields.pop("media_type", MediaType.PNG)
    image = ImageFactory.build(
        **{
            "author": UserName("ann"),
            "filename": name,
            "tags": (),
            "created_at": NOON + timedelta(minutes=minutes),
            "content": ContentInfoFactory.build(media_type=media_type),
            **fields,
        }
    )
    await container.images().add(image)


@pytest.fixture
async def library(container: Container) -> None:
    def drawn_from(prompt: str, *guids: UUID) -> GenerationRequest:
        return GenerationRequest(prompt=prompt, references=tuple(map(Reference.to_image, guids)))

    def place(position: int) -> BatchPlace:
        return BatchPlace(guid=BATCH, position=position, size=2)

    await add(container, "fox", 0, guid=FOX, prompt="A red fox, in the snow", tags=(Tag("fox"), Tag("snow")))
    lighthouse = drawn_from("A lighthouse at dusk", FOX, SECRET, FOX)
    await add(container, "light", 1, request=lighthouse, tags=(Tag("snow"),), model="rare", batch=place(1))
    secret = drawn_from("The fox is red", FOX)
    await add(container, "secret", 2, guid=SECRET, request=secret, visibility=Visibility.PRIVATE, batch=place(0))
    await add(container, "bobs", 3, author=UserName("bob"), media_type=MediaType.WEBP, prompt="Über dem Meer")


def names(client: Client, path: str, **parameters: Any) -> list[str]:
    response = client.get(path, params=parameters, auth=ANN)
    assert response.status_code == 200, response.text
    return [detail["filename"] for detail in response.json()]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("parameters", "public", "own"),
    [
        ({}, ["bobs", "light", "fox"], ["secret", "light", "fox"]),
        ({"sort": "created_at"}, ["fox", "light", "bobs"], ["fox", "light", "secret"]),
        ({"tag": "snow"}, ["light", "fox"], ["light", "fox"]),
        ({"tag": ["snow", "fox"]}, ["fox"], ["fox"]),
        ({"tag": ["snow", "snow"]}, ["light", "fox"], ["light", "fox"]),
        ({"tag": "Snow"}, [], []),
        ({"author": "bob"}, ["bobs"], []),
        ({"author": "ann"}, ["light", "fox"], ["secret", "light", "fox"]),
        ({"model": "rare"}, ["light"], ["light"]),
        ({"media_type": "image/webp"}, ["bobs"], []),
        ({"media_type": "image/svg+xml"}, [], []),
        ({"created_after": "2026-11-21T12:01:00Z"}, ["bobs", "light"], ["secret", "light"]),
        ({"created_before": "2026-11-21T12:01:00Z"}, ["fox"], ["fox"]),
        (
            {"created_after": "2026-11-21T14:01:00+02:00", "created_before": "2026-11-21T12:02:00Z"},
            ["light"],
            ["light"],
        ),
        ({"q": "red fox"}, ["fox"], ["secret", "fox"]),
        ({"q": '"red fox"'}, ["fox"], ["fox"]),
        ({"q": "LIGHT*"}, ["light"], ["light"]),
        ({"q": "light"}, [], []),
        ({"q": "uber"}, ["bobs"], []),
        ({"q": "!!! ***"}, [], []),
        ({"batch": str(BATCH)}, ["light"], ["secret", "light"]),
        ({"batch": str(BATCH), "sort": "created_at"}, ["light"], ["light", "secret"]),
        ({"batch": str(BATCH).upper(), "tag": "snow", "q": "dusk"}, ["light"], ["light"]),
        ({"batch": str(FOX)}, [], []),
        ({"derived_from": str(FOX)}, ["light"], ["secret", "light"]),
        ({"derived_from": str(FOX), "q": "fox"}, [], ["secret"]),
        ({"derived_from": str(FOX), "batch": str(BATCH), "model": "rare"}, ["light"], ["light"]),
        ({"derived_from": str(SECRET)}, [], ["light"]),
        ({"derived_from": str(BATCH)}, [], []),
        ({"q": "red", "tag": "snow", "author": "ann", "model": "gpt-image-2"}, ["fox"], ["fox"]),
    ],
)
def test_a_list_has_what_fits_every_filter(
    client: Client, parameters: dict[str, Any], public: list[str], own: list[str]
) -> None:
    assert names(client, "/image", **parameters) == public
    assert names(client, "/private/image", **parameters) == own


@pytest.mark.usefixtures("library")
def test_one_s_own_list_can_be_of_one_visibility(client: Client) -> None:
    assert names(client, "/private/image", visibility="private") == ["secret"]
    assert names(client, "/private/image", visibility="public") == ["light", "fox"]


@pytest.mark.usefixtures("library")
async def test_one_s_own_list_can_be_of_one_state(client: Client, container: Container) -> None:
    failed: dict[str, Any] = {"author": UserName("ann"), "prompt": "A red fox", "tags": (Tag("fox"),)}
    for number in range(2):
        await container.images().add(
            FailedImageFactory.build(filename=f"failed-{number}", created_at=NOON + timedelta(number), **failed)
        )
    pending = PendingImageFactory.build(filename="pending", author=UserName("ann"), visibility=Visibility.PRIVATE)
    await container.images().add(pending)
    await container.images().add(PendingImageFactory.build(author=UserName("bob")))

    assert names(client, "/private/image", status="failed") == ["failed-1", "failed-0"]
    assert names(client, "/private/image", status="failed", q="fox", tag="fox", sort="created_at", limit=1) == [
        "failed-0"
    ]
    assert names(client, "/private/image", status="pending") == ["pending"]
    assert names(client, "/private/image", status="pending", visibility="public") == []
    assert names(client, "/private/image", status="ready") == names(client, "/private/image")
    assert names(client, "/private/image", status="generating") == []
    assert names(client, "/private/image", status="unknown") == []
    first = client.get("/private/image?status=failed&limit=1", headers={"Prefer": "count=exact"}, auth=ANN)
    assert first.headers["X-Total-Count"] == "2"
    assert first.json()[0]["problem"]["title"]
    assert client.get(first.links["next"]["url"], auth=ANN).json()[0]["filename"] == "failed-0"


@pytest.mark.parametrize("status", ["", "deleted", "READY", "failed ", ["failed", "pending"], ["ready", "ready"]])
def test_a_state_that_there_is_not_is_refused(client: Client, status: Any) -> None:
    problem(client.get("/private/image", params={"status": status}, auth=ANN), 400, "status")


@pytest.mark.usefixtures("library")
def test_the_default_state_may_be_named_without_making_another_list(client: Client) -> None:
    cursor = parse_qs(urlsplit(client.get("/private/image?limit=1", auth=ANN).links["next"]["url"]).query)["cursor"][0]

    for query, status in (("status=ready", 200), ("status=failed", 400)):
        assert client.get(f"/private/image?{query}&cursor={cursor}", auth=ANN).status_code == status


@BOTH
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"tag": " a"}, "tag"),
        ({"tag": "a" * 65}, "tag"),
        ({"tag": [str(number) for number in range(33)]}, "tag"),
        ({"author": "a:b"}, "author"),
        ({"model": "\0"}, "model"),
        ({"media_type": "image/bmp"}, "media_type"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "2026-11-21T12:00:00"}, "created_before"),
        ({"created_after": "0001-01-01T00:00:00+23:59"}, "created_after"),
        ({"q": ""}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"q": "a" * 501}, "q"),
        ({"batch": "7"}, "batch"),
        ({"batch": ""}, "batch"),
        ({"batch": [str(BATCH), str(BATCH)]}, "batch"),
        ({"derived_from": "fox"}, "derived_from"),
        ({"derived_from": "ab" * 32}, "derived_from"),
        ({"derived_from": "{00000000-0000-0000-0000-000000000001}"}, "derived_from"),
        ({"sort": "size"}, "sort"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"tags": "fox"}, "tags"),
        ({"offset": "3"}, "offset"),
        ({"q": ["a", "b"]}, "q"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"sort": ["created_at", "-created_at"]}, "sort"),
    ],
)
def test_an_invalid_filter_is_named(client: Client, path: str, parameters: dict[str, Any], field: str) -> None:
    problem(client.get(path, params=parameters, auth=ANN), 400, field)


@BOTH
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("created_after=2026-11-21T13:01:00+01:00", "created_after=2026-11-21T12:01:00Z"),
        ("created_after=2026-11-21T13:01:00.000+01:00", "created_after=2026-11-21T12:01:00Z"),
        ("created_before=2026-11-21T13:02:00+01:00", "created_before=2026-11-21T12:02:00Z"),
        ("media_type=image/svg+xml", "media_type=image%2Fsvg%2Bxml"),
    ],
)
@pytest.mark.usefixtures("library")
def test_a_plus_that_arrives_as_a_space_is_a_plus(client: Client, path: str, given: str, meant: str) -> None:
    found, expected = (client.get(f"{path}?limit=1&{query}", auth=ANN) for query in (given, meant))

    assert found.status_code == 200
    assert found.json() == expected.json()
    if link := found.links.get("next"):
        assert client.get(link["url"], auth=ANN).status_code == 200


@pytest.mark.parametrize(
    "time", ["2026-11-21 10:00", "2026-11-21T10:00:00 1:00", "2026-11-21T10:00:00 01:00 ", " 01:00"]
)
def test_a_time_that_can_not_be_read_says_how_to_write_a_plus(client: Client, time: str) -> None:
    assert "%2B" in problem(client.get("/image", params={"created_after": time}), 400, "created_after")["detail"]


def test_an_unknown_media_type_names_those_that_there_are(client: Client) -> None:
    detail = problem(client.get("/image?media_type=image/bmp"), 400, "media_type")["detail"]
    assert "image/png, image/jpeg" in detail


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("visibility", "private"), ("visibility", "public"), ("status", "failed"), ("status", "ready")],
)
def test_the_public_list_has_no_visibility_or_state_to_choose(client: Client, parameter: str, value: str) -> None:
    for auth in (None, ANN):
        problem(client.get("/image", params={parameter: value}, auth=auth), 400, parameter)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=500))
def test_nothing_that_is_searched_for_is_an_error(client: Client, words: str) -> None:
    assert client.get("/image", params={"q": words}).status_code == 200


@pytest.mark.usefixtures("library")
@BOTH
@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_pages_lead_to_the_end_and_back(client: Client, path: str, sort: str) -> None:
    everything = names(client, path, sort=sort)
    pages = [client.get(f"{path}?limit=1&sort={sort}", auth=ANN)]
    while link := pages[-1].links.get("next"):
        pages.append(client.get(link["url"], auth=ANN))
    way_back = pages[-1:]
    while link := way_back[-1].links.get("prev"):
        way_back.append(client.get(link["url"], auth=ANN))
    there, back = (
        [detail["filename"] for page in pages_read for detail in page.json()] for pages_read in (pages, way_back)
    )

    assert there == everything
    assert back == everything[::-1]


@pytest.mark.usefixtures("library")
def test_links_keep_the_filters(client: Client) -> None:
    link = client.get("/image/?limit=1&tag=snow&q=a*%20%26&created_after=2026-01-01T00:00:00%2B01:00").links["next"][
        "url"
    ]

    url = urlsplit(link)
    assert url.path == "/image"
    assert parse_qs(url.query) | {"cursor": []} == {
        "limit": ["1"],
        "tag": ["snow"],
        "q": ["a* &"],
        "created_after": ["2026-01-01T00:00:00+01:00"],
        "cursor": [],
    }
    assert [detail["filename"] for detail in client.get(link).json()] == ["fox"]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("parameters", [{"batch": str(BATCH)}, {"derived_from": str(FOX)}])
def test_batches_and_derived_images_come_in_pages_with_their_number(client: Client, parameters: dict[str, Any]) -> None:
    headers = {"Prefer": "count=exact"}
    first = client.get("/private/image", params={**parameters, "limit": 1}, headers=headers, auth=ANN)
    second = client.get(first.links["next"]["url"], auth=ANN)
    back = client.get(second.links["prev"]["url"], auth=ANN)
    head = client.head("/private/image", params={**parameters, "limit": 1}, headers=headers, auth=ANN)

    found = [detail["filename"] for page in (first, second, back) for detail in page.json()]
    assert found == ["secret", "light", "secret"]
    assert "next" not in second.links
    assert first.headers["X-Total-Count"] == "2"
    assert {name: head.headers[name] for name in ("ETag", "Link", "X-Total-Count")} == {
        name: first.headers[name] for name in ("ETag", "Link", "X-Total-Count")
    }


@pytest.mark.usefixtures("library")
def test_children_of_an_image_that_is_hidden_or_deleted_are_listed_no_more(client: Client) -> None:
    client.patch(f"/private/image/{FOX}", json={"visibility": "private"}, auth=ANN)
    assert names(client, "/image", derived_from=str(FOX)) == []
    assert names(client, "/private/image", derived_from=str(FOX)) == ["secret", "light"]
    client.delete(f"/private/image/{FOX}", auth=ANN)
    assert names(client, "/private/image", derived_from=str(FOX)) == []


@pytest.mark.usefixtures("library")
def test_a_cursor_is_of_use_in_its_own_list_only(client: Client) -> None:
    cursor = parse_qs(urlsplit(client.get("/image?limit=1").links["next"]["url"]).query)["cursor"][0]

    assert client.get("/image", params={"cursor": cursor, "limit": 3}).status_code == 200
    for other in ({"tag": "snow"}, {"sort": "created_at"}, {"q": "fox"}, {"author": "ann"}, {"batch": str(BATCH)}):
        problem(client.get("/image", params={"cursor": cursor, **other}), 400, "cursor")
    problem(client.get("/private/image", params={"cursor": cursor}, auth=ANN), 400, "cursor")
    problem(client.get("/tag", params={"cursor": cursor}), 400, "cursor")


@pytest.mark.usefixtures("library")
def test_one_author_s_cursor_is_of_no_use_to_another(client: Client) -> None:
    cursor = parse_qs(urlsplit(client.get("/private/image?limit=1", auth=ANN).links["next"]["url"]).query)["cursor"][0]

    problem(client.get("/private/image", params={"cursor": cursor}, auth=BOB), 400, "cursor")


@pytest.mark.usefixtures("library")
def test_a_cursor_that_was_tampered_with_is_refused(client: Client) -> None:
    cursor = parse_qs(urlsplit(client.get("/image?limit=1").links["next"]["url"]).query)["cursor"][0]

    for position in range(len(cursor)):
        other = cursor[:position] + ("B" if cursor[position] == "A" else "A") + cursor[position + 1 :]
        problem(client.get("/image", params={"cursor": other}), 400, "cursor")


@LISTS
@pytest.mark.parametrize("cursor", ["", "a", "AAAA", "====", "\N{FOX FACE}", "A" * 55, "A" * 501, "-" * 22])
def test_a_cursor_that_was_made_up_is_refused(client: Client, path: str, cursor: str) -> None:
    problem(client.get(path, params={"cursor": cursor}, auth=ANN), 400, "cursor")


@pytest.mark.usefixtures("library")
def test_images_are_counted_on_request_only(client: Client) -> None:
    assert "X-Total-Count" not in client.get("/image").headers

    response = client.get("/image?limit=1&tag=snow", headers={"Prefer": "count=exact"})

    assert response.headers["X-Total-Count"] == "2"
    assert response.headers["Preference-Applied"] == "count=exact"
    assert client.get("/image?author=stranger", headers={"Prefer": "count=exact"}).headers["X-Total-Count"] == "0"
    own = client.get("/private/image?author=bob", headers={"Prefer": "count=exact"}, auth=ANN)
    assert own.headers["X-Total-Count"] == "0"


@pytest.mark.usefixtures("library")
def test_tags_come_with_their_numbers_of_images(client: Client) -> None:
    everything = [{"tag": "fox", "images": 1}, {"tag": "snow", "images": 2}]
    assert client.get("/tag").json() == everything
    assert client.get("/private/tag", auth=ANN).json() == everything
    assert client.get("/private/tag", auth=BOB).json() == []
    assert client.get("/tag?prefix=f").json() == everything[:1]
    assert client.get("/tag?prefix=x").json() == []


@pytest.mark.usefixtures("library")
def test_pages_of_tags_lead_to_the_end_and_back(client: Client) -> None:
    first = client.get("/tag?limit=1")
    second = client.get(first.links["next"]["url"])
    back = client.get(second.links["prev"]["url"])

    assert [page.json()[0]["tag"] for page in (first, second, back)] == ["fox", "snow", "fox"]
    assert "next" not in second.links
    assert "prev" not in back.links


def test_one_s_own_tags_need_a_login(client: Client) -> None:
    problem(client.get("/private/tag"), 401)


@pytest.mark.parametrize(
    ("query", "field"), [("prefix=%00", "prefix"), (f"prefix={'a' * 65}", "prefix"), ("limit=0", "limit"), ("q=a", "q")]
)
def test_an_invalid_parameter_of_a_list_of_tags_is_named(client: Client, query: str, field: str) -> None:
    problem(client.get(f"/tag?{query}"), 400, field)
