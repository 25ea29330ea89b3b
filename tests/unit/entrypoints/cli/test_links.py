"""`pixyproxy links`: its output and its exit status."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.entrypoints.cli import main


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")
    return tmp_path / "pixyproxy.db"


def rotate(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["links", "rotate", *arguments])


def accepted(path: Path) -> Sequence[bytes]:
    """Return the keys that verify links."""

    async def read() -> Sequence[bytes]:
        database = SQLiteDatabase(path)
        await database.open()
        try:
            return await database.secrets.accepted("link")
        finally:
            await database.close()

    return asyncio.run(read())


def test_a_rotation_makes_a_new_key_and_keeps_the_one_before(database: Path) -> None:
    rotate()
    [first] = accepted(database)
    done = rotate()
    assert done.exit_code == 0
    assert "still takes the links of the key before" in done.stdout
    second, kept = accepted(database)
    assert second != first
    assert kept == first


def test_a_revoking_rotation_keeps_none(database: Path) -> None:
    rotate()
    before = accepted(database)
    done = rotate("--revoke")
    assert "refuses all earlier links" in done.stdout
    [key] = accepted(database)
    assert key not in before


@pytest.mark.parametrize("arguments", [(), ("--revoke",)])
def test_with_keys_in_the_settings_nothing_is_rotated(
    database: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    rotate()
    before = accepted(database)
    monkeypatch.setenv("PIXYPROXY_LINK_KEYS", "k" * 32)
    done = rotate(*arguments)
    assert done.exit_code == 1
    assert "PIXYPROXY_LINK_KEYS" in done.stderr
    assert accepted(database) == before
