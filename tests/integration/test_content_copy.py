"""`pixyproxy content copy` between a folder and S3: killed in the middle, run again, and every byte is the same."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from pixyproxy.adapters.s3.client import S3Client
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports import ContentPorts
from pixyproxy.domain.reference import upload_key_of
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.container import Container, opened_stores
from pixyproxy.entrypoints.settings import load_settings
from tests.contents import content_of, in_chunks, keys_in, put
from tests.doubles.moto import Moto
from tests.doubles.seaweedfs import SeaweedFS
from tests.doubles.service import clean_environment

# Many enough for a kill to come before the end.
NUMBER = 150
UPLOADS = 20
QUARANTINED = 3
LARGE = 9 << 20


@asynccontextmanager
async def stores(url: str) -> AsyncIterator[tuple[ContentPorts, ContentPorts]]:
    """Hold open the stores of the contents and of the uploads at a URL."""
    container = Container(settings=load_settings({"PIXYPROXY_CONTENT_URL": url}))
    async with opened_stores(container):
        yield container.contents(), container.upload_contents()


async def fill(url: str, *, number: int = NUMBER) -> None:
    async with stores(url) as (contents, uploads):
        for index in range(number):
            await put(contents, os.urandom(index * 10), key_of(index))
        await put(contents, os.urandom(LARGE), ContentKey("ffff-large"))
        for data in (os.urandom(100) for _ in range(UPLOADS)):
            await put(uploads, data, upload_key_of(hashlib.sha256(data).hexdigest()))
        for index in range(QUARANTINED):
            await contents.put_quarantined(key_of(0), in_chunks(b"no picture %d" % index))


def key_of(index: int) -> ContentKey:
    return ContentKey(f"{index * 0x9E37 % 0x10000:04x}-0b6f-content-{index}")


async def digests_at(url: str) -> Mapping[str, str]:
    """Return the SHA-256 of all bytes at a URL: of contents and uploads by key, of the quarantine by key and digest."""
    found = {}
    async with stores(url) as (contents, uploads):
        for store in (contents, uploads):
            for key in await keys_in(store):
                found[str(key)] = hashlib.sha256(await content_of(await store.open(key))).hexdigest()
        for item in await contents.list_quarantine():
            sha256 = hashlib.sha256(await content_of(await contents.open_quarantined(item.name))).hexdigest()
            found[f"{item.key} {sha256}"] = sha256
    return found


async def copy(source: str, target: str, *options: str, status: int = 0, **environment: str) -> tuple[str, str]:
    """Run the command to its end and return its output of both streams."""
    command = ["content", "copy", "--from", source, "--to", target, *options]
    result = await asyncio.to_thread(CliRunner().invoke, main, command, env=environment)
    assert result.exit_code == status, result.stderr
    return result.stdout, result.stderr


async def copy_and_kill(source: str, target: str, *, at: ContentKey) -> None:
    """Run the command in a process of its own, and kill it when the target has the content `at`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pixyproxy", "content", "copy", "--from", source, "--to", target, "--parallel", "1"),
        env=clean_environment({}),
    )
    async with stores(target) as (contents, _):
        while await contents.find_content(at) is None:
            assert process.returncode is None, "The command ended before it was killed."
            await asyncio.sleep(0.002)
    process.kill()
    await process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return f"file:{tmp_path}/folder"


@pytest.fixture
def back(tmp_path: Path) -> str:
    return f"file:{tmp_path}/back"


async def test_to_s3_and_back_every_byte_is_the_same_although_both_copies_are_killed(
    seaweedfs: SeaweedFS, folder: str, back: str
) -> None:
    bucket = seaweedfs.url()
    await fill(folder)
    expected = await digests_at(folder)
    assert len(expected) == NUMBER + 1 + UPLOADS + QUARANTINED
    for source, target in ((folder, bucket), (bucket, back)):
        await copy_and_kill(source, target, at=sorted(map(key_of, range(NUMBER)))[19])
        output, errors = await copy(source, target)
        copied, there = numbers_in(output)
        assert copied + there == len(expected)
        assert 20 <= there < NUMBER
        assert errors == ""
        assert await digests_at(target) == expected
        assert await digests_at(source) == expected
        assert numbers_in((await copy(source, target, "--digests"))[0]) == (0, len(expected))


def numbers_in(output: str) -> tuple[int, int]:
    """Return how many were copied and how many were there, having checked that no others are."""
    words = output.replace(",", "").split()
    assert words[-3:] == ["0", "not", "copied."]
    return int(words[0]), int(words[words.index("there") - 1])


async def test_from_bucket_to_bucket_every_byte_is_the_same(seaweedfs: SeaweedFS, moto: Moto) -> None:
    source, target = seaweedfs.url(), moto.url()
    await fill(source, number=20)
    await copy(source, target)
    assert await digests_at(target) == await digests_at(source)


async def test_content_that_comes_while_it_is_copied_is_copied_by_the_second_run(
    seaweedfs: SeaweedFS, folder: str
) -> None:
    bucket = seaweedfs.url()
    await fill(folder, number=60)
    copying = asyncio.create_task(copy(folder, bucket, "--parallel", "1"))
    async with stores(folder) as (contents, _):
        for index in range(1_000, 1_050):
            await put(contents, b"new", key_of(index))
            await asyncio.sleep(0.005)
    await copying
    await copy(folder, bucket, "--new-only")
    assert await digests_at(bucket) == await digests_at(folder)


async def test_wrong_credentials_are_one_sentence(seaweedfs: SeaweedFS, folder: str) -> None:
    await fill(folder, number=1)
    for pair in ((folder, seaweedfs.url()), (seaweedfs.url(), folder)):
        output, errors = await copy(*pair, status=1, AWS_SECRET_ACCESS_KEY="wrong")
        side = "Target" if pair[0] == folder else "Source"
        assert output == ""
        assert errors.startswith(f"Error: {side}: The content store does not grant access.")
        assert errors.count("\n") == 1
        assert "wrong" not in errors


async def test_a_server_that_is_not_there_is_one_sentence(s3_credentials: None, folder: str) -> None:
    await fill(folder, number=1)
    output, errors = await copy(folder, "s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=us-east-1", status=1)
    assert output == ""
    assert errors.startswith("Error: Target: The content store does not answer.")


async def test_a_bucket_that_is_not_there_is_one_sentence(moto: Moto, folder: str) -> None:
    await fill(folder, number=1)
    output, errors = await copy(folder, moto.url().replace("s3://pixyproxy/", "s3://missing/"), status=1)
    assert output == ""
    assert errors.startswith("Error: Target: The content store's bucket is missing.")


async def test_a_target_that_is_full_ends_the_copy_with_a_list_and_what_fits_is_there(
    s3_credentials: None, folder: str
) -> None:
    async with stores(folder) as (contents, _):
        for index in range(70):
            await put(contents, os.urandom(1 << 20), key_of(index))
    with SeaweedFS(volumes=8, volume_mib=1) as server:
        target = server.url()
        output, errors = await copy(folder, target, status=1)
        listed = [line for line in errors.splitlines() if ": Target: " in line]
        there = await digests_at(target)
    everything = await digests_at(folder)
    assert 20 <= len(listed) <= len(everything)
    assert output == ""
    assert "contents in a row could not be copied." in errors.splitlines()[-1]
    assert 0 < len(there) < len(everything)
    assert there.items() <= everything.items()


async def test_a_server_that_dies_in_the_middle_is_reported_and_the_next_copy_goes_on(
    s3_credentials: None, folder: str
) -> None:
    await fill(folder, number=100)
    with SeaweedFS() as server:
        target = server.url()
        copying = asyncio.create_task(copy(folder, target, "--parallel", "2", status=1))
        async with stores(target) as (contents, _):
            while len(await keys_in(contents)) < 20:
                assert not copying.done()
                await asyncio.sleep(0.02)
        server.kill()
        _, errors = await copying
        assert "Run the same command again to continue." in errors
        assert "Target: The content store does not answer." in errors
        server.start()
        await copy(folder, target)
        assert await digests_at(target) == await digests_at(folder)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("s3://pixyproxy/a?endpoint=http://127.0.0.1:9", "are the same content store"),
        ("s3://pixyproxy/a/?endpoint=http://127.0.0.1:9/&region=eu-west-1", "are the same content store"),
        ("s3://pixyproxy/a/b?endpoint=http://127.0.0.1:9", "--to is inside --from"),
        ("s3://pixyproxy?endpoint=http://127.0.0.1:9", "--from is inside --to"),
    ],
)
async def test_a_bucket_and_a_part_of_it_are_refused(target: str, error: str) -> None:
    _, errors = await copy("s3://pixyproxy/a?endpoint=http://127.0.0.1:9", target, status=2)
    assert error in errors


async def test_a_bucket_that_was_not_used_yet_is_an_empty_source_and_only_read(
    seaweedfs: SeaweedFS, folder: str
) -> None:
    source = seaweedfs.url()
    _, errors = await copy(source, folder)
    assert errors == "The source has no content.\n"
    # The credentials may only allow to read.
    client, prefix = S3Client(parse_s3_url(source)), parse_s3_url(source).prefix.rstrip("/")
    assert [entry.path async for entry in client.entries(prefix)] == []
    await client.close()
