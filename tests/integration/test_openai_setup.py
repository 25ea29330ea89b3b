"""Proxies and certificates from the environment of the OpenAI client."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.errors import GenerationError, GenerationFaultError, GeneratorSetupError
from pixyproxy.domain.generation_request import GenerationRequest
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.socks_proxy import SocksProxy

KEY = "sk-test"
REQUEST = GenerationRequest(prompt="a fox")


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(api_key=KEY) as server:
        yield server


@pytest.fixture
async def generator(server: OpenAIServer) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator(api_key=KEY, base_url=server.base_url)
    yield generator
    await generator.close()


async def test_images_are_bought_through_a_socks_proxy(
    server: OpenAIServer, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SocksProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await generator.open()
        assert (await generator.generate(REQUEST)).data
        await generator.close()
        assert [f":{port}/" in server.base_url for port in proxy.connected] == [True]


async def test_a_socks_proxy_that_is_not_there_is_not_billed(
    generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(GenerationError) as caught:
        await generator.generate(REQUEST)
    assert not caught.value.maybe_billed


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ALL_PROXY", "ftp://ann:hunter2@proxy.example", "Unknown scheme"),
        ("HTTPS_PROXY", "gopher://ann:hunter2@proxy.example", "Unknown scheme"),
        ("HTTPS_PROXY", "http://ann:hunter2/3@proxy.example", "Invalid port"),
        ("HTTPS_PROXY", "http://ann:hunter2#3@proxy.example", "Invalid port"),
        ("SSL_CERT_FILE", "/missing.pem", "No such file"),
    ],
)
async def test_an_environment_that_can_not_work_is_found_out_at_the_start(
    generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    for attempt in (generator.open(), generator.generate(REQUEST)):
        with pytest.raises(GeneratorSetupError) as caught:
            await attempt
        assert not caught.value.maybe_billed
        assert value not in caught.value.detail
        assert reason in caught.value.__notes__[0]
        assert name in caught.value.__notes__[1]
        assert "hunter2" not in "".join(caught.value.__notes__)


async def test_a_file_that_holds_no_certificates_is_found_out_at_the_start(
    generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(GeneratorSetupError) as caught:
        await generator.open()
    assert f"SSL_CERT_FILE={tmp_path / 'ca.pem'}" in caught.value.__notes__[1]


async def test_whatever_goes_wrong_before_the_request_is_sent_is_not_billed(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    await generator.open()
    # A value that JSON can't hold.
    request = GenerationRequest(prompt="a red fox", size=object())  # type: ignore[arg-type]
    with pytest.raises(GenerationFaultError) as caught:
        await generator.generate(request)
    assert not caught.value.maybe_billed
    assert server.requests == []
