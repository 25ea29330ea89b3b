"""Downloading a selection by a form."""

import io
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import pytest
from httpx import USE_CLIENT_DEFAULT, Response

from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login

PATH = "/gallery/download"


def create(client: Client, auth: Login = ANN) -> dict[str, Any]:
    created: dict[str, Any] = client.post("/private/image", json={"prompt": "a red fox"}, auth=auth).json()
    return created


def download(client: Client, *guids: str, auth: Login | None = ANN, **headers: str) -> Response:
    named = {"Sec-Fetch-Site": "same-origin"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(PATH, data={"guid": guids}, headers=named, auth=auth or USE_CLIENT_DEFAULT)


def page_of(response: Response, status: int) -> str:
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["Cache-Control"] == "no-store"
    return response.text


def test_a_form_is_answered_with_the_zip_as_a_file_to_save(client: Client) -> None:
    images, foreign = [create(client) for _ in range(2)], create(client, BOB)

    response = download(client, *(image["guid"] for image in images), foreign["guid"])

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="pixyproxy-')
    assert response.headers["Content-Length"] == str(len(response.content))
    with ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == [*(image["filename"] for image in images), "missing.txt"]


@pytest.mark.parametrize(
    ("guids", "status", "detail"),
    [
        ([], 400, "guids must be 1 to 1,000, not 0"),
        ([str(uuid4()) for _ in range(1001)], 400, "guids must be 1 to 1,000, not 1,001"),
        ([str(uuid4())] * 2, 400, "guids must not contain duplicates"),
        (["<b>1</b>"], 400, "guid must be the guid of an image"),
        ([str(uuid4())], 404, "There is no such image or page, or it is not yours to see."),
    ],
)
def test_a_refusal_is_a_page_that_says_why(client: Client, guids: list[str], status: int, detail: str) -> None:
    assert f"<p>{detail}</p>" in page_of(download(client, *guids), status)


def test_it_needs_a_login(client: Client) -> None:
    guid = create(client)["guid"]
    page_of(download(client, guid, auth=None), 401)
    page_of(download(client, guid, auth=("ann", "wrong password")), 401)


def test_a_form_of_another_site_is_refused(client: Client) -> None:
    assert download(client, create(client)["guid"], Sec_Fetch_Site="cross-site").status_code == 403


@pytest.mark.parametrize(
    "options", [{"json": {"guids": []}}, {"files": {"guid": b"a"}}, {"content": b"a"}], ids=["JSON", "a file", "bytes"]
)
def test_anything_but_a_form_of_texts_is_refused(client: Client, options: dict[str, Any]) -> None:
    page_of(client.post(PATH, auth=ANN, **options), 415)
