"""The database of an earlier release is upgraded by the start of the service, and its clients notice nothing."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.schema_scripts import load_scripts
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
from tests.doubles.service import running_service

RECORDED: dict[str, Any] = json.loads(Path("tests/archives/482b97f/service.json").read_text())
LOGIN = httpx.BasicAuth("ann", "a lighthouse at dusk")

# The number of schema scripts that 482b97f had.
SCRIPTS = {"mysql": 13, "sqlite": 7}

NEW_FIELDS = {"size": None, "quality": None, "background": None, "output_format": None, "batch": None}
NO_OPTIONS = {
    "model": None,
    "size": None,
    "quality": None,
    "background": None,
    "output_format": None,
    "output_compression": None,
    "moderation": None,
    "input_fidelity": None,
    "partial_images": None,
    "extra": None,
}
PRIVATE_FIELDS: dict[str, Any] = {"request": NO_OPTIONS, "references": [], "mask": None, "result": None, "sender": None}


async def fill(database: SQLDatabase) -> None:
    for table, rows in RECORDED["rows"].items():
        for row in rows:
            columns = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            await database.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", row)  # noqa: S608
    # The keys must not have expired.
    await database.execute("UPDATE idempotency_keys SET expires_at = '2037-01-01 00:00:00.000000'")


async def make_sqlite(path: Path) -> None:
    database = SQLiteDatabase(path)
    await database.open()
    await SQLiteSchema(database=database, scripts=load_scripts("sqlite")[: SCRIPTS["sqlite"]]).upgrade()
    await fill(database)
    await database.close()


async def make_mysql(url: str) -> None:
    database = MySQLDatabase(url)
    await database.open()
    await MySQLSchema(database=database, scripts=load_scripts("mysql")[: SCRIPTS["mysql"]]).upgrade()
    await fill(database)
    await database.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    asyncio.run(make_sqlite(tmp_path / "pixyproxy.db"))
    return f"sqlite:///{tmp_path}/pixyproxy.db"


@pytest.fixture
def old_mysql_url(empty_mysql_url: str) -> str:
    asyncio.run(make_mysql(empty_mysql_url))
    return empty_mysql_url


@pytest.fixture(params=["sqlite_url", "old_mysql_url"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """Return a client of the service of this version, on the upgraded database."""
    environment = {
        "PIXYPROXY_DATABASE_URL": request.getfixturevalue(request.param),
        "PIXYPROXY_CONTENT_URL": f"file:{tmp_path}/images",
        "PIXYPROXY_AUTO_UPGRADE": "true",
        "PIXYPROXY_GENERATOR": "sketch",
        "PIXYPROXY_ANONYMOUS_CREATE": "true",
    }
    with running_service(tmp_path, environment) as service, httpx.Client(base_url=service.url) as client:
        yield client


def login_of(recorded: Mapping[str, Any]) -> httpx.Auth:
    return LOGIN if recorded["login"] else httpx.Auth()


def test_its_images_are_listed_read_and_never_bought_again(client: httpx.Client) -> None:
    for key in RECORDED["keys"]:
        expected = {**key["detail"], **NEW_FIELDS}
        path = f"{key['path']}/{expected['guid']}"
        if "private" in path:
            expected |= PRIVATE_FIELDS
        answer = client.get(path, auth=login_of(key))
        assert (answer.status_code, answer.json()) == (200, expected)
        replay = client.post(key["path"], json=key["body"], headers={"Idempotency-Key": key["key"]}, auth=login_of(key))
        assert (replay.status_code, replay.json()) == (200, expected)
    listed = client.get("/image").json() + client.get("/private/image?visibility=private", auth=LOGIN).json()
    assert {image["guid"] for image in listed} == {key["detail"]["guid"] for key in RECORDED["keys"]}


def test_its_cursors_are_followed(client: httpx.Client) -> None:
    for cursor in RECORDED["cursors"]:
        answer = client.get(cursor["next"], auth=login_of(cursor))
        assert (answer.status_code, [image["guid"] for image in answer.json()]) == (200, cursor["guids"])
