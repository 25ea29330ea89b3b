"""The form for new images, as browsers send it without JavaScript."""

import io
import re
from html import unescape
from typing import Any

import httpx
import pytest
from PIL import Image

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities, SizeRange
from pixyproxy.domain.errors import DBConnectionError, GenerationRefusedError, OverloadedError
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login

LARGE = ModelCapabilities(
    id="large",
    sizes=("auto", "1024x1024"),
    size_range=SizeRange(min_side=16, max_side=2048, step=16),
    qualities=("low", "high"),
    output_formats=("png", "webp"),
    backgrounds=("opaque", "transparent"),
    moderations=("auto", "low"),
    input_fidelities=("low", "high"),
    has_compression=True,
    max_references=16,
    has_mask=True,
    max_partial_images=3,
    defaults={"quality": "high"},
)
OWN_SITE = {"Sec-Fetch-Site": "same-origin"}

SMALL = ModelCapabilities(id="small", sizes=("512x512",), qualities=("low",))


class Generator(InMemoryImageGenerator):
    def capabilities(self) -> Capabilities:
        return Capabilities(models=[LARGE, SMALL], default="large")


@pytest.fixture
def container(container: Container) -> Container:
    container.generator.override(Generator())
    return container


@pytest.fixture
def bought(container: Container) -> list[Any]:
    """The requests that the generator was asked to draw."""
    generator = container.generator()
    assert isinstance(generator, InMemoryImageGenerator)
    return generator.requests


def picture(side: int = 8) -> bytes:
    """Return a PNG."""
    target = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(target, "png")
    return target.getvalue()


def send(client: Client, *files: tuple[str, bytes], auth: Login | None = ANN, **fields: Any) -> httpx.Response:
    """Send the form as a browser does: an empty text for a field that was left empty, and an unnamed file for none."""
    texts = {"idempotency_key": "a-key", "prompt": "", "tags": "", "size": "", "n": "1", **fields}
    parts = [
        f'form-data; name="{name}"\r\n\r\n{text}'.encode()
        for name, value in texts.items()
        for text in ([value] if isinstance(value, str) else value)
    ]
    parts += [
        f'form-data; name="reference"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode() + content
        for name, content in files or [("", b"")]
    ]
    body = b"".join(b"--border\r\nContent-Disposition: %b\r\n" % part for part in parts) + b"--border--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=border", **OWN_SITE}
    login: dict[str, Any] = {} if auth is None else {"auth": auth}
    return client.post("/gallery/new", content=body, headers=headers, follow_redirects=False, **login)


def typed(page: str) -> dict[str, Any]:
    """Return what the fields of a form contain."""
    texts = {
        name: unescape(value) for name, value in re.findall(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"', page)
    }
    texts |= {
        name: unescape(text).removeprefix("\n")
        for name, text in re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    }
    for name, options in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r"<option(?: value=\"([^\"]*)\")? selected[^>]*>([^<]*)", options)
        texts[name] = "" if chosen is None else chosen[1] or chosen[2]
    return texts


def errors(page: str) -> dict[str, str]:
    return {name: unescape(text) for name, text in re.findall(r'data-field="(\w+)">([^<]*)<', page)}


def image_of(client: Client, answer: httpx.Response, auth: Login = ANN) -> dict[str, Any]:
    assert answer.status_code == 303, answer.text
    guid = answer.headers["Location"].removeprefix("/gallery/image/")
    image: dict[str, Any] = client.get(f"/private/image/{guid}", auth=auth, headers={"Prefer": "wait=5"}).json()
    return image


class TestTheForm:
    def test_it_needs_a_login(self, client: Client) -> None:
        answer = client.get("/gallery/new?prompt=a+fox", follow_redirects=False)

        assert answer.status_code == 303
        assert answer.headers["Location"] == "/gallery/login?next=%2Fgallery%2Fnew%3Fprompt%3Da%2Bfox"

    def test_it_buys_nothing_by_itself(self, client: Client, bought: list[Any]) -> None:
        page = client.get("/gallery/new?prompt=a+fox&model=small", auth=ANN).text

        assert (typed(page)["prompt"], typed(page)["model"]) == ("a fox", "small")
        assert bought == []

    def test_each_form_has_a_key_of_its_own(self, client: Client) -> None:
        keys = {typed(client.get("/gallery/new", auth=ANN).text)["idempotency_key"] for _ in range(3)}

        assert len(keys) == 3

    def test_it_offers_what_the_chosen_model_takes_and_no_more(self, client: Client) -> None:
        large, small = (client.get(f"/gallery/new?model={name}", auth=ANN).text for name in ("large", "small"))

        assert set(typed(large)) - set(typed(small)) == {
            "width", "height", "background", "output_format", "output_compression", "moderation", "input_fidelity",
            "partial_images",
        }  # fmt: skip
        assert re.findall(r"<option[^>]*>([^<]*)", small.partition('id="quality"')[2])[:2] == ["Default", "low"]
        assert "Default: high" in large
        assert 'min="16" max="2048" step="16"' in large

    def test_the_options_of_a_model_are_to_be_had_alone(self, client: Client) -> None:
        options = client.get("/gallery/new/options?model=small").text

        assert 'data-model="small"' in options
        assert "<html" not in options


class TestCreating:
    def test_all_that_was_chosen_goes_to_the_generator(self, client: Client, bought: list[Any]) -> None:
        answer = send(
            client,
            prompt="a red fox", tags=r"fox, snow , a\,b,", visibility="public", model="large", size="other",
            width="640", height="480", quality="low", background="transparent", output_format="webp",
            output_compression="80", moderation="low", partial_images="2",
        )  # fmt: skip
        image = image_of(client, answer)

        assert image["request"] == {
            "model": "large", "size": "640x480", "quality": "low", "background": "transparent", "output_format": "webp",
            "output_compression": 80, "moderation": "low", "input_fidelity": None, "partial_images": 2, "extra": None,
        }  # fmt: skip
        assert (image["tags"], image["visibility"]) == (["fox", "snow", "a,b"], "public")
        assert len(bought) == 1

    def test_it_is_private_unless_it_is_published(self, client: Client) -> None:
        assert image_of(client, send(client, prompt="a fox"))["visibility"] == "private"

    def test_several_lead_to_the_list(self, client: Client) -> None:
        answer = send(client, prompt="a fox", n="3")

        assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery?scope=mine")
        assert len(client.get("/private/image", auth=ANN).json()) == 3

    def test_the_lines_of_a_prompt_are_kept(self, client: Client) -> None:
        assert image_of(client, send(client, prompt="a fox\r\nin snow"))["prompt"] == "a fox\nin snow"

    def test_a_compression_that_was_typed_before_the_format_changed_is_left_out(self, client: Client) -> None:
        image = image_of(client, send(client, prompt="a fox", output_format="png", output_compression="50"))

        assert image["request"]["output_compression"] is None

    def test_pictures_are_references_in_order_after_the_images_that_are_kept(self, client: Client) -> None:
        earlier = image_of(client, send(client, prompt="a fox"))["guid"]

        answer = send(client, ("b.png", picture()), ("c.png", picture(9)), prompt="a wolf", references=[earlier])

        references = image_of(client, answer)["references"]
        assert [reference["guid"] or reference["filename"] for reference in references] == [earlier, "b.png", "c.png"]


class TestSendingItAgain:
    def test_the_same_form_buys_one_image(self, client: Client, bought: list[Any]) -> None:
        first, again = (send(client, ("a.png", picture()), prompt="a fox") for _ in range(2))

        assert first.headers["Location"] == again.headers["Location"]
        assert len(bought) == 1

    @pytest.mark.parametrize("change", [{"prompt": "a wolf"}, {"tags": "snow"}, {"n": "2"}, {"quality": "low"}])
    def test_a_form_that_was_changed_is_another_order(
        self, client: Client, bought: list[Any], change: dict[str, Any]
    ) -> None:
        send(client, prompt="a fox")
        answer = send(client, **{"prompt": "a fox", **change})

        assert answer.status_code == 303
        assert len(bought) > 1

    def test_other_pictures_are_another_order(self, client: Client, bought: list[Any]) -> None:
        for side in (8, 9):
            assert send(client, ("a.png", picture(side)), prompt="a fox").status_code == 303

        assert len(bought) == 2

    def test_the_form_of_an_image_that_has_failed_leads_to_it(self, client: Client, container: Container) -> None:
        container.generator().fail_next(GenerationRefusedError("It was refused.", maybe_billed=False))
        first, again = (send(client, prompt="a fox") for _ in range(2))

        assert (again.status_code, again.headers["Location"]) == (303, first.headers["Location"])
        page = client.get(first.headers["Location"], auth=ANN).text
        assert "It was refused." in page


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "field", "rule"),
        [
            ({"prompt": "x" * 32_001}, "prompt", "must have 1 to 32,000 characters, not 32,001"),
            ({"prompt": ""}, "prompt", "must have 1 to 32,000 characters, not 0"),
            ({"prompt": " \r\n\t "}, "prompt", "must have 1 to 32,000 characters, not 0"),
            ({"size": "other", "width": "10", "height": "20"}, "size", "must be auto"),
            ({"size": "other", "width": "", "height": ""}, "size", "must be auto"),
            ({"size": "3x3"}, "size", "must be auto"),
            ({"quality": "ultra"}, "quality", "must be low or high"),
            ({"n": "11"}, "n", "must be 1 to 10"),
            ({"n": "many"}, "n", "Expected `int`"),
            ({"output_format": "webp", "output_compression": "101"}, "output_compression", "must be 0 to 100"),
            ({"tags": "x" * 65}, "tags", "must have 1 to 64 characters"),
            ({"model": "huge"}, "model", "must be large or small"),
            ({"visibility": "secret"}, "visibility", "Invalid enum value"),
            ({"references": ["no-guid"]}, "references", "Invalid UUID"),
        ],
    )
    def test_the_field_is_named_and_all_that_was_typed_is_kept(
        self, client: Client, bought: list[Any], fields: dict[str, Any], field: str, rule: str
    ) -> None:
        given = {"prompt": '<b>"fox" & שלום 🦊', "tags": "snow, <i>", "quality": "low", "partial_images": "2", **fields}
        answer = send(client, **given)

        assert 400 <= answer.status_code < 500
        assert rule in errors(answer.text)[field]
        kept = typed(answer.text)
        assert kept["prompt"] == given["prompt"].replace("\r\n", "\n")
        assert (kept["tags"], kept["idempotency_key"]) == (given["tags"], "a-key")
        assert kept["partial_images"] == "2"
        assert kept["quality"] == (given["quality"] if given["quality"] == "low" else "")
        assert (kept.get("width"), kept.get("height")) == (
            (fields["width"], fields["height"]) if "width" in fields else ("", "")
        ) or "size" in fields
        assert "It cost nothing." in answer.text
        assert bought == []

    def test_a_file_that_is_no_picture_is_named(self, client: Client, bought: list[Any]) -> None:
        answer = send(client, ("fox.png", b"not a picture"), prompt="a fox", tags="snow")

        assert answer.status_code == 400
        assert "PNG, JPEG" in errors(answer.text)["references"]
        assert (typed(answer.text)["prompt"], typed(answer.text)["tags"]) == ("a fox", "snow")
        assert bought == []

    def test_seventeen_references_are_too_many(self, client: Client, bought: list[Any]) -> None:
        answer = send(client, *[(f"{n}.png", picture()) for n in range(17)], prompt="a fox")

        assert errors(answer.text) == {"references": "must be at most 16"}
        assert typed(answer.text)["prompt"] == "a fox"
        assert bought == []

    def test_a_login_that_has_ended_keeps_what_was_typed(self, client: Client, bought: list[Any]) -> None:
        answer = send(client, ("a.png", picture()), auth=None, prompt="a fox", tags="snow")

        assert answer.status_code == 401
        assert (typed(answer.text)["prompt"], typed(answer.text)["tags"]) == ("a fox", "snow")
        assert "log in in another tab" in answer.text
        assert bought == []

    def test_no_room_in_the_queue_says_when_to_try_again(
        self, client: Client, container: Container, monkeypatch: pytest.MonkeyPatch, bought: list[Any]
    ) -> None:
        async def no_room(*_: Any) -> None:
            raise OverloadedError("Too many images are waiting.", retry_after=7)

        with monkeypatch.context() as patch:
            patch.setattr(type(container.dispatcher()), "ensure_room", no_room)
            answer = send(client, prompt="a fox")

        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert "Too many images are waiting." in answer.text
        assert send(client, **typed(answer.text)).status_code == 303
        assert len(bought) == 1

    def test_a_database_that_can_not_be_written_keeps_what_was_typed(
        self, client: Client, container: Container, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def read_only(*_: Any, **__: Any) -> None:
            raise DBConnectionError("The database can only be read.")

        monkeypatch.setattr(type(container.images()), "add", read_only)
        answer = send(client, prompt="a fox", tags="snow")

        assert answer.status_code == 503
        assert (typed(answer.text)["prompt"], typed(answer.text)["tags"]) == ("a fox", "snow")


class TestOptionsOfAnotherModel:
    def test_they_are_shown_with_all_that_was_typed_and_nothing_is_bought(
        self, client: Client, bought: list[Any]
    ) -> None:
        answer = send(client, prompt="a fox", model="small", quality="high", n="3", show_options="true")

        assert answer.status_code == 200
        kept = typed(answer.text)
        assert (kept["prompt"], kept["model"], kept["n"], kept["quality"]) == ("a fox", "small", "3", "")
        assert "quality <bdi>high</bdi>" in answer.text
        assert bought == []


class TestUsingAgain:
    def again(self, client: Client, guid: str, auth: Login = ANN) -> str:
        answer = client.get(f"/gallery/new?from={guid}", auth=auth)
        assert answer.status_code == 200
        return answer.text

    def test_it_fills_in_everything_and_buys_nothing(self, client: Client, bought: list[Any]) -> None:
        given: dict[str, Any] = {
            "prompt": "a fox\nin <snow>", "tags": r"fox, a\,b", "model": "large", "quality": "low",
            "background": "opaque", "output_format": "webp", "output_compression": "70", "moderation": "low",
            "partial_images": "1",
        }  # fmt: skip
        guid = image_of(client, send(client, **given, size="other", width="640", height="480"))["guid"]
        page = self.again(client, guid)

        assert given.items() <= typed(page).items()
        assert (typed(page)["size"], typed(page)["width"], typed(page)["height"]) == ("other", "640", "480")
        assert typed(page)["idempotency_key"] != "a-key"
        assert len(bought) == 1

    def test_references_come_along(self, client: Client) -> None:
        first = image_of(client, send(client, prompt="a fox"))["guid"]
        second = image_of(client, send(client, ("a.png", picture()), prompt="a wolf", references=[first]))["guid"]
        page = self.again(client, second)

        assert f'name="references" value="{first}" checked' in page
        assert f'data-content="/private/image/{second}/reference/1/content" data-name="a.png"' in page

    def test_others_see_what_they_may_see(self, client: Client) -> None:
        answer = send(client, prompt="a fox", tags="fox", visibility="public", size="auto", moderation="low")
        guid = image_of(client, answer)["guid"]
        page = self.again(client, guid, BOB)

        kept = typed(page)
        assert (kept["prompt"], kept["tags"], kept["size"], kept["moderation"]) == ("a fox", "fox", "auto", "")

    def test_a_private_image_of_another_is_unknown(self, client: Client) -> None:
        guid = image_of(client, send(client, prompt="a fox"))["guid"]

        assert client.get(f"/gallery/new?from={guid}", auth=BOB).status_code == 404
        assert client.get("/gallery/new?from=nonsense", auth=BOB).status_code == 404

    def test_an_image_starts_a_new_one_as_its_reference(self, client: Client, bought: list[Any]) -> None:
        guid = image_of(client, send(client, prompt="a fox"))["guid"]
        page = client.get(f"/gallery/new?reference={guid}", auth=ANN).text

        assert f'name="references" value="{guid}" checked' in page
        assert typed(page)["prompt"] == ""
        assert len(bought) == 1


class TestTryingAgain:
    def failed(self, client: Client, container: Container) -> str:
        container.generator().fail_next(GenerationRefusedError("It was refused.", maybe_billed=False))
        return str(image_of(client, send(client, ("a.png", picture()), prompt="a fox", tags="snow"))["guid"])

    def test_it_buys_the_same_once_however_often_it_is_sent(
        self, client: Client, container: Container, bought: list[Any]
    ) -> None:
        guid = self.failed(client, container)
        answers = [client.post(f"/gallery/image/{guid}/again", auth=ANN, follow_redirects=False) for _ in range(2)]

        assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
            (303, "/gallery?scope=mine")
        ] * 2
        (image,) = client.get("/private/image", auth=ANN).json()
        assert (image["prompt"], image["tags"], image["visibility"]) == ("a fox", ["snow"], "private")
        assert image["references"][0]["filename"] == "a.png"
        assert len(bought) == 2

    def test_only_ones_own_can_be_tried_again(self, client: Client, container: Container, bought: list[Any]) -> None:
        guid = self.failed(client, container)

        assert client.post(f"/gallery/image/{guid}/again", auth=BOB).status_code == 404
        assert client.post(f"/gallery/image/{guid}/again", headers=OWN_SITE).status_code == 401
        assert len(bought) == 1
