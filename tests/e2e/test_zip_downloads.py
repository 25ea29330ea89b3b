"""The running service, and zips of many images that break off or are read slowly."""

import base64
import http.client
import io
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image as Picture

from pixyproxy.domain.image import Image
from tests.doubles.large_library import fill_quickly
from tests.doubles.library import content_path
from tests.doubles.service import Service, running_service
from tests.e2e.test_slow_readers import broken_off_requests, descriptors, resident_memory, until

PATH = "/private/image/bulk/content"
MIB = 1 << 20
# Together more than the buffers of the kernel and of the service take for a client that does not read.
IMAGES = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), {"PIXYPROXY_SEND_TIMEOUT": "1"}) as service:
        yield service


@pytest.fixture(scope="module")
def images(service: Service) -> Sequence[Image]:
    return store_images(service)


def store_images(service: Service) -> Sequence[Image]:
    """Store large pictures of noise."""
    file = io.BytesIO()
    Picture.frombytes("L", (1024, 1024), os.urandom(MIB)).save(file, "PNG")
    return fill_quickly(service.folder, IMAGES, author=service.login[0], pictures=[file.getvalue()])


@contextmanager
def download(service: Service, images: Sequence[Image]) -> Iterator[http.client.HTTPResponse]:
    """Give the answer, of which no more than the head has been read; leave afterwards."""
    headers = {
        "Authorization": f"Basic {base64.b64encode(':'.join(service.login).encode()).decode()}",
        "Content-Type": "application/json",
    }
    body = json.dumps({"guids": [str(image.guid) for image in images]})
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        connection.request("POST", PATH, body, headers)
        with connection.getresponse() as response:
            assert response.status == 200
            yield response


def test_a_zip_that_is_read_to_its_end_is_whole_and_keeps_the_connection(
    service: Service, images: Sequence[Image]
) -> None:
    with download(service, images) as response:
        data = response.read()
        assert len(data) == int(response.headers["Content-Length"])
        assert not response.will_close
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [image.filename for image in images]


def test_a_client_that_leaves_frees_the_files(service: Service, images: Sequence[Image]) -> None:
    broken_off, before = broken_off_requests(service, PATH), descriptors(service)
    with download(service, images) as response:
        response.read(MIB)
        assert descriptors(service) > before
    until(lambda: broken_off_requests(service, PATH) == broken_off + 1)
    until(lambda: descriptors(service) <= before)
    assert "[error" not in service.output


def test_clients_that_do_not_read_cost_little_memory(service: Service, images: Sequence[Image]) -> None:
    with download(service, images[:1]):
        pass
    before = resident_memory(service)
    with ExitStack() as stack:
        responses = [stack.enter_context(download(service, images)) for _ in range(10)]
        for response in responses:
            response.read(MIB)
        assert resident_memory(service) - before < 32 * MIB


def test_a_slow_reader_is_not_dropped(service: Service, images: Sequence[Image]) -> None:
    with download(service, images) as response:
        for _ in range(40):
            assert response.read(24 * 1024)
            time.sleep(0.1)
        assert len(response.read()) == int(response.headers["Content-Length"]) - 40 * 24 * 1024


def test_a_client_that_stops_reading_is_dropped(service: Service, images: Sequence[Image]) -> None:
    broken_off, before = broken_off_requests(service, PATH), descriptors(service)
    with download(service, images):
        until(lambda: broken_off_requests(service, PATH) > broken_off)
    until(lambda: descriptors(service) <= before)
    assert "connection dropped" in service.output


def test_a_picture_that_is_lost_meanwhile_leaves_no_zip_that_looks_whole(
    service: Service, images: Sequence[Image]
) -> None:
    broken_off = broken_off_requests(service, PATH)
    with download(service, images) as response:
        content_path(service.folder, images[-1]).unlink()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    until(lambda: broken_off_requests(service, PATH) > broken_off)
    assert f"Image {images[-1].guid}: The content is missing." in service.output


def test_a_service_that_is_killed_leaves_no_zip_that_looks_whole(tmp_path: Path) -> None:
    with running_service(tmp_path, {}) as service, download(service, store_images(service)) as response:
        response.read(MIB)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
