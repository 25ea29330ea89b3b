"""Pictures on S3 in all three ways of delivery: a real S3 server, a real nginx, and services as users run them."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

import httpx
import msgspec
import pytest

from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from tests.doubles.library import fill, paint, png
from tests.doubles.nginx import Nginx, for_s3
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS
from tests.doubles.service import Service, running_service
from tests.e2e.test_nginx_offload import (
    ANN,
    BEN,
    HIDDEN,
    PAINTINGS,
    PRIVATE,
    PUBLIC,
    REQUESTS,
    SITE,
    SVG_CONTENT,
    UNKNOWN,
    headers_of,
    last_modified,
)

DELIVERIES: Final = {"proxy": "proxy", "x-accel": "x-accel:/s3/", "redirect": "redirect"}
EACH: Final = pytest.mark.parametrize("delivery", DELIVERIES)

# Of the requests, those that a service with redirects answers with one.
REDIRECTED: Final = {
    "all",
    "all, compressed",
    "from a page of another site",
    "as a download",
    "as a variant",
    "as it is liked best",
    "a range",
    "a range with an open end",
    "the end",
    "a range that ends too late",
}

HIDDEN_LATER, DELETED_LATER, LOST = (
    {delivery: paint("ann", data=png(f"{fate} {delivery}")) for delivery in DELIVERIES}
    for fate in ("hidden later", "deleted later", "lost")
)


class World(msgspec.Struct, frozen=True):
    """Services on one database and one bucket, one for each delivery, and the addresses that their clients use."""

    services: Mapping[str, Service]
    addresses: Mapping[str, str]
    nginx: Nginx
    bucket: str

    @property
    def plain(self) -> Service:
        """The service that sends everything itself."""
        return self.services["proxy"]


@pytest.fixture(scope="module")
def world(_seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("s3")
    # Another name of the same server: a URL that is signed for one name does not hold for the other.
    bucket = f"http://localhost:{_seaweedfs.port}/{_seaweedfs.bucket}"
    url = _seaweedfs.url(public_endpoint=f"http://localhost:{_seaweedfs.port}")
    later = [painting for each in (HIDDEN_LATER, DELETED_LATER, LOST) for painting in each.values()]
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        fill(folder, [*PAINTINGS.values(), *later], dict([ANN, BEN]), content_url=url)
        asyncio.run(lose(url))
        services = {
            name: stack.enter_context(
                running_service(
                    folder,
                    {
                        "PIXYPROXY_CONTENT_URL": url,
                        "PIXYPROXY_CONTENT_DELIVERY": delivery,
                        "PIXYPROXY_CORS_ORIGINS": SITE,
                    },
                )
            )
            for name, delivery in DELIVERIES.items()
        }
        nginx = stack.enter_context(Nginx(for_s3(services["x-accel"].port, _seaweedfs.port)))
        addresses = {name: nginx.url if name == "x-accel" else service.url for name, service in services.items()}
        yield World(services, addresses, nginx, bucket)


async def lose(url: str) -> None:
    contents = S3ContentStore(parse_s3_url(url))
    for image, _ in LOST.values():
        await contents.delete(image.content_key)
    await contents.close()


def answers_to(world: World, delivery: str, asked: str, method: str) -> tuple[httpx.Response, httpx.Response]:
    """Return the answers to a request of a service that sends everything itself, and of another delivery."""
    path, headers = REQUESTS[asked]
    headers = {
        name: last_modified(world.plain) if value == "LAST-MODIFIED" else value for name, value in headers.items()
    }
    login = {"ann": ANN, "ben": BEN}.get(headers.pop("LOGIN", ""))
    expected, answer = (
        httpx.request(method, url + path, headers=headers, auth=login)
        for url in (world.plain.url, world.addresses[delivery])
    )
    return expected, answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", REQUESTS)
def test_nginx_answers_as_the_service_does(world: World, asked: str, method: str) -> None:
    expected, answer = answers_to(world, "x-accel", asked, method)

    assert answer.status_code == expected.status_code
    assert headers_of(answer) == headers_of(expected)
    if expected.is_success:
        assert answer.content == expected.content
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", REQUESTS)
def test_a_client_that_follows_a_redirect_gets_what_the_service_would_send(
    world: World, asked: str, method: str
) -> None:
    expected, answer = answers_to(world, "redirect", asked, method)

    assert answer.has_redirect_location == (method == "GET" and asked in REDIRECTED)
    if not answer.has_redirect_location:
        assert answer.status_code == expected.status_code
        assert headers_of(answer) == headers_of(expected)
        assert answer.is_error or answer.content == expected.content
        return
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["Location"].startswith(f"{world.bucket}/")
    for name in ("Access-Control-Allow-Origin", "Vary"):
        assert answer.headers.get(name) == expected.headers.get(name)
    # Without the login, as browsers and clients do.
    wanted = {name: value for name, value in answer.request.headers.items() if name == "range"}
    followed = httpx.get(answer.headers["Location"], headers=wanted)
    assert followed.status_code == expected.status_code
    assert followed.content == expected.content
    for name in ("Content-Type", "Content-Disposition", "Content-Length", "Content-Range"):
        assert followed.headers.get(name) == expected.headers.get(name)


def test_redirects_lead_to_one_url_for_a_while(world: World) -> None:
    def location() -> str:
        return httpx.get(world.addresses["redirect"] + PUBLIC).headers["Location"]

    # A window may end in between.
    assert any(location() == location() for _ in range(2))


@EACH
def test_an_image_that_is_made_private_is_refused_at_once(world: World, delivery: str) -> None:
    image, data = HIDDEN_LATER[delivery]
    url, path = world.addresses[delivery], f"/image/{image.guid}"
    assert httpx.get(f"{url}{path}/content", follow_redirects=True).content == data

    httpx.patch(f"{url}/private{path}", json={"visibility": "private"}, auth=ANN).raise_for_status()

    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = httpx.get(f"{url}{path}/content", headers=headers)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
        assert data not in answer.content
    assert httpx.get(f"{url}/private{path}/content", auth=ANN).content == data


@EACH
def test_a_deleted_image_is_gone_at_once(world: World, delivery: str) -> None:
    image, data = DELETED_LATER[delivery]
    url, path = world.addresses[delivery], f"/image/{image.guid}"
    first = httpx.get(f"{url}{path}/content")
    assert httpx.get(f"{url}{path}/content", follow_redirects=True).content == data

    httpx.delete(f"{url}/private{path}", auth=ANN).raise_for_status()

    assert httpx.get(f"{url}{path}/content").status_code == 404
    if delivery == "redirect":
        assert httpx.get(first.headers["Location"]).status_code == 404


@EACH
def test_a_private_picture_is_for_its_author_alone(world: World, delivery: str) -> None:
    url, data = world.addresses[delivery], PAINTINGS["private"][1]
    made = httpx.post(f"{url}/private/image/{PAINTINGS['private'][0].guid}/link", json={}, auth=ANN)
    link = httpx.URL(made.raise_for_status().json()["url"]).raw_path.decode()

    for path, auth, status in (
        (PRIVATE, ANN, 200),
        (link, None, 200),
        (PRIVATE, BEN, 404),
        (PRIVATE, None, 401),
        (HIDDEN, ANN, 404),
        (f"{link}x", None, 403),
    ):
        answer = httpx.get(url + path, auth=auth)
        assert answer.status_code == status, path
        assert (answer.content == data) == (status == 200)
        if status == 200:
            assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("delivery", ["proxy", "x-accel"])
def test_a_lost_picture_is_the_services_own_problem(world: World, delivery: str) -> None:
    answer = httpx.get(f"{world.addresses[delivery]}/image/{LOST[delivery][0].guid}/content")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "no-store" in answer.headers["Cache-Control"]
    problem = answer.json()
    assert problem["type"].startswith("urn:pixyproxy:problem:content-")
    assert list(problem) == ["type", "title", "status", "detail", "request_id", "errors"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert not any(name.startswith(("x-amz", "seaweed")) for name in answer.headers)


def test_the_store_can_not_be_reached_past_the_service(world: World) -> None:
    place = httpx.get(world.services["x-accel"].url + PUBLIC).headers["X-Accel-Redirect"]
    assert place.startswith("/s3/")
    for path in (place, f"/{place}", f"/image/..{place}", place.replace("/s3/", "/%733/")):
        # httpx would tidy the path up.
        with httpx.Client() as client:
            answer = client.send(httpx.Request("GET", world.nginx.url, extensions={"target": path.encode()}))
        assert answer.status_code == 404, path
        assert PAINTINGS["public"][1] not in answer.content


def test_nothing_of_s3_reaches_a_client_of_nginx(world: World) -> None:
    for path in (PUBLIC, SVG_CONTENT, UNKNOWN):
        answer = httpx.get(world.nginx.url + path, headers={"Origin": "https://a.example.org"})
        names = {*answer.headers}
        assert not [name for name in names if name.startswith(("x-amz", "seaweed", "x-accel", "access-control"))]
        assert world.bucket.rpartition("/")[2] not in answer.headers.get("ETag", "")


def test_a_client_can_not_name_the_picture(world: World) -> None:
    place = httpx.get(world.services["x-accel"].url + PRIVATE, auth=ANN).headers["X-Accel-Redirect"]
    answer = httpx.get(world.nginx.url + HIDDEN, headers={"X-Accel-Redirect": place, "X-Accel-Range": "bytes=0-9"})
    assert answer.status_code == 404


def test_no_log_has_a_signature(world: World) -> None:
    for delivery, path in itertools.product(DELIVERIES, (PUBLIC, f"{PUBLIC}?width=64", UNKNOWN)):
        httpx.get(world.addresses[delivery] + path, follow_redirects=True)
    access_log = (world.nginx.folder / "access.log").read_text(encoding="utf-8")
    texts = [access_log, *(service.output for service in world.services.values())]

    assert all(PUBLIC in text for text in texts)
    for secret in ("X-Amz", *CREDENTIALS.values()):
        assert not any(secret in text for text in texts)
