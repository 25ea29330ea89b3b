"""Failed starts end with one line that says why; others warn of ambiguous settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.service import clean_environment, free_port, running_service


def start(folder: Path, **environment: str) -> str:
    """Start the service with settings that can't work, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "pixyproxy", "serve", "--port", str(free_port())],
        cwd=folder,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "password" not in done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"OPENAI_API_KEY": "sk-secret", "SSL_CERT_FILE": "/missing.pem"},
            ["No such file or directory", "SSL_CERT_FILE=/missing.pem"],
        ),
        ({"OPENAI_API_KEY": "sk-secret", "ALL_PROXY": "ftp://ann:hunter2@h.example"}, ["Unknown scheme", "ALL_PROXY"]),
        ({"PIXYPROXY_CONTENT_URL": "file:here/images"}, ["here", "Not a directory"]),
        ({"PIXYPROXY_DATABASE_URL": "sqlite:///here/x.db"}, ["here", "Not a directory"]),
        ({"PIXYPROXY_DATABASE_URL": "sqlite:///folder"}, ["folder", "Is a directory"]),
        ({"PIXYPROXY_DATABASE_URL": "sqlite:///here"}, ["here", "not a database"]),
        ({"PIXYPROXY_LOG_FORMAT": "xml"}, ["PIXYPROXY_LOG_FORMAT must be one of console, json."]),
    ],
)
def test_a_start_that_can_not_work_says_why(tmp_path: Path, environment: dict[str, str], said: list[str]) -> None:
    (tmp_path / "here").write_text("A file that is no database, and longer than the head of one. " * 20)
    (tmp_path / "folder").mkdir()
    error = start(tmp_path, **environment)
    assert [text for text in said if text not in error] == []
    assert "hunter2" not in error
    assert "sk-secret" not in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "closed" in start(tmp_path, PIXYPROXY_CONTENT_URL="file:closed/images")


def test_an_exposed_service_is_warned_of_once(tmp_path: Path) -> None:
    environment = {"PIXYPROXY_ANONYMOUS_CREATE": "true", "PIXYPROXY_LOG_FORMAT": "json"}
    with running_service(tmp_path, environment) as service:
        assert service.output.count("PIXYPROXY_ANONYMOUS_CREATE is true") == 1
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o750
