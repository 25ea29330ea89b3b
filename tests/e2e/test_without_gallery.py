"""A service without the gallery leaves sessions alone, even where there is no table of them."""

import sqlite3
from pathlib import Path

import httpx

from tests.doubles.library import DATABASE, fill
from tests.doubles.service import running_service

ANN = ("ann", "correct horse")
COOKIE = {"Cookie": f"pixyproxy={'A' * 43}", "Sec-Fetch-Mode": "cors"}


def test_the_api_works_without_the_table_of_sessions(tmp_path: Path) -> None:
    fill(tmp_path, [], users=dict([ANN]))
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("DROP TABLE sessions")
    # A third of the lease is the pace of housekeeping.
    settings = {"PIXYPROXY_GALLERY": "off", "PIXYPROXY_LEASE": "0.5"}
    with running_service(tmp_path, settings) as service, httpx.Client(base_url=service.url, timeout=30) as client:
        made = client.post("/private/image", json={"prompt": "a fox"}, auth=ANN).raise_for_status().json()
        path = f"/private/image/{made['guid']}"
        key = client.post("/private/key", json={"name": "studio"}, auth=ANN).raise_for_status().json()["key"]
        for headers in ({}, COOKIE):
            assert client.get(path, auth=ANN, headers=headers).is_success
            assert client.get(path, headers=headers | {"Authorization": f"Bearer {key}"}).is_success
            assert client.get("/image", headers=headers).is_success
            refused = client.get(path, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"].startswith("Basic ")
        assert client.post("/image", json={"prompt": "a fox"}, auth=ANN, headers=COOKIE).is_success
        assert client.patch(path, json={"tags": ["fox"]}, auth=ANN).is_success
        assert client.delete(path, auth=ANN).is_success
        for gallery in ("/gallery", "/gallery/login"):
            assert client.get(gallery, headers={"Accept": "text/html"}).status_code == 404
        root = client.get("/", headers={"Accept": "text/html"})
        assert root.headers["Location"] == "/schema"
        service.stop()
        assert "housekeeping failed" not in service.output
        assert "sessions" not in service.output
