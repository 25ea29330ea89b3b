"""Pictures at URLs: which servers are asked, at which addresses, and what goes wrong on the way."""

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.http.picture_source import HTTPPictureSource
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import FetchReference, StoreUpload
from pixyproxy.domain.errors import PictureUnavailableError, UploadTooLargeError
from tests.contents import keys_in
from tests.doubles.certificates import Authority
from tests.doubles.picture_server import PictureServer, Served, redirect

PICTURE = b"a picture"
UNREACHABLE = "Its server can't be reached."
NOT_LISTED = "It leads to an origin that PIXYPROXY_REFERENCE_ORIGINS does not list."
NO_URL = "Only valid http and https URLs are fetched."
LOGIN = "URLs with a user name or password are not fetched."


class Names:
    """Answers of DNS: for each name those of the first query, of the second, and so on; `asked` has the queries."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def server() -> AsyncIterator[PictureServer]:
    async with PictureServer({"/a.png": Served(PICTURE)}) as server:
        yield server


@pytest.fixture
async def elsewhere() -> AsyncIterator[PictureServer]:
    """Another server, of which the settings say nothing."""
    async with PictureServer({"/a.png": Served(PICTURE)}) as server:
        yield server


async def fetched(url: str, *origins: str, **options: Any) -> bytes:
    async with HTTPPictureSource(origins, **options).open(url) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def refused(url: str, *origins: str, **options: Any) -> str:
    """Return the sentence for the client."""
    with pytest.raises(PictureUnavailableError) as raised:
        await fetched(url, *origins, **options)
    return raised.value.detail


# Origins


async def test_no_origin_is_asked_by_default(server: PictureServer) -> None:
    assert await refused(f"{server.origin()}/a.png") == NOT_LISTED
    assert server.requests == []


async def test_a_server_is_sent_what_it_needs_and_nothing_else(server: PictureServer) -> None:
    server.served["/a.png?size=1"] = Served(PICTURE, headers={"Set-Cookie": "session=1; Path=/"})
    source = HTTPPictureSource([server.origin()])
    for _ in range(2):
        async with source.open(f"{server.origin()}/a.png?size=1#part") as chunks:
            assert await anext(chunks) == PICTURE
    for path, headers in server.requests:
        assert path == "/a.png?size=1"
        assert headers == {
            "host": f"127.0.0.1:{server.port}",
            "accept": "image/*",
            "accept-encoding": "identity",
            "user-agent": "pixyproxy",
        }


async def test_no_proxy_of_the_environment_is_asked(
    server: PictureServer, elsewhere: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere.origin())
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    assert await fetched(f"{server.origin()}/a.png", server.origin()) == PICTURE
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/a.png", "HTTP://127.0.0.1:{port}/a.png", "http://127.0.0.1:{port}/b/../a.png"],
)
async def test_a_url_of_a_listed_origin_is_read_as_browsers_read_it(server: PictureServer, url: str) -> None:
    assert await fetched(url.format(port=server.port), server.origin()) == PICTURE


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1:{port}/a.png", NOT_LISTED),
        ("http://127.0.0.1/a.png", NOT_LISTED),
        ("http://127.0.0.1:80/a.png", NOT_LISTED),
        ("http://127.0.0.1:0/a.png", NOT_LISTED),
        ("http://127.0.0.2:{port}/a.png", NOT_LISTED),
        ("http://localhost:{port}/a.png", NOT_LISTED),
        ("http://127.0.0.1.:{port}/a.png", NOT_LISTED),
        ("http://0.0.0.0:{port}/a.png", NOT_LISTED),
        ("http://2130706433:{port}/a.png", NOT_LISTED),
        ("http://0x7f000001:{port}/a.png", NOT_LISTED),
        ("http://0x7f.1:{port}/a.png", NOT_LISTED),
        ("http://127.1:{port}/a.png", NOT_LISTED),
        ("http://017700000001:{port}/a.png", NOT_LISTED),
        ("http://0177.0.0.1:{port}/a.png", NO_URL),
        ("http://%31%32%37.0.0.1:{port}/a.png", NOT_LISTED),
        ("http://①②⑦.0.0.1:{port}/a.png", NO_URL),
        ("http://[::1]:{port}/a.png", NOT_LISTED),
        ("http://[::ffff:127.0.0.1]:{port}/a.png", NOT_LISTED),
        ("http://[::ffff:7f00:1]:{port}/a.png", NOT_LISTED),
        ("http://[64:ff9b::7f00:1]:{port}/a.png", NOT_LISTED),
        ("http://[::1%25lo]:{port}/a.png", NOT_LISTED),
        ("http://169.254.169.254/latest/meta-data/", NOT_LISTED),
        ("http://user:password@127.0.0.1:{port}/a.png", LOGIN),
        ("http://user@127.0.0.1:{port}/a.png", LOGIN),
        ("http://127.0.0.1:{port}@127.0.0.1:9/a.png", LOGIN),
        ("http://127.0.0.1:{port}\\@127.0.0.1:9/a.png", LOGIN),
        ("http://127.0.0.1:9#@127.0.0.1:{port}/a.png", NOT_LISTED),
        ("http://127.0.0.1:{port}.example.com/a.png", NO_URL),
        ("http://127.0.0.1:{port}\t/a.png", NO_URL),
        ("http://127.0.0.1:99999/a.png", NOT_LISTED),
        ("ftp://127.0.0.1:{port}/a.png", NO_URL),
        ("file:///etc/passwd", NO_URL),
        ("file://127.0.0.1:{port}/a.png", NO_URL),
        ("gopher://127.0.0.1:{port}/_GET", NO_URL),
        ("data:image/png;base64,AAAA", NO_URL),
        ("//127.0.0.1:{port}/a.png", NO_URL),
        ("\\\\127.0.0.1:{port}\\a.png", NO_URL),
    ],
)
async def test_a_url_that_only_resembles_one_of_a_listed_origin_is_refused_unasked(
    server: PictureServer, url: str, reason: str
) -> None:
    names = Names()
    assert await refused(url.format(port=server.port), server.origin(), resolve=names) == reason
    assert server.requests == []
    assert names.asked == []


@pytest.mark.parametrize("host", ["Images", "IMAGES", "ima\u017fes"])
async def test_case_makes_no_other_origin(server: PictureServer, host: str) -> None:
    names = Names(images=[["127.0.0.1"]])
    url = f"{server.origin(host)}/a.png"
    if host.isascii():
        assert await fetched(url, server.origin("images"), resolve=names) == PICTURE
        assert server.requests[0][1]["host"] == f"images:{server.port}"
    else:
        assert await refused(url, server.origin("images"), resolve=names) == NO_URL


async def test_the_default_port_may_be_spelled_out() -> None:
    names = Names(images_example_com=[["10.0.0.5"]])
    for url in ("https://images.example.com:443/a.png", "https://images.example.com/a.png"):
        for origin in ("https://images.example.com", "https://images.example.com:443"):
            assert await refused(url, origin, resolve=names) == UNREACHABLE
    assert len(names.asked) == 4
    assert await refused("https://images.example.com:80/a.png", "https://images.example.com") == NOT_LISTED


# Addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["224.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["93.184.216.34", "127.0.0.1"],
        ["127.0.0.1", "93.184.216.34"],
    ],
)
async def test_a_public_name_leads_to_no_private_address(
    server: PictureServer, addresses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    named = server.origin("images.example.com")
    detail = await refused(f"{named}/a.png", named, resolve=Names(images_example_com=[addresses]))

    assert detail == UNREACHABLE
    assert server.requests == []
    (line,) = (vars(record) for record in caplog.records if record.name == "pixyproxy.references")
    assert line["levelno"] == logging.WARNING
    assert line["host"] == f"images.example.com:{server.port}"
    assert "not public" in line["cause"]
    assert "a.png" not in str(line)


@pytest.mark.parametrize("host", ["images", "images.internal", "localhost"])
async def test_a_name_that_can_not_be_public_may_lead_to_a_private_address(server: PictureServer, host: str) -> None:
    names = Names()
    names.answers[host] = [["127.0.0.1"]]
    assert await fetched(f"{server.origin(host)}/a.png", server.origin(host), resolve=names) == PICTURE
    assert server.requests[0][1]["host"] == f"{host}:{server.port}"


async def test_a_link_local_address_must_be_listed_itself() -> None:
    names = Names(metadata=[["169.254.169.254"]])
    assert await refused("http://metadata/", "http://metadata", resolve=names) == UNREACHABLE
    assert names.asked == ["metadata"]


async def test_the_system_resolves_names(server: PictureServer) -> None:
    assert await fetched(f"{server.origin('localhost')}/a.png", server.origin("localhost")) == PICTURE


async def test_the_next_address_is_tried(server: PictureServer) -> None:
    names = Names(images=[["127.0.0.2", "127.0.0.1"]])
    assert await fetched(f"{server.origin('images')}/a.png", server.origin("images"), resolve=names) == PICTURE


async def test_a_name_is_resolved_once_and_connected_to_where_it_was_checked(server: PictureServer) -> None:
    """The second answer of DNS would lead elsewhere (DNS rebinding)."""
    names = Names(images=[["127.0.0.1"], ["169.254.169.254"]])
    assert await fetched(f"{server.origin('images')}/a.png", server.origin("images"), resolve=names) == PICTURE
    assert names.asked == ["images"]
    assert names.answers["images"] == [["169.254.169.254"]]


async def test_a_client_learns_nothing_of_the_network(server: PictureServer) -> None:
    """A name that is unknown, leads inside, refuses the connection or speaks no TLS: all the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    names = Names(private_example_com=[["10.0.0.5"]], none_example_com=[[]], images=[["127.0.0.1"]])
    names.answers["odd.example.com"] = [["no address"]]
    origins = [
        "https://unknown.example.com",
        "https://private.example.com",
        "https://none.example.com",
        "https://odd.example.com",
        f"http://images:{closed}",
        f"https://images:{server.port}",
    ]
    for origin in origins:
        assert await refused(f"{origin}/a.png", *origins, resolve=names, connect_timeout=0.5) == UNREACHABLE


async def test_a_name_that_dns_does_not_allow_is_not_reached() -> None:
    origin = f"http://{'a' * 64}.example.com"
    assert await refused(f"{origin}/a.png", origin) == UNREACHABLE


# TLS


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[PictureServer, ssl.SSLContext]]:
    """A server with a certificate for images.internal, and whom to trust."""
    authority = Authority.in_folder(tmp_path, "authority")
    authority.issue("server", "images.internal")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    trust = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    async with PictureServer({"/a.png": Served(PICTURE)}, tls=tls) as server:
        yield server, trust


async def test_the_certificate_must_be_for_the_name_and_not_for_the_address(
    secure: tuple[PictureServer, ssl.SSLContext],
) -> None:
    server, trust = secure
    names = Names(images_internal=[["127.0.0.1"]], other_internal=[["127.0.0.1"]])
    good, other = server.origin("images.internal"), server.origin("other.internal")

    assert await fetched(f"{good}/a.png", good, resolve=names, tls=trust) == PICTURE
    assert await refused(f"{other}/a.png", other, resolve=names, tls=trust) == UNREACHABLE
    assert await refused(f"{good}/a.png", good, resolve=names) == UNREACHABLE
    assert len(server.requests) == 1


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_within_the_listed_origins_are_followed(
    server: PictureServer, elsewhere: PictureServer, status: int
) -> None:
    server.served["/1"] = redirect("/2", status)
    server.served["/2"] = redirect(f"{elsewhere.origin()}/3", status)
    elsewhere.served["/3"] = redirect("a.png", status)
    origins = [server.origin(), elsewhere.origin()]

    assert await fetched(f"{server.origin()}/1", *origins) == PICTURE
    assert [path for path, _ in elsewhere.requests] == ["/3", "/a.png"]
    assert elsewhere.requests[0][1]["host"] == f"127.0.0.1:{elsewhere.port}"


async def test_a_redirect_takes_no_cookie_along(server: PictureServer) -> None:
    server.served["/1"] = Served(status=302, headers={"Location": "/a.png", "Set-Cookie": "session=1; Path=/"})
    await fetched(f"{server.origin()}/1", server.origin())
    assert "cookie" not in server.requests[1][1]


@pytest.mark.parametrize("count", [4, 100])
async def test_more_than_three_redirects_are_not_followed(server: PictureServer, count: int) -> None:
    for number in range(count):
        server.served[f"/{number}"] = redirect(f"/{number + 1}")
    server.served[f"/{count}"] = Served(PICTURE)

    assert await refused(f"{server.origin()}/0", server.origin()) == "It redirects more than 3 times."
    assert len(server.requests) == 4


async def test_a_redirect_in_a_circle_ends(server: PictureServer) -> None:
    server.served["/1"] = redirect("/1")
    assert await refused(f"{server.origin()}/1", server.origin()) == "It redirects more than 3 times."


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:{other}/a.png", NOT_LISTED),
        ("//127.0.0.1:{other}/a.png", NOT_LISTED),
        ("http://localhost:{port}/a.png", NOT_LISTED),
        ("https://127.0.0.1:{port}/a.png", NOT_LISTED),
        ("http://169.254.169.254/latest/meta-data/", NOT_LISTED),
        ("http://[::ffff:169.254.169.254]/", NOT_LISTED),
        ("http://2852039166/", NOT_LISTED),
        ("http://user:password@127.0.0.1:{port}/a.png", LOGIN),
        ("file:///etc/passwd", NO_URL),
        ("gopher://127.0.0.1:{other}/_GET", NO_URL),
        ("data:image/png;base64,AAAA", NO_URL),
        ("http://[::1", NO_URL),
    ],
)
async def test_a_redirect_elsewhere_is_refused_unasked(
    server: PictureServer, elsewhere: PictureServer, location: str, reason: str
) -> None:
    server.served["/1"] = redirect(location.format(port=server.port, other=elsewhere.port))
    assert await refused(f"{server.origin()}/1", server.origin()) == reason
    assert len(server.requests) == 1
    assert elsewhere.requests == []


async def test_a_redirect_to_a_listed_name_with_a_private_address_is_refused(
    server: PictureServer, elsewhere: PictureServer, caplog: pytest.LogCaptureFixture
) -> None:
    target = elsewhere.origin("images.example.com")
    server.served["/1"] = redirect(f"{target}/a.png")
    names = Names(images_example_com=[["127.0.0.2"]])
    names.answers["127.0.0.1"] = [["127.0.0.1"]]

    assert await refused(f"{server.origin()}/1", server.origin(), target, resolve=names) == UNREACHABLE
    assert elsewhere.requests == []
    assert [vars(record)["host"] for record in caplog.records] == [f"images.example.com:{elsewhere.port}"]


async def test_each_target_of_a_redirect_is_resolved_and_checked_anew(server: PictureServer) -> None:
    server.served["/1"] = redirect("/a.png")
    names = Names(images=[["127.0.0.1"], ["169.254.169.254"]])
    assert await refused(f"{server.origin('images')}/1", server.origin("images"), resolve=names) == UNREACHABLE
    assert [path for path, _ in server.requests] == ["/1"]


async def test_the_body_of_a_redirect_is_not_read(server: PictureServer) -> None:
    server.served["/1"] = Served(b"x" * (1 << 20), status=302, headers={"Location": "/a.png"}, is_endless=True)
    assert await fetched(f"{server.origin()}/1", server.origin()) == PICTURE


# Answers


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 302, 400, 401, 403, 404, 429, 500, 503])
async def test_only_a_200_has_a_picture(server: PictureServer, status: int) -> None:
    server.served["/a.png"] = Served(b"" if status in {204, 304} else b"internal", status=status)
    detail = await refused(f"{server.origin()}/a.png", server.origin())
    assert detail == f"Its server answers with status {status}."


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate, gzip", "x"])
async def test_what_is_compressed_is_refused(server: PictureServer, encoding: str) -> None:
    server.served["/a.png"] = Served(gzip.compress(bytes(1 << 20)), headers={"Content-Encoding": encoding})
    assert "compresses" in await refused(f"{server.origin()}/a.png", server.origin())


async def test_identity_is_no_compression(server: PictureServer) -> None:
    server.served["/a.png"] = Served(PICTURE, headers={"Content-Encoding": "Identity"})
    assert await fetched(f"{server.origin()}/a.png", server.origin()) == PICTURE


async def test_a_body_that_breaks_off_is_no_picture(server: PictureServer) -> None:
    server.served["/a.png"] = Served(PICTURE, length=1_000)
    detail = await refused(f"{server.origin()}/a.png", server.origin())
    assert detail == "The connection to its server broke off."


@pytest.mark.parametrize("served", [Served(is_silent=True), Served(PICTURE, length=1_000, is_stuck=True)])
async def test_the_time_of_a_fetch_is_bounded(server: PictureServer, served: Served) -> None:
    server.served["/a.png"] = served
    detail = await refused(f"{server.origin()}/a.png", server.origin(), timeout=0.5)
    assert detail == "It takes more than 0.5 seconds."
    await server.left.wait()


async def test_the_time_is_that_of_all_steps_together(server: PictureServer) -> None:
    server.served["/a.png"] = Served(b"x" * 100, is_endless=True)
    assert await refused(f"{server.origin()}/a.png", server.origin(), timeout=0.5) == "It takes more than 0.5 seconds."

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    detail = await refused(f"{server.origin()}/a.png", server.origin(), timeout=0.5, resolve=never)
    assert detail == "It takes more than 0.5 seconds."


async def test_a_server_that_takes_no_connection_is_not_reached() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        origin = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        try:
            assert await refused(f"{origin}/a.png", origin, connect_timeout=0.2) == UNREACHABLE
        finally:
            for client in waiting:
                client.close()


async def test_a_cancelled_fetch_ends_its_connection(server: PictureServer) -> None:
    server.served["/a.png"] = Served(PICTURE, length=1_000, is_stuck=True)
    fetching = asyncio.create_task(fetched(f"{server.origin()}/a.png", server.origin()))
    await server.stuck.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await server.left.wait()


@pytest.mark.parametrize(
    "head",
    [
        b"220 mail.internal ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * (1 << 20) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
    ],
    ids=["other protocol", "bad length", "long field", "many fields", "many heads"],
)
async def test_a_head_that_makes_no_sense_or_no_end_is_no_picture(server: PictureServer, head: bytes) -> None:
    server.served["/a.png"] = Served(raw=head)
    detail = await refused(f"{server.origin()}/a.png", server.origin())
    assert detail == "The connection to its server broke off."


async def test_no_connection_is_used_again() -> None:
    """It would be taken for another name at the same address, whose certificate was not checked."""
    async with PictureServer({"/a.png": Served(PICTURE)}, keeps_connections=True) as server:
        origins = [server.origin("one"), server.origin("two")]
        source = HTTPPictureSource(origins, resolve=Names(one=[["127.0.0.1"]], two=[["127.0.0.1"]]))
        for origin in origins:
            async with source.open(f"{origin}/a.png") as chunks:
                assert [chunk async for chunk in chunks] == [PICTURE]
        assert server.connection_count == 2


@pytest.mark.parametrize("origin", ["images.example.com", "ftp://images.example.com", "http://"])
def test_a_malformed_origin_is_an_error_at_once(origin: str) -> None:
    with pytest.raises((ValueError, httpx2.InvalidURL)):
        HTTPPictureSource([origin])


# With the store behind it


async def test_an_endless_body_is_read_up_to_the_largest_upload(server: PictureServer, tmp_path: Path) -> None:
    server.served["/a.png"] = Served(b"x" * 4_096, is_endless=True)
    images = InMemoryImageRepository()
    uploads = FilesystemContentStore(tmp_path / "uploads")
    await uploads.prepare()
    fetch_reference = FetchReference(
        picture_source=HTTPPictureSource([server.origin()]),
        store_upload=StoreUpload(
            uploads=images, upload_store=uploads, inspector=PillowContentInspector(), max_size=1 << 20
        ),
    )
    with pytest.raises(UploadTooLargeError, match=r"references\[0\] has more than 1,048,576 bytes"):
        await fetch_reference(f"{server.origin()}/a.png", field="references[0]")

    await server.left.wait()
    assert await keys_in(uploads) == []
    assert await images.scan_uploads(limit=10) == []
