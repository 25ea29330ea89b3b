"""`pixyproxy db`, on a new SQLite file."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dependency_injector import providers

from pixyproxy.application.correct_sizes import exchanged
from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import PasswordHash, User, UserName
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.session import run_with_container
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests import odd_pictures
from tests.factories import ImageFactory
from tests.streams import pieces


class Counting(DataUpgrade):
    """Changes three records a batch, nine in all; fails at the batch after `failing_at`."""

    name = "counting"
    summary = "counted {} image(s)"
    failing_at: str | None = None

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        if after == self.failing_at:
            raise DBConnectionError("The database does not answer.")
        return None if after == "9" else UpgradedBatch(str(int(after or 0) + 3), 3)


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counting]]:
    """The one data upgrade that there is, on a database without a schema."""
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")
    with Container.data_upgrades.override(providers.List(providers.Factory(Counting))):
        yield Counting


def db(command: str) -> Result:
    return CliRunner().invoke(main, ["db", command])


def test_an_upgrade_applies_scripts_and_upgrades_records(counting: type[Counting]) -> None:
    assert db("status").exit_code == 1
    first = db("upgrade")
    assert first.exit_code == 0, first.output
    assert "upgraded  counted 9 image(s)" in first.stdout.splitlines()
    assert db("upgrade").stdout == "Nothing to do: the schema is up to date.\n"
    assert db("status").exit_code == 0


def test_an_interrupted_upgrade_goes_on_where_it_was(counting: type[Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "failing_at", "6")
    assert db("upgrade").exit_code == 1
    unfinished = db("status")
    assert unfinished.exit_code == 1
    assert "data upgrades are unfinished (counting)" in unfinished.stderr
    monkeypatch.setattr(counting, "failing_at", None)
    assert "upgraded  counted 3 image(s)" in db("upgrade").stdout.splitlines()
    assert db("status").exit_code == 0


def test_an_upgrade_corrects_the_size_of_turned_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")
    data = odd_pictures.encoded(odd_pictures.gradient(80, 40), "JPEG", exif=b"Exif\0\0" + odd_pictures.exif(6))

    async def store_as_it_lies(container: Container) -> Image:
        await container.schema().upgrade()
        shown = await container.inspector().inspect(StoredContent(len(data), pieces(data)))
        image: Image = await container.images().add(ImageFactory.build(content=exchanged(shown)))
        await container.contents().put(image.content_key, pieces(data))
        return image

    image = run_with_container(store_as_it_lies)
    assert "upgraded  corrected width and height of 1 turned image(s)" in db("upgrade").stdout.splitlines()
    corrected = run_with_container(lambda container: container.images().get(image.guid))
    assert (corrected.content.width, corrected.content.height) == (40, 80)
    assert corrected.version == image.version + 1


def test_tags_of_an_older_version_are_stored_and_changes_by_sql_are_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")

    def sql(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "pixyproxy.db", isolation_level=None)) as connection:
            connection.execute(statement)

    async def store(container: Container) -> Image:
        await container.schema().upgrade()
        image: Image = await container.images().add(ImageFactory.build(tags=(Tag("sea"),)))
        return image

    image = run_with_container(store)
    sql("UPDATE images SET tags = NULL")
    assert "upgraded  the storage of the tags of 1 image(s)" in db("upgrade").stdout.splitlines()
    assert run_with_container(lambda container: container.images().get(image.guid)) == image

    sql("""UPDATE images SET tags = '["lake"]', prompt = 'A lake'""")
    both = ["indexed  the tags of 1 image(s)", "indexed  the words of 1 image(s)"]
    assert db("reindex").stdout.splitlines() == [*both, "indexed  the references of 0 image(s)"]
    lake = ImageFilter(visibility=image.visibility, tags=(Tag("lake"),), search=Search.parse("lake"))
    assert len(run_with_container(lambda container: container.images().list(lake, limit=10))) == 1
    assert all(line.endswith("of 0 image(s)") for line in db("reindex").stdout.splitlines())


def test_users_whose_names_are_the_same_in_nfc_are_reported_and_left_alone(counting: type[Counting]) -> None:
    assert db("upgrade").exit_code == 0
    settings = load_settings(os.environ)

    async def add_twins() -> None:
        async with opened(Container(settings=settings)) as container:
            for name in ("ann", "Zo\u00eb", "Zoe\u0308"):
                user = User(name=UserName(name), password_hash=PasswordHash("$x$"), created_at=datetime.now(UTC))
                await container.users().add(user)

    asyncio.run(add_twins())
    for command in (["db", "upgrade"], ["users", "list"], ["doctor"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        assert "the names of 2 users are equal after normalisation (NFC): 'Zoe\\u0308', 'Zo\\xeb'." in result.stderr
    listed = CliRunner().invoke(main, ["users", "list"]).stdout
    assert [line.split()[-1] for line in listed.splitlines()] == ["Zoe\u0308", "Zo\u00eb", "ann"]
