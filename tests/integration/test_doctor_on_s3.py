"""`pixyproxy doctor` on S3: it trusts the digests that S3 keeps, and reads bytes where there is none or on demand."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pixyproxy.adapters.s3.client import S3Client
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import chunks_of
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.doubles.seaweedfs import SeaweedFS
from tests.factories import ContentInfoFactory, ImageFactory


@pytest.fixture
def content_url(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.url()


@pytest.fixture
def environment(tmp_path: Path, content_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environment = {
        "PIXYPROXY_DATABASE_URL": f"sqlite:///{tmp_path}/pixyproxy.db",
        "PIXYPROXY_CONTENT_URL": content_url,
        "PIXYPROXY_GENERATOR": "sketch",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
async def container(environment: dict[str, str]) -> AsyncIterator[Container]:
    async with opened(Container(settings=load_settings(environment))) as container:
        await ensure_schema(container)
        yield container


async def doctor(*options: str, status: int = 0) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["doctor", *options], env={"COLUMNS": "200"})
    assert result.exit_code == status, result.output
    return result.stdout


async def keep(container: Container, data: bytes) -> Image:
    """Add an image that nothing is wrong with."""
    content = ContentInfoFactory.build(byte_size=len(data), sha256=hashlib.sha256(data).hexdigest())
    image = ImageFactory.build(content=content)
    await container.images().add(image)
    await container.contents().put(image.content_key, chunks_of(data))
    return image


async def replace(content_url: str, image: Image, data: bytes, metadata: dict[str, str]) -> None:
    """Store other bytes as another program may do it."""
    url = parse_s3_url(content_url)
    client = S3Client(url)
    path = f"{url.prefix}images/{image.content_key}"
    await client.put(path, data, media_type="image/png", metadata=metadata)
    await client.close()


async def test_all_is_well_where_it_is_and_what_is_missing_or_too_much_is_found(container: Container) -> None:
    images = [await keep(container, b"content %d" % number) for number in range(20)]
    checked = "20 images and 20 contents checked"
    for options in ([], ["--digests"], ["--no-digests"]):
        assert await doctor(*options) == f"{checked}: nothing is wrong.\n"
    await container.contents().delete(images[3].content_key)
    orphan = ImageFactory.build().content_key
    await container.contents().put(orphan, chunks_of(b"of no image"))
    output = await doctor("--no-digests", status=1)
    assert f"content-missing         {images[3].guid}\n" in output
    assert f"content-without-image   {orphan}\n" in output
    output = await doctor("--repair", status=1)
    assert f"content-without-image   {orphan}  (repaired)\n" in output
    assert f"{orphan}  11 bytes, no image\n" in output


async def test_bytes_with_the_digest_of_others_are_found_on_demand(container: Container, content_url: str) -> None:
    image, _ = await keep(container, b"content"), await keep(container, b"other")
    assert image.content is not None
    await replace(content_url, image, b"CONTENT", {"sha256": image.content.sha256})
    for options in ([], ["--no-digests"]):
        await doctor(*options)
    assert f"digest-differs          {image.guid}\n" in await doctor("--digests", status=1)


@pytest.mark.parametrize("metadata", [{}, {"sha256": "nonsense"}, {"sha256": "0" * 64}], ids=repr)
async def test_bytes_with_another_digest_or_none_are_found(
    container: Container, content_url: str, metadata: dict[str, str]
) -> None:
    image = await keep(container, b"content")
    await replace(content_url, image, b"CONTENT", metadata)
    assert f"digest-differs          {image.guid}\n" in await doctor(status=1)
    await doctor("--no-digests")


async def test_right_bytes_without_a_digest_are_well(container: Container, content_url: str) -> None:
    image = await keep(container, b"content")
    await replace(content_url, image, b"content", {})
    assert await doctor() == "1 images and 1 contents checked: nothing is wrong.\n"


async def test_a_server_that_does_not_answer_is_one_sentence(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=us-east-1"
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", url)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["doctor"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The content store does not answer.")
    assert result.stderr.count("\n") == 1
