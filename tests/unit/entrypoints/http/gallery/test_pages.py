"""The pages of the gallery, as any client gets them."""

import gzip
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from litestar.testing import TestClient

from pixyproxy.entrypoints.http import gallery
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import GallerySwitch, Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client

AWKWARD = "<script>alert('1')</script> \"quoted\" & שלום 🦊 </title> {{ 7 * 7 }}"


def created(client: Client) -> str:
    return str(client.post("/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"])


def rows(page: str) -> list[str]:
    return re.findall(r'<li class="cell" data-guid="([^"]+)"', page)


class TestTheRoot:
    @pytest.mark.parametrize(
        "accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "TEXT/HTML;q=0.1"]
    )
    def test_browsers_are_led_to_the_gallery(self, client: Client, accept: str) -> None:
        answer = client.get("/", headers={"Accept": accept}, follow_redirects=False)

        assert (answer.status_code, answer.headers["Location"], answer.headers["Vary"]) == (302, "/gallery", "Accept")

    @pytest.mark.parametrize("accept", ["*/*", "text/*", "application/json", "text/html;q=0", "nonsense", ""])
    def test_other_clients_are_led_to_the_description_of_the_api(self, client: Client, accept: str) -> None:
        answer = client.get("/", headers={"Accept": accept}, follow_redirects=False)

        assert (answer.headers["Location"], answer.headers["Vary"]) == ("/schema", "Accept")


class TestWithoutAGallery:
    @pytest.fixture
    def client(self) -> Iterator[Client]:
        settings = Settings(gallery=GallerySwitch.OFF)
        with TestClient(create_app(settings, in_memory_container(settings))) as client:
            yield client

    @pytest.mark.parametrize("path", ["", "/new", "/login", "/static/0123456789ab/style.css", "/image/x"])
    def test_its_addresses_are_unknown_to_the_api(self, client: Client, path: str) -> None:
        answer = client.get(f"/gallery{path}", headers={"Accept": "text/html"})

        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")

    def test_browsers_are_led_to_the_description_of_the_api(self, client: Client) -> None:
        answer = client.get("/", headers={"Accept": "text/html"}, follow_redirects=False)

        assert answer.headers["Location"] == "/schema"


class TestPages:
    def test_the_policy_allows_nothing_unsafe_and_no_other_site(self, client: Client) -> None:
        policy = client.get("/gallery").headers["Content-Security-Policy"]

        assert "unsafe" not in policy
        assert "http" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;")

    def test_a_page_that_has_not_changed_is_not_sent_again(self, client: Client) -> None:
        first = client.get("/gallery")
        again = client.get("/gallery", headers={"If-None-Match": first.headers["ETag"]})

        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["Cache-Control"] == "private, no-cache"

    def test_a_page_is_compressed_for_clients_that_take_gzip(self, client: Client) -> None:
        with client.stream("GET", "/gallery", headers={"Accept-Encoding": "gzip, br"}) as answer:
            body = b"".join(answer.iter_raw())
        plain = client.get("/gallery", headers={"Accept-Encoding": "gzip;q=0, br"})

        assert gzip.decompress(body) == plain.content
        assert "Content-Encoding" not in plain.headers

    def test_an_unknown_address_is_a_page(self, client: Client) -> None:
        answer = client.get("/gallery/nowhere/at/all")

        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert answer.headers["X-Request-ID"] in answer.text

    def test_pages_are_no_part_of_the_description_of_the_api(self, client: Client) -> None:
        assert not [path for path in client.get("/schema/openapi.json").json()["paths"] if path.startswith("/gallery")]


class TestStaticFiles:
    def address(self, client: Client) -> str:
        found = re.search(r'href="(/gallery/static/[0-9a-f]{12}/style\.css)"', client.get("/gallery").text)
        assert found
        return found[1]

    def test_browsers_keep_a_file_for_a_year(self, client: Client) -> None:
        answer = client.get(self.address(client))

        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == "text/css; charset=utf-8"

    def test_pages_of_another_release_get_a_file_that_is_not_kept(self, client: Client) -> None:
        answer = client.get("/gallery/static/0123456789ab/style.css")

        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")

    def test_modules_come_without_their_comments_and_whole(self, client: Client) -> None:
        served = client.get("/gallery/static/0123456789ab/gallery.js").text

        assert not re.search(r"^\s*(//|/\*| )", served, re.MULTILINE)
        written = (Path(gallery.__file__).parent / "static" / "gallery.js").read_text().splitlines()
        code = [line.strip() for line in written if not re.match(r"\s*(//|/\*\*|\*)", line)]
        assert [line for line in served.splitlines() if line] == [line for line in code if line]

    @pytest.mark.parametrize("name", ["nothing.css", "gallery.css", "..%2fstatic.py", "static.py", "gallery.css.map"])
    def test_there_are_no_other_files(self, client: Client, name: str) -> None:
        assert client.get(f"/gallery/static/0123456789ab/{name}").status_code == 404


class TestTheList:
    def test_the_login_leads_back_and_from_the_front_page_to_own_images(self, client: Client) -> None:
        assert 'href="/gallery/login"' in client.get("/gallery").text
        assert 'href="/gallery/login?next=%2Fgallery%3Fq%3Dfox"' in client.get("/gallery?q=fox").text

    def test_it_has_public_images_only_newest_first(self, client: Client) -> None:
        first, second = created(client), created(client)
        private = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]

        page = client.get("/gallery", auth=ANN).text

        assert rows(page) == [second, first]
        assert private not in page

    def test_own_images_need_a_login(self, client: Client) -> None:
        answer = client.get("/gallery?scope=mine&q=fox", follow_redirects=False)

        assert answer.status_code == 303
        assert answer.headers["Location"] == "/gallery/login?next=%2Fgallery%3Fscope%3Dmine%26q%3Dfox"

    def test_own_images_have_their_private_addresses(self, client: Client) -> None:
        guid = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]

        page = client.get("/gallery?scope=mine", auth=ANN).text

        assert rows(page) == [guid]
        assert f'src="/private/image/{guid}/content?width=256' in page
        assert rows(client.get("/gallery?scope=mine", auth=BOB).text) == []

    def test_a_cursor_that_does_not_fit_leads_to_the_first_page(self, client: Client) -> None:
        guid = created(client)

        answer = client.get("/gallery?cursor=AAAA")

        assert (answer.status_code, rows(answer.text)) == (200, [guid])
        assert "first page" in answer.text

    def test_prompts_tags_and_filters_are_text(self, client: Client) -> None:
        guid = client.post("/image", json={"prompt": AWKWARD, "tags": ["<b>&\"'"]}, auth=ANN).json()["guid"]

        for path in ("/gallery", f"/gallery/image/{guid}", "/gallery?q=%3Cscript%3E&tag=%3Cb%3E%26%22%27"):
            page = client.get(path).text
            assert "<script>alert" not in page
            assert "<b>&" not in page
            assert "49" not in re.sub(r"[0-9a-f-]{12,}", "", page)
        assert AWKWARD in unescape(client.get(f"/gallery/image/{guid}").text)


class TestAnImage:
    def test_an_image_of_the_list_leads_to_its_neighbours(self, client: Client) -> None:
        oldest, middle, newest = (created(client) for _ in range(3))

        page = client.get(f"/gallery/image/{middle}").text

        assert f'rel="prev" href="/gallery/image/{newest}"' in page
        assert f'rel="next" href="/gallery/image/{oldest}"' in page

    def test_another_users_private_image_is_as_unknown_as_none(self, client: Client) -> None:
        guid = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]
        unknown = "00000000-0000-4000-8000-000000000000"

        answers = [client.get(f"/gallery/image/{each}", auth=BOB) for each in (guid, unknown)]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert len({re.sub(r"[0-9a-f-]{32,36}", "", answer.text) for answer in answers}) == 1
        assert client.get(f"/gallery/image/{guid}", auth=ANN).status_code == 200

    def test_a_visitor_can_log_in_to_see_what_is_not_theirs_to_see(self, client: Client) -> None:
        guid = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]

        page = client.get(f"/gallery/image/{guid}").text

        assert "There is no such image or page, or it is not yours to see." in page
        assert f'href="/gallery/login?next=%2Fgallery%2Fimage%2F{guid}"' in page

    def test_a_malformed_guid_is_a_bad_address(self, client: Client) -> None:
        assert client.get("/gallery/image/nothing").status_code in {400, 404}
