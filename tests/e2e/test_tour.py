"""The tour's curl session, run as it is written: on the embedded default, and on MySQL with a stand-in for OpenAI."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from PIL import Image as Picture

from tests import real_parts
from tests.documents import ROOT, fenced_blocks, section
from tests.doubles.mariadb import CLIENT_REMEDY, ThrowawayServer
from tests.doubles.service import Service, clean_environment, running_service

# Setting up a database server and two services takes long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(300)

MARK = "\n=== the end of a block ===\n"


class Session(NamedTuple):
    """The output of each block of the session, and the folder it ran in."""

    folder: Path
    created: str
    public: str
    private: str
    delivered: str
    pages: str
    narrowed: str
    changed: str
    deleted: str
    problems: str
    health: str
    repeated: str
    followed: str
    sized: str
    batch: str
    edited: str
    uploaded: str
    watched: str
    key: str
    client: str


def typed(service: Service, login: str, folder: Path) -> Session:
    """Run the session's blocks in one shell that ends at the first command that fails."""
    if not shutil.which("curl"):
        real_parts.lack("curl", "apt-get install -y --no-install-recommends curl")
    variables, *blocks = fenced_blocks(section("docs/tour.md", "The API"), "sh")
    assert re.findall(r"^(\w+)=", variables, re.MULTILINE) == ["url", "login"]
    script = "\n".join([f"url={service.url}", f"login={login}", *(f"{block}printf '{MARK}'" for block in blocks)])
    return Session(folder, *shell(script, folder).split(MARK)[:-1])


def shell(script: str, folder: Path) -> str:
    """Run a script that ends at the first command that fails, and return its output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        # `python3` is the one that has the `openai` package.
        env=clean_environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def json_values(text: str) -> Iterator[Any]:
    """Yield the JSON values of a sequence of them."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]


def answers(text: str) -> Iterator[tuple[int, str, Any]]:
    """Yield status, headers and JSON of each answer that `curl -i` has printed."""
    for answer in text.split("HTTP/1.1 ")[1:]:
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        yield int(head[:3]), head.lower(), json.loads(body)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with running_service(tmp_path_factory.mktemp("embedded")) as service:
        yield typed(service, ":".join(service.login), tmp_path_factory.mktemp("embedded-session"))


@pytest.fixture(scope="module")
def mysql_and_openai(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    if not shutil.which("mysql"):
        real_parts.lack("the client `mysql`", CLIENT_REMEDY)
    folder = tmp_path_factory.mktemp("mysql")
    with ThrowawayServer() as server, stand_in_openai() as openai_url:
        environment = {
            "PIXYPROXY_DATABASE_URL": set_up_mysql(server, folder),
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": openai_url,
        }
        with running_service(folder, environment) as service:
            assert "MySQL, pixyproxy on 127.0.0.1" in service.output
            assert "OpenAI, gpt-image-2" in service.output
            yield typed(service, ":".join(service.login), tmp_path_factory.mktemp("mysql-session"))


def set_up_mysql(server: ThrowawayServer, folder: Path) -> str:
    """Run the tour's commands that create database, user and tables, and return the URL that they set."""
    variables, commands, *_ = fenced_blocks(section("docs/tour.md", "With MySQL and OpenAI"), "sh")
    assert re.findall(r"^(\w+)=", variables, re.MULTILINE) == ["admin", "server", "password"]
    # Files that the commands expect in the folder of the clone.
    (folder / "sql").symlink_to(ROOT / "sql")
    (folder / ".venv").symlink_to(sys.prefix)
    values = f"""
admin='mysql --no-defaults --user=root --socket={server.socket}'
server=127.0.0.1:{server.port}
password={secrets.token_hex(16)}
"""
    printed = shell(f'{values}{commands}printf "$PIXYPROXY_DATABASE_URL"', folder)
    assert "script(s) applied." in printed
    assert "missing" not in printed
    return printed.splitlines()[-1]


@contextlib.contextmanager
def stand_in_openai() -> Iterator[str]:
    """Start the stand-in by the tour's command, but for the port, and give its address."""
    command = [sys.executable, "-m", "tests.doubles.openai_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=["embedded", "mysql_and_openai"])
def session(request: pytest.FixtureRequest) -> Session:
    fixture: Session = request.getfixturevalue(request.param)
    return fixture


def test_a_public_image_is_created_listed_and_fetched(session: Session) -> None:
    (created,) = json_values(session.created)
    assert created["prompt"] == "A lighthouse at dusk, in watercolour"
    assert created["tags"] == ["lighthouse", "draft"]
    assert list(json_values(session.public)) == [[created], created]
    content = (session.folder / "picture.png").read_bytes()
    assert hashlib.sha256(content).hexdigest() == created["sha256"]
    with Picture.open(session.folder / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))


def test_a_private_image_is_its_authors_alone(session: Session) -> None:
    private, _, public = session.private.partition("HTTP/1.1")
    created, listed, details = json_values(private)
    assert created["visibility"] == "private"
    assert [image["prompt"] for image in listed] == ["A red fox in the snow", "A lighthouse at dusk, in watercolour"]
    assert listed[0] == details == created
    assert hashlib.sha256((session.folder / "private.png").read_bytes()).hexdigest() == created["sha256"]
    ((status, _, problem),) = answers("HTTP/1.1" + public)
    assert (status, problem["type"]) == (404, "urn:pixyproxy:problem:record-not-found")


def test_a_picture_is_fetched_as_it_is_needed(session: Session) -> None:
    head, _, link = session.delivered.replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 304")
    assert set(json.loads(link)) == {"url", "expires_at"}
    whole = (session.folder / "picture.png").read_bytes()
    assert (session.folder / "part").read_bytes() == whole[:1000]
    assert f"content-range: bytes 0-999/{len(whole)}" in (session.folder / "part.txt").read_text().lower()
    for name, kind, size in (("thumbnail.webp", "WEBP", (256, 256)), ("linked.png", "PNG", (256, 256))):
        with Picture.open(session.folder / name) as picture:
            assert (picture.format, picture.size) == (kind, size)


def test_the_link_leads_to_the_next_page(session: Session) -> None:
    first, second = json_values(session.pages)
    assert [image["visibility"] for image in first + second] == ["private", "public"]


def test_a_list_can_be_narrowed_down(session: Session) -> None:
    tagged, found, tags = json_values(session.narrowed)
    assert [image["prompt"] for image in tagged] == ["A lighthouse at dusk, in watercolour"]
    assert [own | image for own, image in zip(tagged, found, strict=True)] == tagged
    assert tags == [{"tag": "lighthouse", "images": 1}]


def test_a_lost_update_is_refused(session: Session) -> None:
    changed, _, refused = session.changed.partition("HTTP/1.1")
    detail = json.loads(changed)
    assert detail["tags"] == ["fox", "final"]
    assert detail["visibility"] == "public"
    ((status, _, problem),) = answers("HTTP/1.1" + refused)
    assert (status, problem["type"]) == (412, "urn:pixyproxy:problem:precondition-failed")


def test_a_deleted_image_is_gone(session: Session) -> None:
    assert session.deleted.strip().startswith("HTTP/1.1 204")


def test_errors_are_problems(session: Session) -> None:
    no_login, no_prompt = answers(session.problems)
    assert no_login[0] == no_login[2]["status"] == 401
    assert "www-authenticate: basic" in no_login[1]
    assert no_prompt[0] == no_prompt[2]["status"] == 400
    assert no_prompt[2]["errors"] == [{"field": "prompt", "detail": "must have 1 to 32,000 characters, not 0"}]
    assert all("application/problem+json" in head for _, head, _ in (no_login, no_prompt))


def test_the_service_is_healthy(session: Session) -> None:
    assert list(json_values(session.health)) == [{"status": "ok"}] * 2


def test_a_repeated_request_gets_the_image_of_the_first(session: Session) -> None:
    first, second = answers(session.repeated)
    assert first[0] == second[0] == 200
    assert first[2] == second[2]
    assert "idempotency-replayed" not in first[1]
    assert "idempotency-replayed: true" in second[1]


def test_an_image_is_followed_until_it_is_ready(session: Session) -> None:
    accepted, _, events = session.followed.partition("event: ")
    begun = json.loads(accepted)
    assert begun["status"] in {"pending", "generating"}
    *_, (state, data) = re.findall(
        r"^event: (\w+)\ndata: (.*)$", f"event: {events}".replace("\r\n", "\n"), re.MULTILINE
    )
    assert state == "ready"
    assert json.loads(data)["guid"] == begun["guid"]
    assert json.loads(data)["byte_size"] > 0


def test_a_picture_has_the_size_and_the_format_that_were_asked_for(session: Session) -> None:
    told, _, refused = session.sized.partition("HTTP/1.1")
    models, created = json_values(told)
    (default,) = (model for model in models["models"] if model["is_default"])
    assert "1536x1024" in default["sizes"] or default["size_range"]
    assert (created["size"], created["output_format"]) == ("1536x1024", "webp")
    with Picture.open(session.folder / "storm.webp") as picture:
        assert (picture.format, picture.size) == ("WEBP", (1536, 1024))
    ((status, _, problem),) = answers("HTTP/1.1" + refused)
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == ["size"]
    assert problem["maybe_billed"] is False


def test_a_batch_is_several_images_of_one_request(session: Session) -> None:
    created, shown, listed = json_values(session.batch)
    assert len({image["guid"] for image in created}) == 3
    assert {(image["batch"], image["status"]) for image in created} == {(created[0]["batch"], "ready")}
    assert shown == created
    assert len(listed) == 1
    assert listed[0] in created


def test_an_image_is_drawn_from_another_and_found_by_it(session: Session) -> None:
    (created,) = json_values(session.created)
    edited, derived = json_values(session.edited)
    assert [reference["guid"] for reference in edited["references"]] == [created["guid"]]
    assert edited["sha256"] != created["sha256"]
    assert derived == [edited]


def test_an_image_is_drawn_from_an_upload_which_stays_with_it(session: Session) -> None:
    (created,) = json_values(session.uploaded)
    content = (session.folder / "picture.png").read_bytes()
    assert [(each["filename"], each["byte_size"]) for each in created["references"]] == [("picture.png", len(content))]
    assert (session.folder / "reference.png").read_bytes() == content


def test_pictures_on_the_way_are_watched(session: Session) -> None:
    begun = json.loads(session.watched)
    events = (session.folder / "events.txt").read_text().replace("\r\n", "\n")
    *before, (state, data) = re.findall(r"^event: (\w+)\ndata: (.*)$", events, re.MULTILINE)
    assert (state, json.loads(data)["guid"]) == ("ready", begun["guid"])
    positions = [json.loads(data)["position"] for name, data in before if name == "partial"]
    # The stand-in for OpenAI has often drawn everything before the events are asked for.
    if begun["model"] == "sketch":
        assert positions == [0, 1, 2]
        with Picture.open(session.folder / "partial-0.png") as picture:
            assert picture.size == (1024, 1024)


def test_an_image_of_openais_client_is_found_by_its_words(session: Session) -> None:
    key = json.loads(session.key)
    assert (key["name"], key["scopes"]) == ("tour", ["read", "create"])
    guid, _, found = session.client.partition("\n")
    (image,) = json.loads(found)
    assert (image["guid"], image["prompt"]) == (guid, "A whale that carries a village")
    assert image["visibility"] == "private"
    assert image["sender"]["key"] == "tour"
    assert image["sender"]["client"].startswith("OpenAI/Python ")


def test_a_library_moves_to_mysql(tmp_path: Path) -> None:
    if not shutil.which("mysql"):
        real_parts.lack("the client `mysql`", CLIENT_REMEDY)
    (move,) = fenced_blocks(section("docs/tour.md", "Move your images"), "sh")
    with ThrowawayServer() as server:
        url = urlsplit(set_up_mysql(server, tmp_path))
        values = f"password={url.password}\nserver={url.hostname}:{url.port}\n"
        printed = shell(f'{values}.venv/bin/pixyproxy generate "A red fox in the snow"\n{move}', tmp_path)
    assert "1 images exported" in printed
    assert "1 images imported" in printed


def test_the_session_of_the_readme_works(tmp_path: Path) -> None:
    (block,) = fenced_blocks(section("README.md", "Use it"), "sh")
    variables, *commands = block.splitlines()
    assert re.findall(r"(\w+)=", variables) == ["url", "login"]
    with running_service(tmp_path) as service:
        shell("\n".join([f"url={service.url} login={':'.join(service.login)}", *commands]), tmp_path)
        created = json.loads((tmp_path / "fox.json").read_text())
        assert created["prompt"] == "A red fox"
        with Picture.open(tmp_path / "fox.webp") as picture:
            assert (picture.format, picture.size) == ("WEBP", (256, 256))
