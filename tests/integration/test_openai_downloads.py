"""Pictures that an answer only refers to: where they are fetched from, and where not."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.picture_download import PictureDownload
from pixyproxy.domain.errors import GenerationError, GenerationFailedError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage
from tests.doubles.openai_server import OpenAIServer, Order

PICTURE = Order({"prompt": "a picture", "size": "64x64"}).picture()


@pytest.fixture
async def elsewhere() -> AsyncIterator[OpenAIServer]:
    """Another server, which the answers refer to."""
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixyproxy.adapters.openai.picture_download._PAUSE", 0.01)


Generate = Callable[..., Any]


@pytest.fixture
async def generate(server: OpenAIServer) -> AsyncIterator[Generate]:
    """Let the stand-in link to some addresses, and return the adapter's result."""
    async with AsyncExitStack() as stack:

        async def generate(*addresses: str, **settings: Any) -> GeneratedImage:
            server.script("refers " + " ".join(addresses))
            defaults = {"api_key": server.api_key, "base_url": server.base_url, "size": "64x64"}
            generator = OpenAIImageGenerator(**{**defaults, **settings})
            stack.push_async_callback(generator.close)
            return await generator.generate(GenerationRequest(prompt="a red fox"))

        yield generate


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """DNS answers for a name: the addresses for the first query, for the second, and so on."""
    names: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if host not in names:
            return real(host, port, *args, **kwargs)
        answers = names[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port))
            for text in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


def origin(server: OpenAIServer, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}"


async def not_fetched(generation: Any) -> GenerationError:
    """Return the error, which is that of an answer without a picture, with that answer to be kept."""
    with pytest.raises(GenerationError) as raised:
        await generation
    assert type(raised.value) is GenerationFailedError
    assert raised.value.maybe_billed
    assert raised.value.quarantine is not None
    assert b'"url"' in raised.value.quarantine
    assert "could not be fetched" in raised.value.detail
    return raised.value


# The base URL's origin


async def test_a_picture_is_fetched_from_the_base_urls_origin_with_the_key(
    server: OpenAIServer, generate: Generate
) -> None:
    image = await generate(f"{origin(server)}/pictures/good")

    assert image.data == PICTURE
    assert image.request_id == server.requests[0].request_id
    assert server.requests[1].headers["authorization"] == f"Bearer {server.api_key}"


@pytest.mark.parametrize(
    "address",
    [
        "/pictures/good",
        "../pictures/good",
        "//127.0.0.1:{port}/pictures/good",
        "HTTP://127.0.0.1:{port}/pictures/good",
    ],
)
async def test_an_address_is_read_as_a_browser_would_read_it_at_the_base_url(
    server: OpenAIServer, generate: Generate, address: str
) -> None:
    assert (await generate(address.format(port=server.port))).data == PICTURE


@pytest.mark.parametrize("name", ["good", "chunked", "gzip"])
async def test_however_it_is_sent_it_is_the_picture(server: OpenAIServer, generate: Generate, name: str) -> None:
    assert (await generate(f"/pictures/{name}")).data == PICTURE


async def test_a_picture_that_is_late_is_asked_for_again(server: OpenAIServer, generate: Generate) -> None:
    assert (await generate("/pictures/late-2")).data == PICTURE
    assert len(server.requests) == 4


async def test_the_next_address_is_tried(server: OpenAIServer, generate: Generate) -> None:
    assert (await generate("http://127.0.0.1:9/a", "/pictures/forbidden", "/pictures/good")).data == PICTURE


async def test_a_picture_in_the_answer_is_taken_before_any_address(server: OpenAIServer, generate: Generate) -> None:
    assert (await generate("/pictures/good", f"data:image/gif,{quote(GIF, safe='')}")).data == GIF
    assert len(server.requests) == 1


GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"  # noqa: E501


# Bounds


@pytest.mark.parametrize("name", ["missing", "forbidden", "large", "large-chunked", "redirect-to-/pictures/good"])
async def test_a_download_of_an_unreasonable_size_is_refused(
    server: OpenAIServer, generate: Generate, name: str
) -> None:
    await not_fetched(generate(f"/pictures/{name}", max_answer_size=1 << 20))

    assert not any(request.path == "/pictures/good" for request in server.requests)


@pytest.mark.parametrize("name", ["slow", "drip"])
async def test_the_time_of_fetching_is_bounded(server: OpenAIServer, generate: Generate, name: str) -> None:
    await not_fetched(generate(f"/pictures/{name}", timeout=1))


@pytest.mark.parametrize("name", ["page", "bomb"])
async def test_a_download_that_is_no_picture_is_kept(server: OpenAIServer, generate: Generate, name: str) -> None:
    with pytest.raises(GenerationFailedError) as raised:
        await generate(f"/pictures/{name}", max_answer_size=1 << 20)

    assert raised.value.maybe_billed
    assert raised.value.quarantine is not None
    assert b'"url"' not in raised.value.quarantine
    assert len(raised.value.quarantine) <= 1 << 20


# Other origins


async def test_no_other_origin_is_asked_unless_the_setting_names_it(
    generate: Generate, elsewhere: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    await not_fetched(generate(f"{origin(elsewhere)}/pictures/good"))
    (line,) = (vars(record) for record in caplog.records if record.name == "pixyproxy.openai")

    assert elsewhere.requests == []
    assert line["levelno"] == logging.WARNING
    assert line["host"] == f"127.0.0.1:{elsewhere.port}"
    assert "PIXYPROXY_OPENAI_ANSWER_ORIGINS" in line["cause"]


async def test_an_origin_that_is_named_is_asked_without_the_key(generate: Generate, elsewhere: OpenAIServer) -> None:
    image = await generate(f"{origin(elsewhere)}/pictures/good", answer_origins=[origin(elsewhere)])

    assert image.data == PICTURE
    assert "authorization" not in elsewhere.requests[0].headers
    assert elsewhere.requests[0].headers["host"] == f"127.0.0.1:{elsewhere.port}"


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1:{port}/pictures/good",
        "http://127.0.0.2:{port}/pictures/good",
        "http://localhost:{port}/pictures/good",
        "http://0.0.0.0:{port}/pictures/good",
        "http://2130706433:{port}/pictures/good",
        "http://127.1:{port}/pictures/good",
        "http://[::ffff:127.0.0.1]:{port}/pictures/good",
        "http://user:password@127.0.0.1:{port}/pictures/good",
        "http://127.0.0.1:{port}@127.0.0.1:9/pictures/good",
        "ftp://127.0.0.1:{port}/pictures/good",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_GET",
        "javascript:alert(1)",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999/a",
        "\\\\127.0.0.1\\pictures\\good",
        "x" * 9_000,
    ],
)
async def test_an_origin_that_only_resembles_an_allowed_one_is_not_asked(
    generate: Generate, elsewhere: OpenAIServer, address: str
) -> None:
    await not_fetched(generate(address.format(port=elsewhere.port), answer_origins=[origin(elsewhere)]))

    assert elsewhere.requests == []


async def test_a_redirection_elsewhere_is_not_followed(generate: Generate, elsewhere: OpenAIServer) -> None:
    await not_fetched(generate(f"/pictures/redirect-to-{quote(origin(elsewhere), safe='')}"))

    assert elsewhere.requests == []


# Addresses


@pytest.mark.parametrize("host", ["localhost", "images", "images.internal", "images.local"])
async def test_a_name_that_can_not_be_public_may_have_a_private_address(
    generate: Generate, elsewhere: OpenAIServer, names: dict[str, list[list[str]]], host: str
) -> None:
    names[host] = [["127.0.0.1"]]
    image = await generate(f"{origin(elsewhere, host)}/pictures/good", answer_origins=[origin(elsewhere, host)])

    assert image.data == PICTURE
    assert elsewhere.requests[0].headers["host"] == f"{host}:{elsewhere.port}"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],  # noqa: S104 -- nothing is bound to it
        ["224.0.0.1"],
        ["::1"],
        ["fe80::1"],
        ["fd00::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["93.184.216.34", "127.0.0.1"],
    ],
)
async def test_a_public_name_may_have_no_private_address(
    generate: Generate,
    elsewhere: OpenAIServer,
    names: dict[str, list[list[str]]],
    caplog: pytest.LogCaptureFixture,
    addresses: list[str],
) -> None:
    names["images.example.com"] = [addresses]
    named = origin(elsewhere, "images.example.com")
    await not_fetched(generate(f"{named}/pictures/good", answer_origins=[named]))

    assert elsewhere.requests == []
    assert "not public" in caplog.text or any("not public" in str(vars(record)) for record in caplog.records)


async def test_a_link_local_address_must_be_named_itself(
    generate: Generate, elsewhere: OpenAIServer, names: dict[str, list[list[str]]]
) -> None:
    names["images"] = [["169.254.169.254"]]
    named = origin(elsewhere, "images")

    await not_fetched(generate(f"{named}/pictures/good", answer_origins=[named]))


async def test_a_public_name_may_have_an_address_that_the_setting_names_too(
    generate: Generate, elsewhere: OpenAIServer, names: dict[str, list[list[str]]]
) -> None:
    names["images.example.com"] = [["127.0.0.1"]]
    named = origin(elsewhere, "images.example.com")
    image = await generate(f"{named}/pictures/good", answer_origins=[named, "http://127.0.0.1:9"])

    assert image.data == PICTURE


async def test_a_name_is_resolved_once_and_connected_to_where_it_was_checked(
    elsewhere: OpenAIServer, names: dict[str, list[list[str]]]
) -> None:
    """The second answer of DNS would lead elsewhere (DNS rebinding)."""
    names["images"] = [["127.0.0.1"], ["192.0.2.1"]]
    named = origin(elsewhere, "images")
    async with httpx2.AsyncClient() as http:
        download = PictureDownload(
            http,
            base_url=httpx2.URL("http://127.0.0.1:9/v1/"),
            api_key="sk",
            origins=[named],
            timeout=10,
            connect_timeout=5,
            max_size=1 << 20,
            tls=httpx2.create_ssl_context(),
        )
        assert await download(f"{named}/pictures/late-2") == PICTURE
        await download.close()

    assert len(elsewhere.requests) == 3
    assert names["images"] == [["192.0.2.1"]]


async def test_no_proxy_of_the_environment_is_asked_for_another_origin(
    generate: Generate, elsewhere: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    async with OpenAIServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", origin(proxy))
        await asyncio.gather(
            generate(f"{origin(elsewhere)}/pictures/good", answer_origins=[origin(elsewhere)]), return_exceptions=True
        )

        assert not any(str(elsewhere.port) in request.path for request in proxy.requests)
