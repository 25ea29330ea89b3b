"""Warnings at startup."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.entrypoints.exposure import warnings_of
from pixyproxy.entrypoints.settings import Settings


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that others can reach, which pytest's own can't be."""
    closed = [folder for folder in (tmp_path, *tmp_path.parents) if not folder.stat().st_mode & 0o001]
    for folder in closed:
        folder.chmod(folder.stat().st_mode | 0o001)
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    yield folder
    for folder in closed:
        folder.chmod(folder.stat().st_mode & ~0o001)


def warned(environment: dict[str, str] | None = None, **settings: Any) -> list[str]:
    kept = {"content_url": "file:nowhere", "database_url": "sqlite:///nowhere/x.db"}
    return list(warnings_of(Settings(**{**kept, **settings}), environment or {}))


def test_the_defaults_need_no_warning() -> None:
    assert warned() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_loopback_needs_none(host: str) -> None:
    assert warned(host=host) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pixy.example"])  # noqa: S104 -- what is warned of
def test_listening_beyond_this_machine_needs_a_known_proxy(host: str) -> None:
    (warning,) = warned(host=host)
    assert host in warning
    assert "FORWARDED_ALLOW_IPS" in warning
    assert warned({"FORWARDED_ALLOW_IPS": "192.0.2.7"}, host=host) == []


def test_forwarded_headers_of_any_client_beyond_this_machine_are_warned_of() -> None:
    (warning,) = warned({"FORWARDED_ALLOW_IPS": "*"}, host="::")
    assert "clients can forge the address" in warning
    assert warned({"FORWARDED_ALLOW_IPS": "*"}) == []


@pytest.mark.parametrize(
    ("url", "is_warned_of"),
    [
        ("https://api.example/v1", False),
        ("http://localhost:9000/v1", False),
        ("http://127.0.0.1/v1", False),
        ("http://[::1]:9000/v1", False),
        ("http://api.example/v1", True),
        ("http://10.1.2.3/v1", True),
    ],
)
def test_a_key_that_is_sent_readably_is_warned_of(url: str, is_warned_of: bool) -> None:
    warnings = warned(openai_api_key="sk-very-secret", openai_base_url=url)
    assert any("OPENAI_BASE_URL" in warning for warning in warnings) is is_warned_of
    assert "sk-very-secret" not in str(warnings)
    assert warned(openai_base_url=url) == []


def test_creation_without_a_login_is_warned_of() -> None:
    (warning,) = warned(anonymous_create=True)
    assert warning.startswith("PIXYPROXY_ANONYMOUS_CREATE")


@pytest.mark.parametrize(
    ("mode", "rights"), [(0o604, "read"), (0o602, "write to"), (0o606, "read and write to"), (0o660, None)]
)
def test_a_database_that_others_may_read_or_write_is_named(open_path: Path, mode: int, rights: str | None) -> None:
    file = open_path / "x.db"
    file.touch()
    file.chmod(mode)
    warnings = [warning for warning in warned(database_url=f"sqlite:///{file}") if "database /" in warning]
    assert [f"can {rights} the database {file}:" in warning for warning in warnings] == ([True] if rights else [])


def test_folders_that_others_may_read_are_named(open_path: Path) -> None:
    (open_path / "images").mkdir()
    (open_path / "images").chmod(0o755)
    warnings = warned(database_url=f"sqlite:///{open_path}/x.db", content_url=f"file:{open_path}/images")
    assert [str(open_path) in warning for warning in warnings] == [True, True]


def test_unreachable_folders_are_not_named(open_path: Path) -> None:
    closed = open_path / "closed"
    (closed / "images").mkdir(parents=True)
    (closed / "images").chmod(0o777)
    closed.chmod(0o700)
    assert warned(content_url=f"file:{closed}/images") == []


@pytest.mark.parametrize(
    ("endpoint", "is_named"), [("http://10.0.0.5:9000", True), ("http://127.0.0.1:9000", False), ("https://s3", False)]
)
def test_a_store_that_is_reached_unencrypted_is_named(endpoint: str, is_named: bool) -> None:
    warnings = warned(content_url=f"s3://pictures?endpoint={endpoint}")
    assert any("unencrypted to 10.0.0.5" in warning for warning in warnings) == is_named
    assert not any("content folder" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("delivery", "endpoint", "is_named"),
    [
        ("redirect", "http://10.0.0.5:9000", True),
        ("redirect", "http://localhost:9000", False),
        ("redirect", "https://files.example.org", False),
        ("proxy", "http://10.0.0.5:9000", False),
    ],
)
def test_a_public_address_that_is_reached_unencrypted_is_named(delivery: str, endpoint: str, is_named: bool) -> None:
    url = f"s3://pictures?endpoint=https://s3&public_endpoint={endpoint}"
    warnings = warned(content_url=url, content_delivery=delivery)
    assert any("unencrypted from 10.0.0.5" in warning for warning in warnings) == is_named
