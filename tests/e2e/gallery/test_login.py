"""Logging in and out in a real browser, and what other sites can do with a login."""

import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Response, expect

from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.container import Container
from tests.doubles.nginx import Nginx, documented
from tests.e2e.gallery.conftest import NewPage, OpenContext, log_in
from tests.e2e.gallery.other_site import OtherSite, running_other_site
from tests.e2e.gallery.running_gallery import PASSWORD, Gallery
from tests.e2e.gallery.watching import Watch, until

COOKIE: Final = "pixyproxy"
WRONG: Final = "The user name or the password is wrong."
UNAUTHORIZED: Final = r"status of 401"
FORBIDDEN: Final = r"status of 403"


@pytest.fixture(scope="module")
def other_site() -> Iterator[OtherSite]:
    with running_other_site() as site:
        yield site


@pytest.fixture
def visited(watch: Watch, other_site: OtherSite) -> OtherSite:
    """Another site that a test visits."""
    for url in (other_site.url, other_site.sibling_url):
        watch.expect_host(url.removeprefix("http://"))
    return other_site


def type_login(page: Page, name: str, password: str) -> None:
    form = page.locator("form.login:visible")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Password").fill(password)
    form.get_by_role("button", name="Log in").click()


def token_of(context: BrowserContext) -> str | None:
    """Return the token of a browser's session."""
    return next((cookie["value"] for cookie in context.cookies() if cookie["name"] == COOKIE), None)


def opens(gallery: Gallery, token: str | None) -> bool:
    """Whether a token is a login."""
    assert token
    answer = httpx.get(f"{gallery.url}/private/image", headers={"Cookie": f"{COOKIE}={token}"})
    assert answer.status_code in {200, 401}
    return answer.is_success


def end_session(gallery: Gallery, context: BrowserContext) -> None:
    """End a browser's session where the browser does not notice."""
    headers = {"Cookie": f"{COOKIE}={token_of(context)}", "Origin": gallery.url}
    assert httpx.post(f"{gallery.url}/gallery/logout", headers=headers).status_code == 303


def is_logged_in(page: Page, name: str) -> None:
    expect(page.locator("#top .user")).to_have_text(name)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_visitor_logs_in_sees_the_page_that_was_wanted_and_logs_out(
    gallery: Gallery, new_page: NewPage, has_scripts: bool
) -> None:
    page = new_page(java_script_enabled=has_scripts)
    page.goto("/gallery?scope=mine&q=fox")
    expect(page).to_have_url(re.compile(r"/gallery/login\?next="))
    expect(page.get_by_label("Name")).to_be_focused()
    type_login(page, "ann", PASSWORD)
    expect(page).to_have_url(f"{gallery.url}/gallery?scope=mine&q=fox")
    is_logged_in(page, "ann")
    token = token_of(page.context)
    assert opens(gallery, token)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{gallery.url}/gallery")
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
    assert token_of(page.context) is None
    assert not opens(gallery, token)


def test_the_cookie_is_out_of_reach_of_scripts_and_not_sent_for_other_sites(own_page: Page) -> None:
    (cookie,) = own_page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    own_page.goto("/gallery")
    assert own_page.evaluate("document.cookie") == ""


def test_a_wrong_password_keeps_the_name_alone_and_the_twenty_first_attempt_has_to_wait(
    gallery: Gallery, page: Page, watch: Watch
) -> None:
    watch.expect("status of 422", "status of 429")
    gallery.add_user("eve")
    page.goto("/gallery/login")
    messages = []
    for _ in range(20):
        type_login(page, "eve", "wrong horse battery")
        expect(page.get_by_label("Password")).to_have_value("")
        expect(page.get_by_label("Name")).to_have_value("eve")
        messages.append(page.get_by_role("alert").first.text_content())
    assert messages[:10] == [WRONG] * 10
    assert re.fullmatch(r"Too many wrong logins with this user name\. Try again in \d+ seconds\.", messages[-1] or "")
    assert page.context.cookies() == []
    type_login(page, "bob", PASSWORD)
    is_logged_in(page, "bob")


def test_a_planted_cookie_is_not_adopted(gallery: Gallery, page: Page) -> None:
    planted = "attacker-chosen-value-of-the-right-length-x"
    page.context.add_cookies([{"name": COOKIE, "value": planted, "url": gallery.url}])
    page.goto("/gallery/login")
    type_login(page, "ann", PASSWORD)
    is_logged_in(page, "ann")
    assert token_of(page.context) != planted
    assert not opens(gallery, planted)


def test_a_session_that_has_expired_leads_to_the_login(gallery: Gallery, own_page: Page) -> None:
    own_page.goto("/gallery?scope=mine")
    is_logged_in(own_page, "ann")

    async def expire(container: Container) -> None:
        await container.database().execute("UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000'")

    gallery.run(expire)
    token = token_of(own_page.context)
    until(own_page, lambda: not opens(gallery, token))
    own_page.reload()
    expect(own_page).to_have_url(re.compile(r"/gallery/login\?next="))


@pytest.mark.parametrize("change", ["password", "disable", "end"])
def test_a_session_ends_within_seconds_when_an_operator_ends_it(
    gallery: Gallery, open_context: OpenContext, change: str
) -> None:
    user = f"{change}-user"
    gallery.add_user(user)
    context = open_context(user)
    token = token_of(context)
    assert opens(gallery, token)
    match change:
        case "password":
            gallery.run(lambda container: container.change_password()(user, "battery staple horse"))
        case "disable":
            gallery.run(lambda container: container.disable_user()(user))
        case _:
            assert gallery.run(lambda container: container.end_sessions()(user=user)) == 1
    # `until` allows for three times the five seconds.
    until(context.new_page(), lambda: not opens(gallery, token))
    assert gallery.run(lambda container: container.sessions().list(UserName(user))) == []


class TestASessionThatEndsWhileAPageIsOpen:
    """The page asks for the login in place, and the browser never."""

    @pytest.fixture
    def image_page(self, gallery: Gallery, own_page: Page, watch: Watch) -> Page:
        """The page of an image of Ann's, with a file name that is typed and not stored."""
        watch.expect(UNAUTHORIZED, "status of 422")
        guid = gallery.create("a fox at the end", visibility="private")["guid"]
        own_page.goto(f"/gallery/image/{guid}")
        own_page.get_by_label("File name").fill("typed.png")
        end_session(gallery, own_page.context)
        return own_page

    def test_the_login_in_place_repeats_what_was_asked_for_and_loses_nothing(
        self, gallery: Gallery, image_page: Page
    ) -> None:
        image_page.get_by_role("button", name="Save").click()
        dialog = image_page.locator("#login-dialog")
        expect(dialog).to_be_visible()
        expect(dialog.get_by_label("Name")).to_have_value("ann")
        expect(dialog.get_by_label("Password")).to_be_focused()
        type_login(image_page, "ann", "wrong horse battery")
        expect(dialog.get_by_role("alert")).to_have_text(WRONG)
        expect(image_page.get_by_label("File name")).to_have_value("typed.png")
        type_login(image_page, "ann", PASSWORD)
        expect(dialog).to_be_hidden()
        expect(image_page.locator("#status")).to_have_text("Saved.")
        guid = image_page.url.rpartition("/")[2]
        with gallery.api() as client:
            assert client.get(f"/private/image/{guid}").json()["filename"] == "typed.png"
        assert opens(gallery, token_of(image_page.context))

    def test_who_does_not_log_in_keeps_what_was_typed(self, image_page: Page) -> None:
        dialog = image_page.locator("#login-dialog")
        for leave in ("by a key", "by its button"):
            image_page.get_by_role("button", name="Save").click()
            expect(dialog.get_by_label("Password")).to_be_focused()
            if leave == "by a key":
                image_page.keyboard.press("Escape")
            else:
                dialog.get_by_role("button", name="Cancel").click()
            expect(dialog).to_be_hidden()
            expect(image_page.locator("#change .error")).to_be_visible()
            expect(image_page.get_by_label("File name")).to_have_value("typed.png")

    def test_another_user_gets_a_page_of_their_own(self, image_page: Page, watch: Watch) -> None:
        watch.expect("status of 404")
        image_page.get_by_role("button", name="Save").click()
        type_login(image_page, "bob", PASSWORD)
        expect(image_page.get_by_role("heading", level=1)).to_have_text("Not found")

    @pytest.mark.parametrize("has_cookie", [True, False], ids=["an old cookie", "no cookie"])
    def test_the_browsers_own_prompt_never_comes_up(self, image_page: Page, watch: Watch, has_cookie: bool) -> None:
        """With a challenge for Basic, each of these would wait for the prompt, in a headless browser for ever."""
        guid = image_page.url.rpartition("/")[2]
        if not has_cookie:
            image_page.context.clear_cookies()
        challenges: list[str | None] = []

        def note(response: Response) -> None:
            if response.status == 401:
                challenges.append(response.header_value("WWW-Authenticate"))

        image_page.on("response", note)
        ended = image_page.evaluate(
            """
            (path) => Promise.all([
              fetch(path).then((response) => response.status),
              fetch(path, { method: "PATCH", body: "{}" }).then((response) => response.status),
              new Promise((resolve) => {
                const picture = new Image();
                picture.onload = picture.onerror = (event) => resolve(event.type);
                picture.src = `${path}/content`;
              }),
              new Promise((resolve) => {
                const events = new EventSource(`${path}/events`);
                events.onopen = events.onerror = (event) => resolve(`${event.type} ${events.readyState}`);
              }),
            ])
            """,
            f"/private/image/{guid}",
        )
        assert ended == [401, 401, "error", "error 2"]
        until(image_page, lambda: len(challenges) == 4)
        assert set(challenges) == {'Session realm="pixyproxy"'}
        watch.expect("EventSource")


class TestOtherSites:
    @pytest.fixture
    def guid(self, gallery: Gallery) -> str:
        return str(gallery.create("a secret fox", visibility="private")["guid"])

    def test_a_link_from_another_site_arrives_logged_in(
        self, gallery: Gallery, own_page: Page, visited: OtherSite
    ) -> None:
        path = visited.add("link", f'<a href="{gallery.url}/gallery?scope=mine">Look</a>')
        own_page.goto(visited.url + path)
        own_page.get_by_role("link", name="Look").click()
        is_logged_in(own_page, "ann")

    @pytest.mark.parametrize("is_sibling", [False, True], ids=["another site", "another port"])
    def test_a_form_of_another_site_is_refused(
        self, *, gallery: Gallery, own_page: Page, watch: Watch, visited: OtherSite, guid: str, is_sibling: bool
    ) -> None:
        # Chromium looks for an icon where it shows JSON.
        watch.expect(FORBIDDEN, "favicon.ico")
        token = token_of(own_page.context)
        for number, target in enumerate(
            ("/gallery/logout", "/gallery/login", "/image", "/private/image/bulk/delete", f"/gallery/image/{guid}")
        ):
            body = f"""
                <form method="post" action="{gallery.url}{target}" enctype="{"text/plain" if number > 1 else ""}">
                <input name='{{"prompt": "x", "y' value='": 1}}'><button>Win a prize</button></form>
            """
            path = visited.add(f"form-{number}", body)
            own_page.goto((visited.sibling_url if is_sibling else visited.url) + path)
            with own_page.expect_response(gallery.url + target) as answered:
                own_page.get_by_role("button").click()
            assert answered.value.status == 403, target
        assert opens(gallery, token)
        assert token_of(own_page.context) == token

    @pytest.mark.parametrize("is_sibling", [False, True], ids=["another site", "another port"])
    def test_no_other_site_shows_a_private_picture(
        self, *, gallery: Gallery, own_page: Page, watch: Watch, visited: OtherSite, guid: str, is_sibling: bool
    ) -> None:
        watch.expect(UNAUTHORIZED, "ERR_BLOCKED_BY_RESPONSE")
        picture = f"{gallery.url}/private/image/{guid}/content"
        size_of = """(source) => new Promise((resolve) => {
            const picture = document.body.appendChild(new Image());
            picture.onload = picture.onerror = () => resolve(picture.naturalWidth);
            picture.src = source;
        })"""
        own_page.goto((visited.sibling_url if is_sibling else visited.url) + visited.add("pictures", "<p>"))
        assert own_page.evaluate(size_of, picture) == 0
        own_page.goto("/gallery")
        assert own_page.evaluate(size_of, picture) > 0

    def test_no_other_site_frames_a_page(
        self, gallery: Gallery, own_page: Page, watch: Watch, visited: OtherSite
    ) -> None:
        watch.expect("frame-ancestors", "Refused to frame", "ERR_BLOCKED_BY_RESPONSE")
        for number, page in enumerate(("/gallery", "/gallery/login", "/gallery?scope=mine")):
            path = visited.add(f"frame-{number}", f'<iframe src="{gallery.url}{page}"></iframe>')
            for site in (visited.url, visited.sibling_url):
                own_page.goto(site + path)
                until(own_page, lambda: [frame.url[:13] for frame in own_page.frames[1:]] == ["chrome-error:"])

    def test_a_script_of_another_site_reads_nothing(
        self, gallery: Gallery, own_page: Page, watch: Watch, visited: OtherSite
    ) -> None:
        watch.expect("CORS policy", "net::ERR_FAILED", UNAUTHORIZED)
        own_page.goto(visited.url + visited.add("script", "<p>"))
        read = """(url) => fetch(url, { credentials: "include" }).then((answer) => answer.status, () => "nothing")"""
        for path in ("/private/image", "/gallery?scope=mine", "/gallery/login"):
            assert own_page.evaluate(read, gallery.url + path) == "nothing"


def test_nothing_but_a_login_and_a_logout_sets_a_cookie(gallery: Gallery, page: Page, watch: Watch) -> None:
    # Chromium looks for an icon where an answer is no page.
    watch.expect("favicon.ico")
    guid = gallery.create("a fox for all")["guid"]
    set_at: list[str] = []

    def note(response: Response) -> None:
        if "set-cookie" in response.all_headers():
            set_at.append(response.url.removeprefix(gallery.url))

    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 -- Playwright marks the function

    def look_around() -> None:
        for path in ("/gallery", f"/gallery/image/{guid}", f"/image/{guid}", f"/image/{guid}/content", "/image"):
            page.goto(path)

    look_around()
    page.goto("/gallery/login")
    type_login(page, "ann", PASSWORD)
    is_logged_in(page, "ann")
    look_around()
    page.goto("/gallery")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
    for answer in answers:
        note(answer)
    assert set_at == ["/gallery/login", "/gallery/logout"]


def test_a_cache_serves_browsers_with_and_without_a_login_alike(gallery: Gallery, open_context: OpenContext) -> None:
    content = f"/image/{gallery.create('a fox in a cache')['guid']}/content"
    token = token_of(open_context("ann"))
    cookies = [{}, {"Cookie": f"{COOKIE}={token}"}, {"Cookie": f"{COOKIE}=old"}]
    configuration = documented(
        "caching.conf",
        {
            "listen 80;": "listen {port};",
            "127.0.0.1:8000": f"127.0.0.1:{gallery.service.port}",
            "/var/cache/pixyproxy": "{folder}/cache",
            "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
        },
    )
    for first in range(len(cookies)):
        path = f"{content}?width={(64, 128, 256)[first]}"
        with Nginx(configuration) as nginx:
            answers = [httpx.get(nginx.url + path, headers=each) for each in (cookies[first], *cookies)]
        assert [answer.headers["X-Cache-Status"] for answer in answers] == ["MISS", "HIT", "HIT", "HIT"]
        assert len({answer.content for answer in answers}) == 1
        assert not any(
            "Set-Cookie" in answer.headers or "Cookie" in answer.headers.get("Vary", "") for answer in answers
        )


def test_a_key_never_opens_a_session(gallery: Gallery, page: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    with gallery.api() as client:
        made = client.post("/private/key", json={"name": "studio", "scopes": ["read", "create", "manage"]}).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    for path in ("/gallery", "/gallery/login", "/gallery?scope=mine", "/private/image"):
        assert "Set-Cookie" not in httpx.get(gallery.url + path, headers=key).headers
    page.goto("/gallery/login")
    for name in ("ann", made["key"]):
        type_login(page, name, made["key"])
        expect(page.get_by_role("alert").first).to_have_text(WRONG)
    assert page.context.cookies() == []


def test_a_page_that_is_open_while_another_user_logs_in_sends_nothing_as_them(
    gallery: Gallery, open_context: OpenContext, watch: Watch
) -> None:
    watch.expect(UNAUTHORIZED)
    context = open_context("ann")
    page = context.new_page()
    page.goto("/gallery/new")
    page.fill("#prompt", "what Ann alone may know")
    log_in(context, gallery, "bob")
    page.click("#create")
    expect(page.locator("#login-dialog")).to_be_visible()
    context.new_page().goto("/gallery?scope=mine")

    expect(page.locator("html")).to_have_attribute("data-user", "bob")
    expect(page.locator("#prompt")).to_have_value("")
    log_in(context, gallery, "ann")
    context.new_page().goto("/gallery?scope=mine")
    expect(page.locator("#prompt")).to_have_value("what Ann alone may know")


def test_back_after_a_logout_shows_nothing_of_the_user(gallery: Gallery, new_page: NewPage, watch: Watch) -> None:
    watch.expect(UNAUTHORIZED)
    gallery.create("a fox behind the logout", visibility="private")
    page = new_page("ann", bfcache=True)
    page.goto("/gallery?scope=mine")
    expect(page.get_by_alt_text("a fox behind the logout")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{gallery.url}/gallery")
    page.evaluate("history.back()")
    expect(page).to_have_url(re.compile(r"/gallery/login\?next="))
    expect(page.get_by_alt_text("a fox behind the logout")).to_be_hidden()
