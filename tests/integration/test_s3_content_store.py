"""`S3ContentStore`: what its contract can't say."""

import asyncio
import hashlib
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import boto3
import pytest

from pixyproxy.adapters.s3 import client as s3_client
from pixyproxy.adapters.s3.content_store import MAX_BUFFERS, S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.variant import VariantName
from tests.contents import (
    KEY,
    MIB,
    NAME,
    OTHER_KEY,
    content_of,
    digest_of,
    has,
    in_chunks,
    keys_in,
    put,
    put_variant,
    read,
    variant,
)
from tests.documents import ROOT
from tests.doubles.moto import Moto
from tests.doubles.relay import Relay
from tests.doubles.s3_relay import CountingRelay, Respond, lying, relaying
from tests.doubles.seaweedfs import KEY_ID, SECRET, SeaweedFS

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@asynccontextmanager
async def opened(url: str, area: str = "") -> AsyncIterator[S3ContentStore]:
    store = S3ContentStore(parse_s3_url(url), area)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(seaweedfs: SeaweedFS) -> AsyncIterator[S3ContentStore]:
    async with opened(seaweedfs.url("here")) as store:
        yield store
    client = other_client(seaweedfs)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=seaweedfs.bucket, Prefix="here/"):
        client.delete_objects(
            Bucket=seaweedfs.bucket, Delete={"Objects": [{"Key": each["Key"]} for each in page.get("Contents", [])]}
        )


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SILENCE", "_TIMEOUT", "_LARGE_TIMEOUT"):
        monkeypatch.setattr(s3_client, name, timedelta(seconds=1))


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter does not end with the test."""
    monkeypatch.setattr(s3_client, "REST_SECONDS", 0.0)


def other_client(server: SeaweedFS | Moto) -> Any:
    """A client that is not ours."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )


async def failing(operation: Awaitable[object]) -> ContentStoreError:
    with pytest.raises(ContentStoreError) as caught:
        await operation
    return caught.value


async def test_each_object_has_its_media_type_its_digest_and_a_checksum_of_the_server(
    seaweedfs: SeaweedFS, store: S3ContentStore
) -> None:
    await put(store, PNG)
    await put_variant(store, b"no bitmap that begins like one", VariantName("a-80.avif"))
    await put(store, b"<svg xmlns='http://www.w3.org/2000/svg'/>", OTHER_KEY)
    client = other_client(seaweedfs)
    objects = client.list_objects_v2(Bucket=seaweedfs.bucket, Prefix="here/")["Contents"]
    names = [f"here/images/{KEY}", f"here/images/{OTHER_KEY}", f"here/variants/{KEY}/a-80.avif"]
    assert [each["Key"] for each in objects] == names
    heads = [client.head_object(Bucket=seaweedfs.bucket, Key=name, ChecksumMode="ENABLED") for name in names]
    assert [head["ContentType"] for head in heads] == ["image/png", "image/svg+xml", "image/avif"]
    assert heads[0]["Metadata"] == {"sha256": hashlib.sha256(PNG).hexdigest()}
    assert heads[0]["ChecksumSHA256"]


async def test_every_operation_costs_as_few_requests_as_the_documentation_says(seaweedfs: SeaweedFS) -> None:
    async with relaying(seaweedfs.port) as relay, opened(_through(relay, seaweedfs)) as store:

        async def cost(operation: Awaitable[object]) -> dict[str, int]:
            relay.taken()
            await operation
            return relay.taken()

        assert await cost(store.prepare()) == {"HEAD": 1, "PUT": 1}
        assert await cost(put(store, b"content")) == {"PUT": 1}
        assert await cost(put(store, bytes(6 * MIB), OTHER_KEY)) == {"PUT": 1}
        assert await cost(read(store)) == {"GET": 1}
        assert await cost(read(store, OTHER_KEY)) == {"GET": 1}
        assert await cost(_part(store, 2, 5)) == {"GET": 1}
        assert await cost(_part(store, 5, 5)) == {"HEAD": 1}
        assert await cost(_part(store, 500, 600)) == {"GET": 1, "HEAD": 1}
        assert await cost(store.find_content(KEY)) == {"HEAD": 1}
        assert await cost(store.find_variant(KEY, NAME)) == {"HEAD": 1}
        assert await cost(put_variant(store, b"variant")) == {"PUT": 1}
        assert await cost(store.find_variant(KEY, NAME)) == {"HEAD": 1}
        assert await cost(store.open_variant(KEY, NAME)) == {"GET": 1}
        assert await cost(keys_in(store)) == {"LIST": 1}
        assert await cost(store.put_quarantined(KEY, in_chunks(b"no picture"))) == {"HEAD": 1, "PUT": 1}
        assert await cost(store.delete(KEY)) == {"DELETE": 3, "LIST": 2}
        assert await cost(store.move_to_quarantine(OTHER_KEY)) == {"HEAD": 2, "PUT": 1, "DELETE": 1, "LIST": 1}


async def test_checks_write_nothing_and_rarely_ask(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relaying(seaweedfs.port) as relay:
        url = _through(relay, seaweedfs)
        async with opened(url) as store:
            await store.prepare()
        async with opened(url) as store:
            relay.taken()
            for _ in range(20):
                await store.check()
            assert relay.taken() == {"HEAD": 1}
        monkeypatch.setattr("pixyproxy.adapters.s3.content_store.CHECK_SECONDS", 0.0)
        async with opened(url) as store:
            for _ in range(3):
                await store.check()
            assert relay.taken() == {"HEAD": 3}


async def test_before_a_purchase_a_write_is_tried(seaweedfs: SeaweedFS) -> None:
    async with relaying(seaweedfs.port) as relay, opened(_through(relay, seaweedfs)) as store:
        for _ in range(3):
            await store.check_writing()
        assert relay.taken() == {"PUT": 3}


async def test_a_check_waits_for_a_few_seconds_only(s3_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(method: str, path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr("pixyproxy.adapters.s3.content_store.CHECK_TIMEOUT", 0.2)
    async with lying(silent) as url, opened(f"s3://bucket?endpoint={url}") as store:
        start = time.monotonic()
        assert (await failing(store.check())).detail == "The content store does not answer."
        assert time.monotonic() - start < 5


def _through(relay: CountingRelay, server: SeaweedFS) -> str:
    return server.url().replace(server.endpoint, relay.url)


async def _part(store: S3ContentStore, start: int, end: int) -> bytes:
    return await content_of(await store.open(KEY, start=start, end=end))


async def test_a_full_store_keeps_what_it_has_and_takes_nothing_more(s3_credentials: None) -> None:
    with SeaweedFS(volumes=1, volume_mib=2) as server:
        async with opened(server.url()) as store:
            await store.prepare()
            await put(store, PNG)
            taken: list[ContentKey] = []

            async def fill() -> None:
                for number in range(20):
                    key = ContentKey(f"{number:04}-key")
                    await put(store, bytes([number]) * 600_000, key)
                    taken.append(key)

            assert (await failing(fill())).detail == "The content store does not work."
            assert await keys_in(store) == [*taken, KEY]
            assert await read(store) == PNG
            await failing(store.check_writing())
            # It has failed to write, so that asking is no longer enough.
            await failing(store.check())


async def test_a_store_that_hangs_or_dies_is_a_clear_error_and_comes_back(
    s3_credentials: None, short_timeouts: None
) -> None:
    with SeaweedFS() as server:
        async with opened(server.url()) as store:
            await store.prepare()
            await put(store, PNG)

            async def fail_within(seconds: float, *operations: Callable[[], Awaitable[object]]) -> None:
                start = time.monotonic()
                for error in await asyncio.gather(*(failing(operation()) for operation in operations)):
                    assert error.detail == "The content store does not answer."
                    assert not isinstance(error, ContentNotFoundError)
                assert time.monotonic() - start < seconds

            operations = (
                lambda: store.open(KEY),
                # What was not answered may still be done later.
                lambda: put(store, b"new", OTHER_KEY),
                lambda: store.delete(OTHER_KEY),
                lambda: store.find_variant(KEY, NAME),
                lambda: keys_in(store),
                store.check_writing,
            )
            server.freeze()
            await fail_within(10, *operations)
            server.thaw()
            assert await read(store) == PNG
            server.kill()
            await fail_within(10, *operations)
            server.start()
            assert await read(store) == PNG
            await store.check_writing()
            await store.check()


async def test_a_put_that_is_cancelled_on_its_way_leaves_nothing(s3_credentials: None) -> None:
    with SeaweedFS() as server:
        async with opened(server.url("here")) as store:
            server.freeze()
            putting = [asyncio.create_task(put(store, bytes(12 * MIB), key)) for key in (KEY, OTHER_KEY)]
            await asyncio.sleep(0.3)
            for task in putting:
                task.cancel()
            await asyncio.gather(*putting, return_exceptions=True)
            server.thaw()
            await asyncio.sleep(0.5)
            assert await keys_in(store) == []
            client = other_client(server)
            assert "Uploads" not in client.list_multipart_uploads(Bucket=server.bucket)


async def test_a_slow_reader_is_not_cut_off(store: S3ContentStore, request: pytest.FixtureRequest) -> None:
    content = bytes(range(256)) * 32_768
    await put(store, content)
    request.getfixturevalue("short_timeouts")
    seen = hashlib.sha256()
    stored = await store.open(KEY)
    for pause in (1.3, 1.3):
        seen.update(await anext(stored.chunks))
        await asyncio.sleep(pause)
    async for chunk in stored.chunks:
        seen.update(chunk)
    assert seen.digest() == hashlib.sha256(content).digest()


async def test_a_download_whose_connection_breaks_goes_on_where_it_was(seaweedfs: SeaweedFS) -> None:
    content = bytes(range(256)) * 65_536
    with Relay(seaweedfs.port) as relay:
        async with opened(seaweedfs.url().replace(seaweedfs.endpoint, relay.url)) as store:
            await put(store, content)
            stored = await store.open(KEY)
            first = await anext(stored.chunks)
            relay.cut()
            assert first + await content_of(stored) == content


def answer(status: str, body: bytes = b"", headers: str = "", *, length: int | None = None) -> Respond:
    async def respond(method: str, path: str, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}"
        modified = 'Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT\r\nETag: "x"\r\nConnection: close\r\n\r\n'
        writer.write((head + modified).encode() + (b"" if method == "HEAD" else body))

    return respond


def described(content: bytes) -> str:
    return f"x-amz-meta-sha256: {hashlib.sha256(content).hexdigest()}\r\n"


async def opened_whole(store: S3ContentStore) -> StoredContent:
    stored = await store.open(KEY)
    await content_of(stored)
    return stored


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_other_bytes_than_those_stored_are_not_handed_out_as_a_whole(s3_credentials: None, size: int) -> None:
    content = bytes(size)
    respond = answer("200 OK", content[:-1] + b"x", described(content))
    async with lying(respond) as url, opened(f"s3://bucket?endpoint={url}") as store:
        got = bytearray()

        async def get() -> None:
            async for chunk in (await store.open(KEY)).chunks:
                got.extend(chunk)

        assert isinstance(await failing(get()), DamagedContentError)
        assert len(got) < size


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_content_that_breaks_off_is_an_error(s3_credentials: None, short_timeouts: None, size: int) -> None:
    content = bytes(size)
    respond = answer("200 OK", content[: size // 2], described(content), length=size)
    async with lying(respond) as url, opened(f"s3://bucket?endpoint={url}") as store:
        await failing(opened_whole(store))


@pytest.mark.parametrize(
    "respond",
    [
        answer("200 OK", b"0123456789"),
        answer("206 Partial Content", b"0123", "Content-Range: bytes 0-3/10\r\n"),
        answer("206 Partial Content", b"234", "Content-Range: bytes 2-4/100\r\n", length=2),
        answer("302 Found", b"", "Location: /login\r\n"),
        answer("404 Not Found", b"<html>no such page</html>"),
        answer("403 Forbidden", b"<html>no</html>"),
        answer("500 Internal Server Error", b"Traceback (most recent call last)"),
    ],
    ids=["all of it", "another part", "too little", "redirect", "web page", "forbidden", "fault"],
)
async def test_an_answer_that_is_not_what_was_asked_for_is_an_error(s3_credentials: None, respond: Respond) -> None:
    async with lying(respond) as url, opened(f"s3://bucket?endpoint={url}") as store:
        error = await failing(_part(store, 2, 5))
        assert not isinstance(error, ContentNotFoundError)
        shown = "".join(traceback.format_exception(error))
        for hidden in (url, SECRET, "Traceback (most recent call last)\n\n", "<html>"):
            assert hidden not in shown


async def test_a_put_that_is_answered_by_a_web_page_is_an_error(s3_credentials: None) -> None:
    respond = answer("405 Method Not Allowed", b"<html>no</html>")
    async with lying(respond) as url, opened(f"s3://bucket?endpoint={url}") as store:
        await failing(put(store, b"content"))


async def test_a_variant_without_its_digest_is_not_there(seaweedfs: SeaweedFS, store: S3ContentStore) -> None:
    name = f"here/variants/{KEY}/{NAME}"
    other_client(seaweedfs).put_object(Bucket=seaweedfs.bucket, Key=name, Body=b"of another")
    assert await variant(store) is None
    await put_variant(store, b"variant")
    assert await variant(store) == b"variant"


async def test_content_that_something_else_has_stored_is_read_without_its_digest(
    seaweedfs: SeaweedFS, store: S3ContentStore
) -> None:
    client = other_client(seaweedfs)
    client.put_object(Bucket=seaweedfs.bucket, Key=f"here/images/{KEY}", Body=b"of another")
    client.put_object(Bucket=seaweedfs.bucket, Key="here/images/.hidden", Body=b"clutter")
    client.put_object(Bucket=seaweedfs.bucket, Key="here/images/a/b/c", Body=b"clutter")
    assert (await store.open(KEY)).sha256 is None
    assert await read(store) == b"of another"
    assert await keys_in(store) == [KEY]


@pytest.mark.parametrize("kind", ["seaweedfs", "moto"])
async def test_a_missing_bucket_is_no_missing_content(kind: str, request: pytest.FixtureRequest) -> None:
    server: SeaweedFS | Moto = request.getfixturevalue(kind)
    async with opened(server.url().replace("s3://pixyproxy/", "s3://no-such-bucket/")) as store:
        error = await failing(store.open(KEY))
        assert error.detail == "The content store's bucket is missing."
        assert not isinstance(error, ContentNotFoundError)
        await failing(store.prepare())


async def test_a_wrong_secret_is_a_clear_error_that_shows_none(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    async with opened(seaweedfs.url()) as store:
        for operation in (store.prepare(), store.open(KEY), put(store, b"x"), keys_in(store), store.delete(KEY)):
            error = await failing(operation)
            assert error.detail == "The content store does not grant access."
            shown = "".join(traceback.format_exception(error))
            for hidden in (KEY_ID, "another-secret", seaweedfs.endpoint):
                assert hidden not in shown


async def test_a_quarantine_that_was_interrupted_is_finished_without_a_second_copy(
    seaweedfs: SeaweedFS, store: S3ContentStore
) -> None:
    await put(store, PNG)
    source = {"Bucket": seaweedfs.bucket, "Key": f"here/images/{KEY}"}
    other_client(seaweedfs).copy_object(Bucket=seaweedfs.bucket, Key=f"here/set-aside/{KEY}", CopySource=source)
    await store.move_to_quarantine(KEY)
    assert [item.name for item in await store.list_quarantine()] == [KEY]
    assert not await has(store)


async def test_what_is_too_large_is_refused_before_it_is_sent(store: S3ContentStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield bytes(MIB)
        raise AssertionError("more was asked for")

    assert "larger" in (await failing(store.put(KEY, chunks()))).detail
    assert await keys_in(store) == []


async def test_few_large_contents_are_gathered_at_a_time_and_small_ones_never_wait(store: S3ContentStore) -> None:
    begun = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def large() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        yield b"x"
        begun.release()
        await go_on.wait()

    keys = [ContentKey(f"{number:04}-key") for number in range(MAX_BUFFERS + 4)]
    putting = [asyncio.create_task(store.put(key, large())) for key in keys]
    for _ in range(MAX_BUFFERS):
        await begun.acquire()
    await put(store, bytes(MIB))
    assert begun.locked()
    go_on.set()
    await asyncio.gather(*putting)
    assert await keys_in(store) == [*keys, KEY]


async def test_a_long_listing_comes_whole_and_in_order(store: S3ContentStore) -> None:
    keys = [
        ContentKey(f"{hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()}") for number in range(1_100)
    ]
    for start in range(0, len(keys), 50):
        await asyncio.gather(*(put(store, b"x", key) for key in keys[start : start + 50]))
    assert await keys_in(store) == sorted(keys)


async def test_an_area_and_the_store_around_it_do_not_see_each_other(seaweedfs: SeaweedFS) -> None:
    url = seaweedfs.url("around")
    async with opened(url) as store, opened(url, "uploads") as area:
        await put(store, b"content")
        await put(area, b"upload")
        assert (await read(store), await read(area)) == (b"content", b"upload")
        await store.delete(KEY)
        assert (await keys_in(store), await keys_in(area)) == ([], [KEY])
        await area.delete(KEY)


@pytest.mark.parametrize("size", [10, 5 * MIB])
async def test_an_upload_that_hangs_has_an_end(
    s3_credentials: None, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    async def silent(method: str, path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(s3_client, "_UPLOAD_SECONDS", 0.2)
    monkeypatch.setattr(s3_client, "_UPLOAD_RATE", 50 * MIB)
    async with lying(silent) as url, opened(f"s3://bucket?endpoint={url}") as store:
        start = time.monotonic()
        assert (await failing(put(store, bytes(size)))).detail == "The content store does not answer."
        assert time.monotonic() - start < 5


async def test_closing_waits_for_what_is_running_and_then_for_the_clients_threads(
    s3_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def late(method: str, path: str, writer: asyncio.StreamWriter) -> None:
        is_asked.set()
        await may_answer.wait()
        await answer("200 OK")(method, path, writer)

    monkeypatch.setattr(s3_client, "REST_SECONDS", 0.3)
    async with lying(late) as url:
        store = S3ContentStore(parse_s3_url(f"s3://bucket?endpoint={url}"))
        putting = asyncio.create_task(put(store, PNG))
        await is_asked.wait()
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0.1)
        assert not closing.done()
        start = time.monotonic()
        may_answer.set()
        await closing
        assert time.monotonic() - start >= 0.3
        assert await putting == digest_of(PNG)


async def test_closing_gives_up_what_goes_on_for_too_long(
    s3_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(method: str, path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(s3_client, "CLOSE_SECONDS", 0.2)
    async with lying(silent) as url:
        store = S3ContentStore(parse_s3_url(f"s3://bucket?endpoint={url}"))
        putting = asyncio.create_task(put(store, PNG))
        await asyncio.sleep(0.1)
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await putting


EXIT = """
import asyncio, sys
from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.ports import chunks_of

async def main():
    store = S3ContentStore(parse_s3_url(sys.argv[1]))
    await store.put("0000-key", chunks_of(bytes(3_000_000)))
    async def work(number):
        await store.put(f"{number:04}-key", chunks_of(bytes(300_000)))
        async for chunk in (await store.open("0000-key")).chunks:
            await asyncio.sleep(0)
    tasks = [asyncio.create_task(work(number)) for number in range(20)]
    await asyncio.sleep(0.01 * int(sys.argv[2]))
    for task in tasks:
        task.cancel()
    await store.close()

asyncio.run(main())
"""


def test_a_process_that_ends_with_operations_in_flight_does_not_crash(seaweedfs: SeaweedFS) -> None:
    for number in range(0, 6, 2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", EXIT, seaweedfs.url(), str(number)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_client_is_imported_only_by_what_uses_s3() -> None:
    script = "import sys, pixyproxy.entrypoints.container; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


async def test_the_environment_names_the_server_and_the_region_if_the_url_does_not(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    async with opened("s3://pixyproxy/by-environment") as store:
        assert await put(store, PNG) == digest_of(PNG)
        await store.delete(KEY)
