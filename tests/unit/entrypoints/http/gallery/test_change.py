"""Changing, deleting and sharing an image by the forms of its page, as a browser without JavaScript sends them."""

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client

AWKWARD = ["a, comma", "<b>&\"'</b>", "שלום", "🦊" * 64, "漢" * 64]
# Without a login, the forms of the gallery are for its own pages only.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def created(client: Client, **fields: Any) -> str:
    body = {"prompt": "a fox", "tags": ["fox", "snow"], **fields}
    return str(client.post("/private/image", json=body, auth=ANN).json()["guid"])


def details(client: Client, guid: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.get(f"/private/image/{guid}", auth=ANN).json()
    return found


def form_of(page: str) -> dict[str, str | list[str]]:
    """Return the fields of the form that changes an image, as a browser sends them."""
    form = page[page.index('<form id="change"') :]
    form = form[: form.index("</form>")]
    fields: dict[str, list[str]] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        found = {name: unescape(value) for name, value in re.findall(r'([a-z]+)="([^"]*)"', tag)}
        if found.get("type") not in {"checkbox", "radio"} or tag.endswith(" checked>"):
            fields.setdefault(found["name"], []).append(found.get("value", ""))
    return {name: values if name == "tag" else values[0] for name, values in fields.items()}


def opened(client: Client, guid: str) -> dict[str, Any]:
    """Open the page of an image, and return the form in it."""
    return form_of(client.get(f"/gallery/image/{guid}", auth=ANN).text)


def send(client: Client, guid: str, form: Mapping[str, Any], **options: Any) -> httpx.Response:
    return client.post(f"/gallery/image/{guid}", data=form, auth=ANN, follow_redirects=False, **options)


class TestChanging:
    def test_tags_visibility_and_file_name_are_changed(self, client: Client) -> None:
        guid = created(client)
        form = opened(client, guid)
        assert form["tag"] == ["fox", "snow", "", "", ""]

        answer = send(client, guid, {**form, "tag": ["snow", "", " winter "], "visibility": "public", "filename": "a"})

        assert (answer.status_code, answer.headers["Location"]) == (303, f"/gallery/image/{guid}")
        found = details(client, guid)
        assert (found["tags"], found["visibility"], found["filename"]) == (["snow", "winter"], "public", "a.png")

    def test_any_tag_survives_a_form_that_is_sent_as_it_is(self, client: Client) -> None:
        guid = created(client, tags=AWKWARD)

        assert send(client, guid, opened(client, guid)).status_code == 303
        assert details(client, guid)["tags"] == AWKWARD

    def test_without_a_file_name_the_image_gets_the_one_made_from_its_prompt(self, client: Client) -> None:
        guid = created(client)
        automatic = details(client, guid)["filename"]
        send(client, guid, {**opened(client, guid), "filename": "other.png"})

        send(client, guid, {**opened(client, guid), "filename": " "})

        assert details(client, guid)["filename"] == automatic

    def test_the_answer_leads_back_to_the_page_in_its_list(self, client: Client) -> None:
        guid = created(client)

        answer = client.post(
            f"/gallery/image/{guid}?scope=mine&q=fox", data=opened(client, guid), auth=ANN, follow_redirects=False
        )

        assert answer.headers["Location"] == f"/gallery/image/{guid}?scope=mine&q=fox"

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ({"tag": ["fox", "x" * 65]}, "tags[1]"),
            ({"tag": ["fox", *map(str, range(32))]}, "tags must be at most 32, not 33"),
            ({"visibility": "secret"}, "visibility must be public or private"),
            ({"filename": "a/b.png"}, "filename must be 1 to 255 ASCII characters"),
        ],
    )
    def test_what_is_refused_is_told_and_stays_typed(
        self, client: Client, typed: Mapping[str, str | Sequence[str]], sentence: str
    ) -> None:
        guid = created(client)
        before = details(client, guid)
        sent = {**opened(client, guid), "tag": ["fox", "typed"], "filename": "typed.png", **typed}

        answer = send(client, guid, sent)

        assert answer.status_code == 400
        assert sentence in unescape(answer.text)
        form = form_of(answer.text)
        assert [tag for tag in form["tag"] if tag] == sent["tag"]
        assert form["filename"] == sent["filename"]
        assert details(client, guid) == before

    def test_a_stranger_needs_a_login(self, client: Client) -> None:
        guid = created(client, visibility="public")
        form = opened(client, guid)

        assert client.post(f"/gallery/image/{guid}", data=form, headers=OWN_PAGE).status_code == 401

    def test_another_users_image_is_not_changed(self, client: Client) -> None:
        public, private = created(client, visibility="public"), created(client)
        form = opened(client, public)

        answers = [client.post(f"/gallery/image/{guid}", data=form, auth=BOB) for guid in (public, private)]

        assert [answer.status_code for answer in answers] == [403, 404]
        assert "<form id=" not in client.get(f"/gallery/image/{public}", auth=BOB).text.partition("<main")[2]

    def test_an_image_that_is_gone_meanwhile_is_told(self, client: Client) -> None:
        guid = created(client)
        form = opened(client, guid)
        client.delete(f"/private/image/{guid}", auth=ANN)

        answer = send(client, guid, form)

        assert answer.status_code == 404
        assert "There is no such image or page" in answer.text

    @pytest.mark.parametrize("seen", [None, "", "{}", '{"version": "x"}', "[]", "\x00"])
    def test_a_form_that_no_page_has_sent_is_refused(self, client: Client, seen: str | None) -> None:
        guid = created(client)
        form = {**opened(client, guid), "seen": seen}

        assert send(client, guid, {name: value for name, value in form.items() if value is not None}).status_code == 400

    @pytest.mark.parametrize("body", [b"seen=%ff&tag=%fe", b"\xff\xfe", b"&&&===", b"seen"])
    def test_a_malformed_body_is_refused(self, client: Client, body: bytes) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        assert (
            client.post(f"/gallery/image/{created(client)}", content=body, headers=headers, auth=ANN).status_code == 400
        )

    def test_a_form_with_a_file_is_refused(self, client: Client) -> None:
        guid = created(client)
        files = {"tag": ("a.txt", b"fox")}

        answer = client.post(f"/gallery/image/{guid}", data=opened(client, guid), files=files, auth=ANN)

        assert answer.status_code == 400

    def test_a_database_that_is_read_only_loses_nothing_typed(
        self, client: Client, container: Container, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guid = created(client)
        form = {**opened(client, guid), "tag": ["fox", "typed"], "filename": "typed.png"}

        async def refuse(*_: object, **__: object) -> None:
            raise DBConnectionError("The database is read-only.")

        monkeypatch.setattr(container.images(), "change", refuse)
        answer = send(client, guid, form)

        assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
        again = form_of(answer.text)
        assert (again["filename"], again["tag"]) == ("typed.png", ["fox", "typed", "", "", ""])
        monkeypatch.undo()
        assert send(client, guid, again).status_code == 303
        assert details(client, guid)["tags"] == ["fox", "typed"]


class TestAConflict:
    def test_a_change_by_others_is_shown_beside_what_was_typed(self, client: Client) -> None:
        guid = created(client)
        form = opened(client, guid)
        others = {"tags": ["fox", "snow", "theirs"], "filename": "theirs.png"}
        client.patch(f"/private/image/{guid}", json=others, auth=ANN)

        answer = send(client, guid, {**form, "tag": ["fox", "mine"]})

        assert answer.status_code == 412
        assert details(client, guid)["tags"] == others["tags"]
        conflict = answer.text.partition('class="conflict"')[2].partition("</dl>")[0]
        assert re.findall(r'class="tag">([^<]*)<', conflict) == ["fox", "snow", "theirs", "fox", "mine"]
        assert "File name" not in conflict

    def test_saving_once_more_stores_both_changes(self, client: Client) -> None:
        guid = created(client)
        form = opened(client, guid)
        others = {"tags": ["fox", "snow", "theirs"], "visibility": "public"}
        client.patch(f"/private/image/{guid}", json=others, auth=ANN)

        answer = send(client, guid, {**form, "tag": ["fox", "mine"], "filename": "mine.png"})
        assert send(client, guid, form_of(answer.text)).status_code == 303

        found = details(client, guid)
        assert (found["tags"], found["visibility"], found["filename"]) == (
            ["fox", "theirs", "mine"],
            "public",
            "mine.png",
        )

    def test_the_same_change_by_others_is_no_conflict(self, client: Client) -> None:
        guid = created(client)
        form = opened(client, guid)
        client.patch(f"/private/image/{guid}", json={"tags": ["fox"], "filename": "theirs.png"}, auth=ANN)

        assert send(client, guid, {**form, "tag": ["fox"]}).status_code == 303
        assert details(client, guid)["filename"] == "theirs.png"

    def test_a_page_that_is_sent_twice_changes_the_image_once(self, client: Client) -> None:
        guid = created(client)
        form = {**opened(client, guid), "tag": ["fox"]}

        first, second = send(client, guid, form), send(client, guid, form)

        assert (first.status_code, second.status_code) == (303, 303)
        assert form_of(client.get(f"/gallery/image/{guid}", auth=ANN).text)["tag"] == ["fox", "", "", ""]


class TestDeleting:
    def test_the_page_shows_picture_and_prompt_and_starts_on_cancel(self, client: Client) -> None:
        guid = created(client, prompt="a <b>fox</b>")

        page = client.get(f"/gallery/image/{guid}/delete?scope=mine", auth=ANN).text

        assert f'src="/private/image/{guid}/content?' in page
        assert "a &lt;b&gt;fox&lt;/b&gt;" in page
        assert f'<a class="button" href="/gallery/image/{guid}?scope=mine" autofocus>Cancel</a>' in page
        assert client.get(f"/private/image/{guid}", auth=ANN).is_success

    def test_the_image_is_deleted_and_the_list_is_shown(self, client: Client) -> None:
        guid = created(client)
        path = f"/gallery/image/{guid}/delete?scope=mine&tag=fox"

        answers = [client.post(path, auth=ANN, follow_redirects=False) for _ in range(2)]

        assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
            (303, "/gallery?scope=mine&tag=fox")
        ] * 2
        assert client.get(f"/private/image/{guid}", auth=ANN).status_code == 404

    def test_another_users_image_is_not_deleted(self, client: Client) -> None:
        guid = created(client, visibility="public")
        path = f"/gallery/image/{guid}/delete"

        assert client.get(path, auth=BOB).status_code == 403
        assert client.post(path, auth=BOB).status_code == 403
        assert client.post(path, headers=OWN_PAGE).status_code == 401
        assert client.get(path, follow_redirects=False).headers["Location"].startswith("/gallery/login?next=")
        assert client.get(f"/image/{guid}").is_success


class TestSharing:
    def share(self, client: Client, guid: str, lifetime: str) -> httpx.Response:
        return client.post(f"/gallery/image/{guid}/share", data={"lifetime": lifetime}, auth=ANN)

    @pytest.mark.parametrize("lifetime", [3600, 86400, 604800])
    def test_a_link_opens_the_picture_without_a_login(self, client: Client, lifetime: int) -> None:
        guid = created(client)

        answer = self.share(client, guid, str(lifetime))

        found = re.search(r'id="link-url" readonly value="([^"]+)"', answer.text)
        assert found
        link = unescape(found[1])
        url = urlsplit(link)
        assert client.get(f"{url.path}?{url.query}").headers["Content-Type"] == "image/png"
        assert link.startswith("http://testserver.local/private/image/")
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("lifetime", ["", "0", "-1", "31536000", "x"])
    def test_other_lifetimes_are_refused(self, client: Client, lifetime: str) -> None:
        assert self.share(client, created(client), lifetime).status_code == 400

    def test_a_public_image_has_the_address_of_its_page(self, client: Client) -> None:
        public, private = created(client, visibility="public"), created(client)

        address = f'value="http://testserver.local/gallery/image/{public}"'
        assert address in client.get(f"/gallery/image/{public}").text
        assert address in client.get(f"/gallery/image/{public}", auth=ANN).text
        assert 'id="page-address"' not in client.get(f"/gallery/image/{private}", auth=ANN).text
        assert 'id="make-link"' not in client.get(f"/gallery/image/{public}", auth=BOB).text

    def test_another_users_image_has_no_link(self, client: Client) -> None:
        guid = created(client, visibility="public")
        path, form = f"/gallery/image/{guid}/share", {"lifetime": "3600"}

        assert client.post(path, data=form, auth=BOB).status_code == 404
        assert client.post(path, data=form, headers=OWN_PAGE).status_code == 401
