"""Signed links over HTTP: who creates them, and the access they give."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import msgspec
import pytest
from dependency_injector import providers

from pixyproxy.domain.ports import Clock
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.content.signed_links import SignedLinkMaker
from pixyproxy.entrypoints.log import configure_logging
from pixyproxy.entrypoints.settings import LogFormat, Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import HeldGenerator, serving

NOON = datetime(2026, 1, 1, 12, 0, 0, 700_000, tzinfo=UTC)
KEY, OTHER_KEY = "k" * 32, "o" * 32
NOT_VALID, EXPIRED = "The link is not valid.", "The link has expired."


@pytest.fixture
def guid(client: Client) -> str:
    return str(client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"])


class SetClock(Clock):
    """Shows the time that it is set to."""

    time = NOON

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def container(container: Container, clock: SetClock) -> Container:
    container.clock.override(providers.Object(clock))
    return container


def link_to(client: Client, guid: str, **wanted: Any) -> str:
    response = client.post(f"/private/image/{guid}/link", json=wanted, auth=ANN)
    assert response.status_code == 200, response.text
    return str(response.json()["url"])


def query_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def changed(url: str, **changes: str | None) -> str:
    """Return the link with other parameters; None takes one away."""
    query = {name: value for name, value in (query_of(url) | changes).items() if value is not None}
    return urlunsplit(urlsplit(url)._replace(query=urlencode(query)))


def test_another_site_may_show_the_picture_of_a_link(client: Client, guid: str) -> None:
    link = link_to(client, guid)
    shown = client.get(link)

    for response in (shown, client.get(link, headers={"If-None-Match": shown.headers["ETag"]})):
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    own = client.get(f"/private/image/{guid}/content", auth=ANN)
    assert own.headers["Cross-Origin-Resource-Policy"] == "same-origin"


class TestCreation:
    """Who gets a link, and its form."""

    def test_a_link_is_an_absolute_address_that_says_when_it_expires(self, client: Client, guid: str) -> None:
        response = client.post(f"/private/image/{guid}/link", json={}, auth=ANN, headers={"Host": "pixy.example:8443"})

        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert list(response.json()) == ["url", "expires_at"]
        assert response.json()["expires_at"] == "2026-01-01T13:00:00Z"
        url = urlsplit(response.json()["url"])
        assert (url.scheme, url.netloc, url.path) == (
            "http",
            "pixy.example:8443",
            f"/private/image/{guid}/content",
        )
        assert list(query_of(response.json()["url"])) == ["expires", "signature"]
        assert query_of(response.json()["url"])["expires"] == str(int(NOON.timestamp()) + 3600)

    def test_a_link_names_the_variant_that_was_asked_for(self, client: Client, guid: str) -> None:
        url = link_to(client, guid, quality=70, format="auto", fit="cover", height=64, width=256, lifetime=60)

        query = query_of(url)
        assert list(query) == ["width", "height", "fit", "format", "quality", "expires", "signature"]
        assert list(query.values())[:5] == ["256", "64", "cover", "auto", "70"]

    @pytest.mark.parametrize("lifetime", [60, 604_800])
    def test_a_lifetime_is_a_minute_to_a_week(self, client: Client, guid: str, lifetime: int) -> None:
        assert query_of(link_to(client, guid, lifetime=lifetime))["expires"] == str(int(NOON.timestamp()) + lifetime)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"lifetime": 59}, "lifetime"),
            ({"lifetime": 604_801}, "lifetime"),
            ({"lifetime": 60.5}, "lifetime"),
            ({"lifetime": None}, "lifetime"),
            ({"width": 0}, "width"),
            ({"height": 4097}, "height"),
            ({"fit": "fill"}, "fit"),
            ({"format": "gif"}, "format"),
            ({"quality": 101}, "quality"),
            ({"quality": True}, "quality"),
            ({"download": True}, "download"),
            ([], "body"),
        ],
    )
    def test_a_body_that_breaks_a_rule_is_refused_with_the_field(
        self, client: Client, guid: str, body: object, field: str
    ) -> None:
        problem(client.post(f"/private/image/{guid}/link", json=body, auth=ANN), 400, field)

    @pytest.mark.parametrize(
        ("wanted", "field"),
        [
            ({"width": 65}, "width"),
            ({"width": 64, "height": 4096}, "height"),
            ({"format": "webp", "quality": 81}, "quality"),
            ({"format": "auto", "quality": 81}, "quality"),
        ],
    )
    def test_a_variant_that_is_not_allowed_has_no_link(
        self, client: Client, guid: str, wanted: dict[str, Any], field: str
    ) -> None:
        problem(client.post(f"/private/image/{guid}/link", json=wanted, auth=ANN), 400, field)

    def test_only_the_author_makes_a_link(self, client: Client, guid: str) -> None:
        path = f"/private/image/{guid}/link"

        problem(client.post(path, json={}), 401)
        problem(client.post(path, json={}, auth=(ANN[0], "wrong password")), 401)
        problem(client.post(path, json={}, auth=BOB), 404)

    def test_another_authors_public_image_has_no_link(self, client: Client) -> None:
        public = client.post("/image", json={"prompt": "a poster"}, auth=ANN).json()["guid"]

        problem(client.post(f"/private/image/{public}/link", json={}, auth=BOB), 404)
        assert client.post(f"/private/image/{public}/link", json={}, auth=ANN).status_code == 200

    def test_a_link_makes_no_other_link(self, client: Client, guid: str) -> None:
        query = urlsplit(link_to(client, guid)).query

        problem(client.post(f"/private/image/{guid}/link?{query}", json={}), 401)

    def test_an_unknown_image_has_no_link(self, client: Client) -> None:
        problem(client.post(f"/private/image/{uuid4()}/link", json={}, auth=ANN), 404)
        problem(client.post("/private/image/fox/link", json={}, auth=ANN), 400, "guid")

    async def test_an_image_that_is_not_ready_has_no_link(self) -> None:
        generator = HeldGenerator()
        async with serving(generator=generator) as served:
            accepted = await served.post(path="/private/image", prefer="respond-async")
            assert accepted.status_code == 202
            path = f"/private/image/{accepted.json()['guid']}/link"

            problem(await served.post({}, path=path), 404)
            generator.go_on()
            await served.ready(accepted.json()["guid"])
            assert (await served.post({}, path=path)).status_code == 200

    @pytest.mark.parametrize(
        "host", ["", "evil/x", "a b", "x?y", "x#y", "u@x", "x:port", "[x", 'x"', "x\\y", "x:123456"]
    )
    def test_a_host_that_is_none_is_refused(self, client: Client, guid: str, host: str) -> None:
        response = client.post(f"/private/image/{guid}/link", json={}, auth=ANN, headers={"Host": host})

        # Litestar refuses most of them before it knows the route.
        assert response.status_code == 400
        assert "host" in response.json()["detail"].lower()

    @pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "xn--fchsin-4ya.example"])
    def test_a_link_has_the_host_that_the_client_has_used(self, client: Client, guid: str, host: str) -> None:
        response = client.post(f"/private/image/{guid}/link", json={}, auth=ANN, headers={"Host": host})

        assert urlsplit(response.json()["url"]).netloc == host


class TestOpening:
    """The access that a link gives, and to whom."""

    def test_a_link_opens_the_original_without_a_login(self, client: Client, guid: str) -> None:
        content = client.get(f"/private/image/{guid}/content", auth=ANN)
        url = link_to(client, guid)

        response = client.get(url)
        assert response.status_code == 200
        assert response.content == content.content
        assert response.headers["Cache-Control"].startswith("private")
        assert client.head(url).status_code == 200

    def test_a_link_of_any_author_opens_their_image(self, client: Client) -> None:
        guid = client.post("/private/image", json={"prompt": "bob's"}, auth=BOB).json()["guid"]
        url = client.post(f"/private/image/{guid}/link", json={}, auth=BOB).json()["url"]

        assert client.get(url).status_code == 200

    def test_a_link_to_a_variant_opens_that_variant(self, client: Client, guid: str) -> None:
        wanted: dict[str, Any] = {"width": 64, "format": "auto"}
        content = client.get(
            f"/private/image/{guid}/content", params=wanted, auth=ANN, headers={"Accept": "image/webp"}
        )

        response = client.get(link_to(client, guid, **wanted), headers={"Accept": "image/webp"})
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/webp"
        assert response.headers["ETag"] == content.headers["ETag"]

    def test_a_login_that_is_sent_along_makes_no_difference(self, client: Client, guid: str) -> None:
        url = link_to(client, guid)

        for auth in (ANN, BOB, ("stranger", "wrong password")):
            assert client.get(url, auth=auth).status_code == 200
            assert problem(client.get(changed(url, expires="1"), auth=auth), 403)["detail"] == NOT_VALID

    def test_a_link_opens_until_it_expires(self, client: Client, clock: SetClock, guid: str) -> None:
        url = link_to(client, guid, lifetime=60)

        clock.time = NOON.replace(microsecond=0) + timedelta(seconds=60, microseconds=-1)
        assert client.get(url).status_code == 200
        clock.time = NOON.replace(microsecond=0) + timedelta(seconds=60)
        assert problem(client.get(url), 403)["detail"] == EXPIRED
        assert problem(client.get(changed(url, signature="A" * 32)), 403)["detail"] == NOT_VALID

    @pytest.mark.parametrize(
        "changes",
        [
            {"signature": None},
            {"signature": ""},
            {"signature": "A" * 32},
            {"expires": None},
            {"expires": ""},
            {"expires": "soon"},
            {"expires": str(int(NOON.timestamp()) + 3601)},
            {"expires": "9" * 5000},
            {"width": "64"},
            {"format": "auto"},
            {"fit": "contain"},
        ],
    )
    def test_a_link_that_was_changed_opens_nothing(
        self, client: Client, guid: str, changes: dict[str, str | None]
    ) -> None:
        assert problem(client.get(changed(link_to(client, guid), **changes)), 403)["detail"] == NOT_VALID

    @pytest.mark.parametrize(
        "changes", [{"width": None}, {"width": "128"}, {"format": "webp"}, {"height": "64"}, {"quality": "1"}]
    )
    def test_a_link_to_a_variant_opens_no_other(
        self, client: Client, guid: str, changes: dict[str, str | None]
    ) -> None:
        url = link_to(client, guid, width=64)

        assert problem(client.get(changed(url, **changes)), 403)["detail"] == NOT_VALID

    def test_a_link_opens_no_other_image(self, client: Client, guid: str) -> None:
        other = client.post("/private/image", json={"prompt": "another"}, auth=ANN).json()["guid"]

        for another in (other, str(uuid4()), "fox"):
            url = link_to(client, guid).replace(guid, another)
            assert problem(client.get(url), 403)["detail"] == NOT_VALID

    def test_a_link_opens_no_other_route(self, client: Client, guid: str) -> None:
        query = urlsplit(link_to(client, guid)).query

        for path in (f"/private/image/{guid}", "/private/image", f"/private/image/{guid}/events"):
            problem(client.get(f"{path}?{query}"), 401)
        problem(client.delete(f"/private/image/{guid}?{query}"), 401)
        problem(client.get(f"/image/{guid}/content?{query}"), 404)

    def test_a_parameter_that_is_given_twice_is_refused(self, client: Client, guid: str) -> None:
        url = link_to(client, guid, width=64)

        for name, value in query_of(url).items():
            problem(client.get(f"{url}&{name}={value}"), 400, name)

    def test_a_malformed_parameter_is_refused(self, client: Client, guid: str) -> None:
        problem(client.get(changed(link_to(client, guid), width="ten")), 400, "width")

    def test_the_order_of_the_parameters_and_others_make_no_difference(self, client: Client, guid: str) -> None:
        query = query_of(link_to(client, guid))
        pairs = [("v", "3"), *reversed(query.items()), ("download", "true")]

        response = client.get(f"/private/image/{guid}/content?{urlencode(pairs)}")

        assert response.status_code == 200
        assert response.headers["Content-Disposition"].startswith("attachment")

    def test_without_a_link_a_login_is_needed_as_before(self, client: Client, guid: str) -> None:
        path = f"/private/image/{guid}/content"

        problem(client.get(path), 401)
        problem(client.get(f"{path}?v=3"), 401)
        problem(client.get(path, auth=BOB), 404)
        assert client.get(f"{path}?v=3", auth=ANN).status_code == 200

    def test_nothing_tells_the_stranger_whether_there_is_an_image(self, client: Client, guid: str) -> None:
        bodies = []
        for path in (f"/private/image/{guid}/content", f"/private/image/{uuid4()}/content"):
            body = problem(client.get(f"{path}?expires=9999999999&signature={'A' * 32}"), 403)
            bodies.append({name: value for name, value in body.items() if name != "request_id"})

        assert bodies[0] == bodies[1]

    def test_deleting_the_image_ends_its_links(self, client: Client, guid: str) -> None:
        url = link_to(client, guid)
        assert client.get(url).status_code == 200

        assert client.delete(f"/private/image/{guid}", auth=ANN).status_code == 204
        problem(client.get(url), 404)

    @pytest.mark.parametrize("visibilities", [("public",), ("public", "private")])
    def test_another_visibility_does_not_end_a_link(
        self, client: Client, guid: str, visibilities: tuple[str, ...]
    ) -> None:
        url = link_to(client, guid)

        for visibility in visibilities:
            client.patch(f"/private/image/{guid}", json={"visibility": visibility}, auth=ANN).raise_for_status()
            assert client.get(url).status_code == 200


class TestKeys:
    """Which key signs, and which are accepted."""

    @staticmethod
    def client_with(container: Container, keys: str | None) -> Client:
        settings = msgspec.structs.replace(Settings(), link_keys=keys)
        container.settings.override(providers.Object(settings))
        container.link_signer.reset()
        # Each client has an event loop of its own.
        container.dispatcher.reset()
        return Client(create_app(settings, container), raise_server_exceptions=False)

    def test_a_key_can_be_changed_without_ending_the_links_of_the_one_before(
        self, container: Container, client: Client, guid: str
    ) -> None:
        with self.client_with(container, KEY) as before:
            url = link_to(before, guid)
            assert before.get(url).status_code == 200
        with self.client_with(container, f"{OTHER_KEY}, {KEY}") as between:
            assert between.get(url).status_code == 200
            url_of_the_new = link_to(between, guid)
        with self.client_with(container, OTHER_KEY) as after:
            assert problem(after.get(url), 403)["detail"] == NOT_VALID
            assert after.get(url_of_the_new).status_code == 200

    def test_without_a_key_links_outlive_the_process(self, container: Container, client: Client, guid: str) -> None:
        url = link_to(client, guid)

        with self.client_with(container, None) as restarted:
            assert restarted.get(url).status_code == 200
        with self.client_with(container, KEY) as other:
            assert problem(other.get(url), 403)["detail"] == NOT_VALID


def test_no_link_is_logged_whole(client: Client, guid: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogFormat.JSON)
    url = link_to(client, guid)
    client.get(url)
    client.get(changed(url, width="64"))

    logged = capsys.readouterr().err
    assert f"/private/image/{guid}/content" in logged
    assert query_of(url)["signature"] not in logged
    assert "expires" not in logged


class TestDescription:
    """Signed links in the OpenAPI document."""

    @pytest.fixture
    def document(self, client: Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/schema/openapi.json").json()
        return document

    def test_the_body_has_its_bounds(self, document: dict[str, Any]) -> None:
        fields = document["components"]["schemas"]["CreateLinkBody"]["properties"]

        bounds = {name: (rules.get("minimum"), rules.get("maximum")) for name, rules in fields.items()}
        assert bounds == {
            "lifetime": (60, 604_800),
            "width": (1, 4096),
            "height": (1, 4096),
            "fit": (None, None),
            "format": (None, None),
            "quality": (1, 100),
        }
        assert "null" not in json.dumps(fields)
        assert not document["components"]["schemas"]["CreateLinkBody"].get("required")

    def test_the_content_needs_a_login_or_a_link(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/private/image/{guid}/content"]["get"]

        assert {} in operation["security"]
        assert {"expires", "signature", "width", "height", "fit", "format", "quality"} <= {
            parameter["name"] for parameter in operation["parameters"]
        }
        assert "403" in operation["responses"]
        assert {} not in document["paths"]["/private/image/{guid}/link"]["post"]["security"]


class TestNames:
    """Links whose path ends with a file name."""

    async def test_a_named_link_ends_with_the_image_s_file_name(self) -> None:
        async with serving() as served:
            created = (await served.post({"prompt": "ein Fuchs/Bär? 100 %"}, path="/private/image")).json()
            image = await served.ready(created["guid"])
            link = await SignedLinkMaker.of(served.container).make_named(
                image, lifetime=31_536_000, address="https://example.org/pixy"
            )
            url = urlsplit(link)
            assert f"{url.scheme}://{url.netloc}" == "https://example.org"
            folder, _, name = url.path.rpartition("/")
            assert folder == f"/pixy/private/image/{image.guid}/content"
            assert (unquote(name), name.isascii()) == (image.filename, True)
            assert name.endswith(".png")
            answer = await served.get(f"{url.path.removeprefix('/pixy')}?{url.query}")
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")

    @pytest.mark.parametrize(
        ("stored", "shown"),
        [("fox.jpg", "fox.png"), ("a#b?c d.png", "a%23b%3Fc%20d.png"), ("ü", "%C3%BC.png")],
    )
    async def test_the_name_has_the_extension_of_the_bytes_and_is_encoded(self, stored: str, shown: str) -> None:
        async with serving() as served:
            image = await served.ready((await served.post()).json()["guid"])
            image = msgspec.structs.replace(image, filename=stored)
            link = await SignedLinkMaker.of(served.container).make_named(image, lifetime=60, address="https://h")
            assert urlsplit(link).path.endswith(f"/content/{shown}")
            url = urlsplit(link)
            assert (await served.get(f"{url.path}?{url.query}")).status_code == 200

    @pytest.mark.parametrize("name", ["fox.png", "fox.jpg", "%E4%B8%AD", "a%20b.webp", "x"])
    def test_any_name_opens_the_picture_with_its_true_type(self, client: Client, guid: str, name: str) -> None:
        link = link_to(client, guid).replace("/content?", f"/content/{name}?")

        for response in (client.get(link), client.head(link), client.get(f"{urlsplit(link).path}", auth=ANN)):
            assert response.status_code == 200
            assert response.headers["Content-Type"] == "image/png"
        with_etag = client.get(link, headers={"If-None-Match": client.get(link).headers["ETag"]})
        assert with_etag.status_code == 304

    @pytest.mark.parametrize(
        "sent",
        ["Bearer pixy_wrong", "Bearer ", "Bearer sk-of-another-service", "Basic YW5uOndyb25n", "Other x"],
    )
    def test_credentials_beside_a_link_do_not_matter(self, client: Client, guid: str, sent: str) -> None:
        link = link_to(client, guid).replace("/content?", "/content/fox.png?")
        assert client.get(link, headers={"Authorization": sent}).status_code == 200

    def test_without_a_link_or_a_login_a_name_opens_nothing(self, client: Client, guid: str) -> None:
        path = f"/private/image/{guid}/content/fox.png"
        problem(client.get(path), 401)
        problem(client.get(path, auth=BOB), 404)
        problem(client.get(changed(link_to(client, guid), expires="1").replace("/content?", "/content/a?")), 403)
