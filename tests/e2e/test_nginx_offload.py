"""Bytes that a real nginx sends for the service, with the documented configuration."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from PIL import Image

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.image import Visibility
from tests import odd_pictures
from tests.doubles.library import CONTENTS, Painting, content_path, fill, paint, png
from tests.doubles.nginx import Nginx, documented
from tests.doubles.service import Service, running_service

ANN, BEN = ("ann", "ann's password"), ("ben", "ben's password")
SITE = "https://app.example.org"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"><script>alert(1)</script></svg>'

# Headers of the server, of this one answer, or of the connection.
ONE_S_OWN = {"date", "server", "connection", "keep-alive", "x-request-id"}

PAINTINGS: Mapping[str, Painting] = {
    "public": paint("ann", data=png("public")),
    "private": paint("ann", Visibility.PRIVATE, data=png("private")),
    "svg": paint("ann", data=SVG, media_type=MediaType.SVG),
    "hidden later": paint("ann", data=png("hidden later")),
    "deleted later": paint("ann", data=png("deleted later")),
    "lost": paint("ann", data=png("lost")),
}
PUBLIC = f"/image/{PAINTINGS['public'][0].guid}/content"
SVG_CONTENT = f"/image/{PAINTINGS['svg'][0].guid}/content"
PRIVATE = f"/private/image/{PAINTINGS['private'][0].guid}/content"
HIDDEN = f"/image/{PAINTINGS['private'][0].guid}/content"
UNKNOWN = "/image/00000000-0000-4000-8000-000000000000/content"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offload")
    fill(folder, PAINTINGS.values(), dict([ANN, BEN]))
    os.utime(content_path(folder, PAINTINGS["public"][0]), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Service]:
    """A service that sends everything itself."""
    with running_service(folder, {"PIXYPROXY_CORS_ORIGINS": SITE}) as service:
        yield service


@pytest.fixture(scope="module")
def service(folder: Path, plain: Service) -> Iterator[Service]:
    """A service on the same database and files that leaves the bytes to nginx."""
    settings = {"PIXYPROXY_CONTENT_OFFLOAD": "x-accel:/internal/", "PIXYPROXY_CORS_ORIGINS": SITE}
    with running_service(folder, settings) as service:
        yield service


@pytest.fixture(scope="module")
def nginx(folder: Path, service: Service) -> Iterator[Nginx]:
    configuration = documented(
        "offload.conf",
        {
            "listen 80;": "listen {port};",
            "127.0.0.1:8000": f"127.0.0.1:{service.port}",
            "/srv/pixyproxy/data/images/": f"{folder / CONTENTS}/",
            "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
        },
    )
    with Nginx(configuration) as nginx:
        yield nginx


def etag_of(name: str) -> str:
    content = PAINTINGS[name][0].content
    assert content
    return f'"{content.sha256}"'


def last_modified(plain: Service) -> str:
    return httpx.head(plain.url + PUBLIC).headers["Last-Modified"]


# When the file was written, if one asks the file system; and the entity tag that nginx would make of that by itself.
LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)
FILE_ETAG = f'"{int(LONG_AGO.timestamp()):x}-{len(PAINTINGS["public"][1]):x}"'

REQUESTS = {
    "all": (PUBLIC, {}),
    "all, compressed": (PUBLIC, {"Accept-Encoding": "gzip"}),
    "an SVG": (SVG_CONTENT, {}),
    "an SVG, compressed": (SVG_CONTENT, {"Accept-Encoding": "gzip"}),
    "from a page of another site": (PUBLIC, {"Origin": SITE}),
    "as a download": (f"{PUBLIC}?download", {}),
    "as a variant": (f"{PUBLIC}?width=64&format=webp", {}),
    "as it is liked best": (f"{PUBLIC}?format=auto", {"Accept": "image/webp"}),
    "a range": (PUBLIC, {"Range": "bytes=10-99"}),
    "a range with an open end": (PUBLIC, {"Range": "bytes=10-"}),
    "the end": (PUBLIC, {"Range": "bytes=-7"}),
    "a range that ends too late": (PUBLIC, {"Range": "bytes=10-999999999"}),
    "several ranges": (PUBLIC, {"Range": "bytes=0-9,20-29"}),
    "another unit": (PUBLIC, {"Range": "lines=1-2"}),
    "a range of what is there": (PUBLIC, {"Range": "bytes=10-99", "If-Range": etag_of("public")}),
    "a range of what is no longer there": (PUBLIC, {"Range": "bytes=10-99", "If-Range": '"another"'}),
    "a range of what was there at a time": (PUBLIC, {"Range": "bytes=10-99", "If-Range": "LAST-MODIFIED"}),
    "a range of what was there at another time": (
        PUBLIC,
        {"Range": "bytes=10-99", "If-Range": "Thu, 01 Jan 2026 00:00:00 GMT"},
    ),
    "what is there already": (PUBLIC, {"If-None-Match": etag_of("public")}),
    "what is there already, in another version": (PUBLIC, {"If-None-Match": '"another"'}),
    "what the file was": (PUBLIC, {"If-None-Match": FILE_ETAG}),
    "a range of what the file was": (PUBLIC, {"Range": "bytes=10-99", "If-Range": FILE_ETAG}),
    "what has changed since it was made": (PUBLIC, {"If-Modified-Since": "LAST-MODIFIED"}),
    "what has changed since long ago": (PUBLIC, {"If-Modified-Since": format_datetime(LONG_AGO, usegmt=True)}),
    "this version": (PUBLIC, {"If-Match": etag_of("public")}),
    "a range of this version": (PUBLIC, {"If-Match": etag_of("public"), "Range": "bytes=10-99"}),
    "another version": (PUBLIC, {"If-Match": '"another"'}),
    "what has not changed since it was made": (PUBLIC, {"If-Unmodified-Since": "LAST-MODIFIED"}),
    "what has not changed since long ago": (PUBLIC, {"If-Unmodified-Since": format_datetime(LONG_AGO, usegmt=True)}),
    "a private picture as a public one": (HIDDEN, {}),
    "a private picture without a login": (PRIVATE, {}),
    "a private picture": (PRIVATE, {"LOGIN": "ann"}),
    "a part of a private picture": (PRIVATE, {"LOGIN": "ann", "Range": "bytes=10-99"}),
    "another's private picture": (PRIVATE, {"LOGIN": "ben"}),
    "an unknown picture": (UNKNOWN, {}),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", REQUESTS)
def test_nginx_answers_as_the_service_does(plain: Service, nginx: Nginx, asked: str, method: str) -> None:
    path, headers = REQUESTS[asked]
    headers = {name: last_modified(plain) if value == "LAST-MODIFIED" else value for name, value in headers.items()}
    login = {"ann": ANN, "ben": BEN}.get(headers.pop("LOGIN", ""))

    expected, answer = (
        httpx.request(method, url + path, headers=headers, auth=login) for url in (plain.url, nginx.url)
    )

    assert answer.status_code == expected.status_code
    assert headers_of(answer) == headers_of(expected)
    if expected.is_success:
        assert answer.content == expected.content
    assert answer.headers["X-Request-ID"]


def headers_of(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the headers of the content; problems name their request, so their length is ignored."""
    without = ONE_S_OWN | ({"content-length"} if answer.is_error else set())
    without |= {"accept-ranges"} if answer.status_code == httpx.codes.PARTIAL_CONTENT else set()
    return sorted((name, value) for name, value in answer.headers.multi_items() if name not in without)


@pytest.mark.parametrize("wanted", ["bytes=999999999-", "bytes=-0", "bytes=9-5", "bytes=nonsense"])
def test_a_range_that_is_not_there_is_never_kept_for_others(nginx: Nginx, wanted: str) -> None:
    answer = httpx.get(nginx.url + PUBLIC, headers={"Range": wanted})

    if answer.status_code == 416:
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Range"] == f"bytes */{len(PAINTINGS['public'][1])}"
    else:
        assert (answer.status_code, answer.content) == (200, PAINTINGS["public"][1])


def test_the_bytes_do_not_pass_through_the_service(folder: Path, service: Service, nginx: Nginx) -> None:
    image, data = PAINTINGS["public"]
    for headers in ({}, {"Range": "bytes=10-99"}):
        told = httpx.get(service.url + PUBLIC, headers=headers)
        assert (told.status_code, told.content) == (200, b"")
        name = content_path(folder, image).relative_to(folder / CONTENTS)
        assert told.headers["X-Accel-Redirect"] == f"/internal/{name}"
    answer = httpx.get(nginx.url + PUBLIC)
    assert answer.content == data
    assert "X-Accel-Redirect" not in answer.headers


def test_the_files_can_not_be_reached_past_the_service(folder: Path, nginx: Nginx) -> None:
    name = content_path(folder, PAINTINGS["public"][0]).relative_to(folder / CONTENTS)
    for path in (f"/internal/{name}", f"//internal/{name}", f"/image/../internal/{name}", f"/%69nternal/{name}"):
        # httpx would tidy the path up.
        with httpx.Client() as client:
            answer = client.send(httpx.Request("GET", nginx.url, extensions={"target": path.encode()}))
        assert answer.status_code == 404, path
        assert PAINTINGS["public"][1] not in answer.content


def test_a_client_can_not_name_the_file(nginx: Nginx, folder: Path) -> None:
    name = content_path(folder, PAINTINGS["private"][0]).relative_to(folder / CONTENTS)
    answer = httpx.get(nginx.url + HIDDEN, headers={"X-Accel-Redirect": f"/internal/{name}"})
    assert answer.status_code == 404


def test_an_image_that_is_made_private_is_refused_at_once(service: Service, nginx: Nginx) -> None:
    path = f"/image/{PAINTINGS['hidden later'][0].guid}"
    assert httpx.get(f"{nginx.url}{path}/content").status_code == 200

    httpx.patch(f"{nginx.url}/private{path}", json={"visibility": "private"}, auth=ANN).raise_for_status()

    assert httpx.get(f"{nginx.url}{path}/content").status_code == 404
    assert httpx.get(f"{nginx.url}/private{path}/content", auth=ANN).content == PAINTINGS["hidden later"][1]


def test_a_deleted_image_is_gone_at_once(nginx: Nginx) -> None:
    path = f"/image/{PAINTINGS['deleted later'][0].guid}"
    assert httpx.get(f"{nginx.url}{path}/content").status_code == 200

    httpx.delete(f"{nginx.url}/private{path}", auth=ANN).raise_for_status()

    assert httpx.get(f"{nginx.url}{path}/content").status_code == 404


def test_a_lost_file_is_the_service_s_own_problem(folder: Path, nginx: Nginx) -> None:
    content_path(folder, PAINTINGS["lost"][0]).unlink()

    answer = httpx.get(f"{nginx.url}/image/{PAINTINGS['lost'][0].guid}/content")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_link_opens_a_private_picture_through_nginx(nginx: Nginx) -> None:
    image, data = PAINTINGS["private"]
    made = httpx.post(f"{nginx.url}/private/image/{image.guid}/link", json={}, auth=ANN)
    url = httpx.URL(nginx.url).join(made.raise_for_status().json()["url"])

    answer = httpx.get(url)

    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_link_is_not_logged_whole(nginx: Nginx) -> None:
    path = f"/private/image/{PAINTINGS['private'][0].guid}/content"
    httpx.get(f"{nginx.url}{path}?expires=1893456000&signature=secret")
    # A line is written after the answer.
    httpx.get(f"{nginx.url}{path}")

    log = (nginx.folder / "access.log").read_text(encoding="utf-8")
    assert f'"GET {path}" 403' in log
    assert "secret" not in log


def test_an_upload_passes_nginx_and_comes_back_by_it(nginx: Nginx, folder: Path) -> None:
    # nginx refuses bodies of more than 1 MiB by default.
    picture = odd_pictures.encoded(Image.effect_noise((1_500, 1_500), 90).convert("RGB"), "PNG")
    assert len(picture) > 2 << 20
    files: dict[str, tuple[str | None, str | bytes]]
    files = {"prompt": (None, "a red fox"), "size": (None, "64x64"), "reference": ("noise.png", picture)}
    created = httpx.post(f"{nginx.url}/private/image", files=files, auth=ANN, timeout=60)
    assert created.status_code == 200, created.text
    path = f"/private/image/{created.json()['guid']}/reference/0/content"
    given_back = httpx.get(nginx.url + path, auth=ANN)
    assert (given_back.status_code, given_back.content) == (200, picture)
    assert given_back.headers["Content-Type"] == "image/png"
    assert httpx.get(nginx.url + path, auth=ANN, headers={"Range": "bytes=10-19"}).content == picture[10:20]
    assert httpx.post(f"{nginx.url}/private/image", files=files, auth=("ann", "wrong"), timeout=60).status_code == 401
    assert len([path for path in (folder / CONTENTS / "uploads").rglob("*") if path.is_file()]) == 1
