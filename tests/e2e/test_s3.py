"""The running service with its content in a bucket of S3."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import httpx2 as httpx
import pytest
from PIL import Image

from tests.doubles.seaweedfs import CREDENTIALS, SECRET, SeaweedFS
from tests.doubles.service import Service, clean_environment, running_service
from tests.e2e.test_uploads import form


@pytest.fixture
def environment(seaweedfs: SeaweedFS) -> dict[str, str]:
    return {"PIXYPROXY_CONTENT_URL": seaweedfs.url(), **CREDENTIALS}


@pytest.fixture
def service(tmp_path: Path, environment: dict[str, str]) -> Iterator[Service]:
    with running_service(tmp_path, environment) as service:
        yield service


def command(service: Service, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pixyproxy", *arguments],
        cwd=service.folder,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_images_live_in_the_bucket_from_their_creation_to_their_deletion(
    service: Service, seaweedfs: SeaweedFS, environment: dict[str, str]
) -> None:
    assert f"S3, pixyproxy/{environment['PIXYPROXY_CONTENT_URL'].split('/')[3].partition('?')[0]}/" in service.output
    with httpx.Client(base_url=service.url, auth=service.login, timeout=30) as client:
        picture = BytesIO()
        Image.new("RGB", (64, 64), "red").save(picture, "PNG")
        headers = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
        made = client.post("/private/image", content=form(picture.getvalue()), headers=headers)
        assert made.status_code == 200, made.text
        image = made.json()
        address = f"/private/image/{image['guid']}"
        whole = client.get(f"{address}/content")
        assert len(whole.content) == image["byte_size"]
        part = client.get(f"{address}/content", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        variant = client.get(f"{address}/content", params={"width": 64, "format": "webp"})
        assert variant.headers["Content-Type"] == "image/webp"
        zipped = client.post("/private/image/bulk/content", json={"guids": [image["guid"], str(uuid4())]})
        with ZipFile(BytesIO(zipped.content)) as archive:
            assert archive.namelist() == [image["filename"], "missing.txt"]
            assert archive.read(image["filename"]) == whole.content
        assert client.get("/health/ready").status_code == 200

        report = command(service, environment, "doctor")
        assert report.returncode == 0, report.stdout + report.stderr

        assert client.delete(address).status_code in {200, 204}
        assert client.get(f"{address}/content").status_code == 404
    assert service.stop() in (0, -signal.SIGTERM)
    assert SECRET not in service.output
    assert not (service.folder / "data" / "images").exists()


def test_a_bucket_that_is_missing_is_named_at_the_start(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["PIXYPROXY_CONTENT_URL"] = environment["PIXYPROXY_CONTENT_URL"].replace("pixyproxy", "no-such-bucket")
    service = Service(tmp_path, environment)
    assert service.process.wait(30) == 1
    assert "The content store's bucket is missing." in service.output
    assert "Traceback" not in service.output
    service.stop()
    service._output.close()
