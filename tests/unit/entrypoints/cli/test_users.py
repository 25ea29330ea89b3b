"""`pixyproxy users`: its output and its exit status."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pixyproxy.entrypoints.cli import main


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")


def users(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["users", *arguments], input="correct horse\n")


def add(*arguments: str) -> None:
    """Add a user."""
    assert users("add", *arguments, "--password-stdin").exit_code == 0


def listed() -> dict[str, tuple[str, str]]:
    """Return for each listed user the state and the role."""
    lines = (re.split("  +", line) for line in users("list").stdout.splitlines())
    return {name: (state, role) for state, role, _, name in lines}


def test_an_administrator_is_added_and_listed_as_one() -> None:
    add("bob")
    added = users("add", "ann", "--admin", "--password-stdin")
    assert added.stdout == "ann can log in now, as an administrator.\n"
    assert listed() == {"ann": ("active", "admin"), "bob": ("active", "user")}


def test_a_user_is_no_administrator_unless_told_so() -> None:
    assert users("add", "bob", "--password-stdin").stdout == "bob can log in now.\n"
    assert listed() == {"bob": ("active", "user")}


def test_a_disabled_user_can_be_enabled_again_and_stays_an_administrator() -> None:
    add("ann", "--admin")
    users("disable", "ann")
    assert listed() == {"ann": ("disabled", "admin")}
    enabled = users("enable", "ann")
    assert enabled.exit_code == 0
    assert "ann can log in again" in enabled.stdout
    assert listed() == {"ann": ("active", "admin")}


def test_enabling_an_unknown_user_is_one_line_and_exit_status_1() -> None:
    done = users("enable", "stranger")
    assert (done.exit_code, done.stderr) == (1, "Error: There is no user with this name.\n")


def test_who_disables_a_user_is_told_that_all_keys_stop_and_who_changes_a_password_that_none_does() -> None:
    add("ann")
    assert "no API key of ann works" in users("disable", "ann").stdout
    assert "the API keys of ann stay valid" in users("passwd", "ann", "--password-stdin").stdout


@pytest.mark.parametrize(("command", "words"), [("disable", "all API keys"), ("passwd", "API keys of NAME stay valid")])
def test_the_help_says_what_becomes_of_the_keys(command: str, words: str) -> None:
    assert words in " ".join(users(command, "--help").stdout.split())
