"""Creating images in a browser: the form, the tiles of images in progress, and the purchases."""

import io
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Request, expect

from tests.e2e.gallery.conftest import NewPage, Upstream
from tests.e2e.gallery.running_gallery import PASSWORD, Gallery
from tests.e2e.gallery.watching import Watch, until

OWN_LIST = "**/gallery?scope=mine"


@pytest.fixture(scope="module")
def gallery_environment(openai_environment: Mapping[str, str]) -> Mapping[str, str]:
    models = {"PIXYPROXY_OPENAI_MODELS": "gpt-image-2,gpt-image-1.5"}
    return {**openai_environment, **models, "PIXYPROXY_MAX_GENERATIONS": "4", "PIXYPROXY_MAX_WAITING": "3"}


@pytest.fixture
def gate(upstream: Upstream) -> Iterator[str]:
    """A gate that holds the answers to prompts with `[[gate NAME]]`, and is open at the end."""
    name = uuid4().hex
    yield name
    upstream.open(name)


def picture(name: str = "harbour.png", size: tuple[int, int] = (60, 40)) -> FilePayload:
    """Return a file for a form."""
    target = io.BytesIO()
    Image.new("RGB", size, "teal").save(target, "png")
    return {"name": name, "mimeType": "image/png", "buffer": target.getvalue()}


def words(name: str, media_type: str) -> FilePayload:
    """Return a file that is no picture."""
    return {"name": name, "mimeType": media_type, "buffer": b"words"}


def fill(page: Page, prompt: str, **options: str) -> None:
    """Open the form, and fill it in."""
    page.goto("/gallery/new")
    page.fill("#prompt", prompt)
    for name, value in options.items():
        page.select_option(f"#{name}", value)


def create(page: Page) -> None:
    """Send the form, and wait for the list."""
    page.click("#create")
    page.wait_for_url(OWN_LIST)


def expect_status(page: Page, prompt: str, status: str) -> None:
    expect(page.locator(f'.tile[data-prompt="{prompt}"]')).to_have_attribute("data-status", status, timeout=15_000)


def expect_picture(found: Locator) -> None:
    expect(found).to_be_visible()
    until(found.page, lambda: found.evaluate("picture => picture.complete && picture.naturalWidth > 0"))


def keys_of_orders(page: Page) -> list[str]:
    """Collect the idempotency keys of the orders that a page sends."""
    keys: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and "/private/image" in request.url:
            keys.append(request.headers["idempotency-key"])

    page.on("request", note)
    return keys


class TestWatching:
    def test_the_tile_is_there_at_once_and_the_picture_appears_in_it_without_a_reload(
        self, own_page: Page, upstream: Upstream, gate: str
    ) -> None:
        prompt = f"a fox in snow [[gate {gate}]]"
        fill(own_page, prompt)
        create(own_page)

        found = own_page.locator(f'.tile[data-prompt="{prompt}"]')
        expect_status(own_page, prompt, "generating")
        expect(found).to_contain_text("a fox in snow")
        expect(found).to_contain_text("It goes on when you leave this page.")
        expect(found.locator(".since")).to_have_text("0:01")
        own_page.evaluate("window.marked = true")
        said = own_page.evaluate_handle(
            """() => {
                const said = [], status = document.getElementById("status");
                new MutationObserver(() => status.textContent && said.push(status.textContent))
                    .observe(status, {childList: true});
                return said;
            }"""
        )
        upstream.open(gate)

        expect_status(own_page, prompt, "ready")
        expect_picture(found.locator("img"))
        assert own_page.evaluate("window.marked")
        assert said.json_value() == [f"Ready: {prompt}"]
        assert upstream.billed(prompt) == 1
        own_page.reload()
        expect(own_page.locator(f'.cell img[alt="{prompt}"]')).to_be_visible()
        expect(found).to_have_count(0)

    def test_it_is_still_running_after_a_reload_in_another_tab_and_in_another_browser(
        self, own_page: Page, new_page: NewPage, upstream: Upstream, gate: str
    ) -> None:
        prompt = f"a wolf [[gate {gate}]]"
        fill(own_page, prompt)
        create(own_page)
        own_page.reload()
        other_tab, other_browser = own_page.context.new_page(), new_page("ann")
        for page in (other_tab, other_browser):
            page.goto("/gallery?scope=mine")
        for page in (own_page, other_tab, other_browser):
            expect_status(page, prompt, "generating")
        upstream.open(gate)

        for page in (own_page, other_tab, other_browser):
            page.bring_to_front()
            expect_status(page, prompt, "ready")

    def test_a_list_shows_what_is_created_elsewhere_and_its_partial_images(
        self, own_page: Page, gallery: Gallery, upstream: Upstream, gate: str
    ) -> None:
        prompt = f"an otter [[gate-body {gate}]]"
        own_page.goto("/gallery?scope=mine")
        with gallery.api() as client:
            body = {"prompt": prompt, "partial_images": 2}
            client.post("/private/image", json=body, headers={"Prefer": "respond-async"}).raise_for_status()

        found = own_page.locator(f'.tile[data-prompt="{prompt}"]')
        expect_status(own_page, prompt, "generating")
        expect_picture(found.locator("img.partial"))
        upstream.open(gate)
        expect_status(own_page, prompt, "ready")

    def test_the_page_of_an_image_follows_it(
        self, own_page: Page, gallery: Gallery, upstream: Upstream, gate: str
    ) -> None:
        prompt = f"a heron [[gate {gate}]]"
        fill(own_page, prompt)
        create(own_page)
        own_page.goto(own_page.locator(f'.tile[data-prompt="{prompt}"] a').get_attribute("href") or "")
        expect(own_page.locator("#image .state")).to_contain_text("Being drawn")
        upstream.open(gate)

        expect_picture(own_page.locator("#picture"))
        expect(own_page.locator("#image")).to_have_attribute("data-status", "ready")


class TestBuyingOnce:
    def test_a_double_click_a_reload_and_back_buy_one_image(self, own_page: Page, upstream: Upstream) -> None:
        prompt = f"a badger {uuid4()}"
        keys = keys_of_orders(own_page)
        fill(own_page, prompt, quality="low")
        own_page.set_input_files("#reference", [picture(), picture("pier.png")])
        expect(own_page.locator("#references li")).to_have_count(2)
        own_page.reload()

        expect(own_page.locator("#prompt")).to_have_value(prompt)
        expect(own_page.locator("#quality")).to_have_value("low")
        expect(own_page.locator("#references li")).to_have_count(2)
        own_page.dblclick("#create")
        own_page.wait_for_url(OWN_LIST)
        until(own_page, lambda: upstream.billed(prompt))
        own_page.go_back()
        expect(own_page.locator("#used")).to_be_visible()
        expect(own_page.locator("#references li")).to_have_count(2)
        create(own_page)

        assert upstream.billed(prompt) == 1
        assert len(keys) == 2
        assert len(set(keys)) == 1

    def test_a_form_that_comes_back_from_memory_buys_nothing_more(self, new_page: NewPage, upstream: Upstream) -> None:
        prompt = f"a stoat {uuid4()}"
        page = new_page("ann", bfcache=True)
        fill(page, prompt)
        create(page)
        page.evaluate("history.back()")
        expect(page.locator("#create")).to_have_text("Create")
        expect(page.locator("#used")).to_be_visible()
        create(page)
        until(page, lambda: upstream.billed(prompt))

        assert upstream.billed(prompt) == 1

    def test_a_changed_form_is_another_order_and_so_is_another_one_on_request(
        self, own_page: Page, upstream: Upstream
    ) -> None:
        prompt, keys = f"a marten {uuid4()}", keys_of_orders(own_page)
        fill(own_page, prompt)
        create(own_page)
        own_page.go_back()
        own_page.fill("#tags", "snow, night")
        expect(own_page.locator("#used")).to_be_hidden()
        create(own_page)
        own_page.go_back()
        own_page.click("#another")
        own_page.wait_for_url(OWN_LIST)

        assert len(set(keys)) == 3
        until(own_page, lambda: upstream.billed(prompt) == 3)

    def test_several_are_made_of_one_request(self, own_page: Page, upstream: Upstream) -> None:
        prompt = f"a shoal {uuid4()}"
        fill(own_page, prompt)
        own_page.fill("#n", "3")
        create(own_page)

        until(own_page, lambda: upstream.billed(prompt) == 3)


class TestFailures:
    @pytest.mark.parametrize(
        ("directive", "billing"), [("refuse", "It cost nothing."), ("refuse-output", "It may have been billed.")]
    )
    def test_a_refusal_says_so_and_whether_it_may_have_been_billed_and_keeps_the_prompt(
        self, own_page: Page, upstream: Upstream, directive: str, billing: str
    ) -> None:
        prompt = f"a duel {uuid4().hex[:8]} [[{directive}]]"
        fill(own_page, prompt, quality="low")
        own_page.fill("#tags", "a, b")
        create(own_page)
        expect_status(own_page, prompt, "failed")
        found = own_page.locator(f'.tile[data-prompt="{prompt}"]')

        expect(found).to_contain_text("refuses")
        expect(found).to_contain_text(billing)
        expect(found.get_by_role("button", name="Try again")).to_have_count(0)
        found.get_by_text("Change the prompt").click()
        expect(own_page.locator("#prompt")).to_have_value(prompt)
        expect(own_page.locator("#tags")).to_have_value("a, b")
        expect(own_page.locator("#quality")).to_have_value("low")
        own_page.fill("#prompt", prompt.replace(f"[[{directive}]]", "peacefully"))
        create(own_page)
        until(own_page, lambda: upstream.billed(prompt.replace(f"[[{directive}]]", "peacefully")))

    def test_what_can_be_tried_again_is_bought_once_more_and_can_be_removed(
        self, own_page: Page, upstream: Upstream
    ) -> None:
        prompt = f"a storm {uuid4().hex[:8]} [[error 500]]"
        fill(own_page, prompt)
        create(own_page)
        expect_status(own_page, prompt, "failed")
        billed = upstream.billed(prompt)
        own_page.get_by_role("button", name="Try again").first.click()

        tiles = own_page.locator(f'.tile[data-prompt="{prompt}"]')
        expect(tiles).to_have_count(2)
        until(own_page, lambda: upstream.billed(prompt) > billed)
        expect(own_page.locator(f'.tile[data-prompt="{prompt}"][data-status=failed]')).to_have_count(2)
        tiles.first.get_by_text("Remove").click()
        expect(tiles).to_have_count(1)
        tiles.first.get_by_text("Remove").click()
        expect(tiles).to_have_count(0)
        own_page.reload()
        expect(tiles).to_have_count(0)

    def test_no_room_counts_down_and_succeeds_with_the_same_key(
        self, own_page: Page, gallery: Gallery, upstream: Upstream, watch: Watch, gate: str
    ) -> None:
        watch.expect("status of 503")
        with gallery.api() as client:
            body = {"prompt": f"a fox that waits [[gate {gate}]]"}
            while client.post("/image", json=body, headers={"Prefer": "respond-async"}).is_success:
                pass
        prompt, keys = f"a patient fox {uuid4()}", keys_of_orders(own_page)
        fill(own_page, prompt)
        own_page.click("#create")

        expect(own_page.locator("#waiting")).to_contain_text("Trying again in")
        expect(own_page.locator("#waiting .why")).to_contain_text("Nothing is bought twice.")
        own_page.click("#stop")
        expect(own_page.locator("#waiting")).to_be_hidden()
        expect(own_page.locator("#prompt")).to_have_value(prompt)
        own_page.click("#create")
        expect(own_page.locator("#waiting")).to_be_visible()
        upstream.open(gate)
        own_page.wait_for_url(OWN_LIST, timeout=40_000)

        assert len(keys) >= 3
        assert len(set(keys)) == 1
        until(own_page, lambda: upstream.billed(prompt) == 1)


class TestUsingAgain:
    def test_it_fills_in_prompt_tags_and_options_and_buys_nothing_by_itself(
        self, own_page: Page, gallery: Gallery, upstream: Upstream
    ) -> None:
        prompt = f'"a fox" <b>again</b> {uuid4()}'
        options = {"model": "gpt-image-2", "size": "512x512", "quality": "low", "output_format": "webp"}
        with gallery.api() as client:
            body = {"prompt": prompt, "tags": ["snow", "a, b"], "visibility": "public", **options}
            guid = client.post("/private/image", json=body).raise_for_status().json()["guid"]
        own_page.goto(f"/gallery/image/{guid}")
        own_page.get_by_role("link", name="Use again").click()

        expect(own_page.locator("#prompt")).to_have_value(prompt)
        expect(own_page.locator("#tags")).to_have_value(r"snow, a\, b")
        expect(own_page.locator("#quality")).to_have_value("low")
        expect(own_page.locator("#output_format")).to_have_value("webp")
        expect(own_page.locator("[name=width]")).to_have_value("512")
        expect(own_page.locator("[name=visibility]:checked")).to_have_value("public")
        assert upstream.billed(prompt) == 1
        create(own_page)
        until(own_page, lambda: upstream.billed(prompt) == 2)
        with gallery.api() as client:
            made = client.get("/private/image", params={"limit": 1}).json()[0]
        assert made["tags"] == ["snow", "a, b"]
        assert {name: made["request"][name] for name in options} == options

    def test_an_image_becomes_a_reference(self, own_page: Page, gallery: Gallery, upstream: Upstream) -> None:
        guid = gallery.create(f"a lighthouse {uuid4()}")["guid"]
        prompt = f"the same at night {uuid4()}"
        own_page.goto(f"/gallery/image/{guid}")
        own_page.get_by_role("link", name="Use as reference").click()
        expect(own_page.locator("#references li")).to_have_count(1)
        own_page.fill("#prompt", prompt)
        create(own_page)
        until(own_page, lambda: upstream.billed(prompt))

        with gallery.api() as client:
            found = client.get("/private/image", params={"q": prompt, "status": "generating"}).json()
            found = found or client.get("/private/image", params={"q": prompt}).json()
        assert [reference["guid"] for reference in found[0]["references"]] == [guid]


class TestPictures:
    def test_they_are_chosen_pasted_and_dropped_put_in_order_and_removed(self, own_page: Page) -> None:
        fill(own_page, "a fox")
        own_page.set_input_files("#reference", [picture("a.png"), picture("b.png")])
        own_page.evaluate(
            """() => {
                const withFile = (name) => {
                    const data = new DataTransfer();
                    data.items.add(new File(["GIF"], name, {type: "image/webp"}));
                    return data;
                };
                const how = {bubbles: true, cancelable: true};
                document.body.dispatchEvent(new ClipboardEvent("paste", {...how, clipboardData: withFile("c.webp")}));
                document.body.dispatchEvent(new DragEvent("drop", {...how, dataTransfer: withFile("d.webp")}));
            }"""
        )
        names = own_page.locator("#references img")
        expect(names).to_have_count(4)
        own_page.locator("#references li").nth(0).get_by_role("button", name="Later").click()
        own_page.keyboard.press("Enter")
        own_page.locator("#references li").nth(3).get_by_role("button", name="Remove").click()

        assert [image.get_attribute("alt") for image in names.all()] == ["b.png", "c.webp", "a.png"]

    def test_a_mask_is_painted_undone_and_sent_as_large_as_the_reference(
        self, own_page: Page, gallery: Gallery, upstream: Upstream
    ) -> None:
        prompt = f"a boat in the harbour {uuid4()}"
        fill(own_page, prompt)
        own_page.set_input_files("#reference", [picture(size=(600, 400))])
        own_page.get_by_role("button", name="Mark what may change").click()
        canvas = own_page.locator("#mask-dialog canvas")
        expect(canvas).to_be_focused()
        own_page.keyboard.press("Space")
        own_page.keyboard.press("Control+z")
        for key in ("ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown", "Space"):
            own_page.keyboard.press(key)
        box = canvas.bounding_box()
        assert box is not None
        own_page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        own_page.mouse.down()
        own_page.mouse.up()
        own_page.set_viewport_size({"width": 400, "height": 500})
        own_page.get_by_role("button", name="Use this mask").click()
        expect(own_page.get_by_role("button", name="Mask: change it")).to_be_focused()
        own_page.reload()
        expect(own_page.get_by_role("button", name="Mask: change it")).to_be_visible()
        create(own_page)
        until(own_page, lambda: upstream.billed(prompt))

        with gallery.api() as client:
            guid = client.get("/private/image", params={"q": prompt}).json()[0]["guid"]
            mask = Image.open(io.BytesIO(client.get(f"/private/image/{guid}/reference/mask/content").content))
        assert mask.size == (600, 400)
        alpha = mask.getchannel("A")
        assert (alpha.getpixel((150, 200)), alpha.getpixel((300, 200)), alpha.getpixel((300, 288))) == (0, 255, 0)

    def test_what_is_no_picture_and_what_is_too_many_are_named_and_left_out(self, own_page: Page) -> None:
        fill(own_page, "a fox")
        own_page.set_input_files("#reference", [words("notes.txt", "text/plain")])
        expect(own_page.locator("#error-references")).to_contain_text("notes.txt: not a PNG, JPEG or WebP picture.")
        own_page.set_input_files("#reference", [picture(f"{number}.png", (8, 8)) for number in range(17)])

        expect(own_page.locator("#references li")).to_have_count(16)
        expect(own_page.locator("#error-references")).to_contain_text("takes at most 16 references. Left out: 16.png.")

    def test_a_file_that_only_has_the_name_of_a_picture_is_refused_and_named(
        self, own_page: Page, watch: Watch
    ) -> None:
        watch.expect("status of 400")
        fill(own_page, "a fox")
        own_page.set_input_files("#reference", [words("fox.png", "image/png")])
        own_page.click("#create")

        expect(own_page.locator("#error-references")).to_contain_text("PNG, JPEG")
        expect(own_page.locator("#problem")).to_contain_text("It cost nothing.")
        expect(own_page.locator("#prompt")).to_have_value("a fox")


class TestNothingTypedIsLost:
    @pytest.mark.parametrize("prompt", ["", " \n ", "🦊" * 32_001])
    def test_a_prompt_that_breaks_a_rule_is_kept_and_the_rule_is_told(
        self, own_page: Page, watch: Watch, prompt: str
    ) -> None:
        watch.expect("status of 400")
        fill(own_page, prompt)
        if len(prompt) > 3:
            expect(own_page.locator("#prompt-count")).to_contain_text("32,001 so far")
        own_page.click("#create")

        expect(own_page.locator("#error-prompt")).to_contain_text("must have 1 to 32,000 characters")
        expect(own_page.locator("#prompt")).to_be_focused()
        expect(own_page.locator("#prompt")).to_have_value(prompt)
        expect(own_page.locator("#prompt")).to_have_attribute("aria-invalid", "true")

    def test_a_text_that_the_browser_can_not_keep_is_told(self, own_page: Page) -> None:
        own_page.goto("/gallery/new")
        own_page.evaluate(
            "sessionStorage.setItem('full', 'a'.repeat(5_242_000 - JSON.stringify(sessionStorage).length))"
        )
        own_page.fill("#prompt", "a" * 1_000)

        told = "What you typed is too long to be kept when you leave this page."
        expect(own_page.locator("#status")).to_have_text(told)
        expect(own_page.locator("#prompt-count")).to_contain_text("1,000 so far")

    def test_a_tag_that_is_too_long_is_kept_and_told(self, own_page: Page, watch: Watch) -> None:
        watch.expect("status of 400")
        fill(own_page, "a fox")
        own_page.fill("#tags", f"snow, {'漢' * 65}")
        own_page.click("#create")

        expect(own_page.locator("#error-tags")).to_have_text("must have 1 to 64 characters, not 65")
        expect(own_page.locator("#tags")).to_be_focused()
        expect(own_page.locator("#tags")).to_have_value(f"snow, {'漢' * 65}")

    def test_options_of_another_model_come_without_a_reload(self, own_page: Page) -> None:
        fill(own_page, "a fox", model="gpt-image-1.5")
        expect(own_page.locator("#options")).to_have_attribute("data-model", "gpt-image-1.5")
        own_page.select_option("#input_fidelity", "high")
        own_page.select_option("#quality", "low")
        own_page.select_option("#model", "gpt-image-2")
        expect(own_page.locator("#options")).to_have_attribute("data-model", "gpt-image-2")
        expect(own_page.locator("#input_fidelity")).to_have_count(0)
        expect(own_page.locator("#quality")).to_have_value("low")
        own_page.select_option("#model", "gpt-image-1.5")

        expect(own_page.locator("#input_fidelity")).to_have_value("high")
        own_page.reload()
        expect(own_page.locator("#input_fidelity")).to_have_value("high")
        expect(own_page.locator("#prompt")).to_have_value("a fox")

    def test_a_login_that_has_ended_is_asked_for_in_place_and_the_order_goes_on(
        self, own_page: Page, upstream: Upstream, watch: Watch
    ) -> None:
        watch.expect("status of 401")
        prompt = f"a late fox {uuid4()}"
        fill(own_page, prompt)
        own_page.context.clear_cookies()
        own_page.click("#create")
        own_page.fill("#login-dialog [name=password]", PASSWORD)
        own_page.keyboard.press("Enter")
        own_page.wait_for_url(OWN_LIST)

        until(own_page, lambda: upstream.billed(prompt) == 1)

    def test_a_service_that_can_not_be_reached_is_waited_for(
        self, own_page: Page, upstream: Upstream, watch: Watch
    ) -> None:
        watch.expect("ERR_INTERNET_DISCONNECTED")
        prompt = f"a far fox {uuid4()}"
        fill(own_page, prompt)
        own_page.context.set_offline(offline=True)
        own_page.click("#create")
        expect(own_page.locator("#offline")).to_be_visible()
        own_page.context.set_offline(offline=False)
        own_page.wait_for_url(OWN_LIST)

        until(own_page, lambda: upstream.billed(prompt) == 1)
