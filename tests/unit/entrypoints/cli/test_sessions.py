"""`pixyproxy sessions`: its output and its exit status, and what `users` does to sessions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dependency_injector import providers

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.application.open_session import OpenedSession
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.schema import run_on_current_schema
from pixyproxy.entrypoints.container import Container


@pytest.fixture(autouse=True)
def _users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PIXYPROXY_DATABASE_URL", f"sqlite:///{tmp_path}/pixyproxy.db")
    monkeypatch.setenv("PIXYPROXY_CONTENT_URL", f"file:{tmp_path}/images")
    with Container.hasher.override(providers.Object(InMemoryPasswordHasher())):
        for name in ("ann", "bob"):
            assert run("users", "add", name, "--password-stdin").exit_code == 0
        yield


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments, input="correct horse\n")


def opened(user: str = "ann") -> OpenedSession:
    """Log a browser in."""
    return run_on_current_schema(lambda container: container.open_session()(user, "correct horse"))


def is_open(session: OpenedSession) -> bool:
    """Whether a service that starts now takes the session."""

    async def work(container: Container) -> bool:
        return await container.find_session()(session.token) is not None

    return run_on_current_schema(work)


def test_the_list_shows_each_session_and_no_token() -> None:
    sessions = [opened("ann"), opened("bob")]
    done = run("sessions", "list")
    heading, *lines = done.stdout.splitlines()
    assert re.split("  +", heading) == ["CREATED", "LAST USED", "EXPIRES", "GUID", "USER"]
    cells = [re.split("  +", line) for line in lines]
    assert [(guid, user) for *_, guid, user in cells] == [
        (str(each.session.guid), each.session.user) for each in sessions
    ]
    assert cells[0][0] == f"{sessions[0].session.created_at:%Y-%m-%d %H:%M}"
    assert not any(each.token in done.output or each.session.digest in done.output for each in sessions)


def test_the_list_of_a_user_has_no_others() -> None:
    opened("ann")
    bobs = opened("bob")
    _, line = run("sessions", "list", "--user", "bob").stdout.splitlines()
    assert str(bobs.session.guid) in line


def test_a_list_without_sessions_says_so() -> None:
    done = run("sessions", "list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "There are no sessions.\n")


def test_an_unknown_user_is_an_error() -> None:
    for command in ("list", "end"):
        done = run("sessions", command, "--user", "stranger")
        assert (done.exit_code, done.stderr) == (1, "Error: There is no user with this name.\n")


def test_sessions_are_ended_by_guid() -> None:
    one, two, kept = opened(), opened(), opened()
    done = run("sessions", "end", str(one.session.guid), str(two.session.guid))
    assert done.stdout == "2 session(s) ended. A running server refuses them within five seconds.\n"
    assert [is_open(each) for each in (one, two, kept)] == [False, False, True]


def test_an_unknown_guid_is_an_error() -> None:
    done = run("sessions", "end", "00000000-0000-4000-8000-000000000000")
    assert (done.exit_code, done.stderr) == (1, "Error: There is no such session.\n")


def test_the_sessions_of_a_user_are_ended() -> None:
    anns, bobs = opened("ann"), opened("bob")
    assert run("sessions", "end", "--user", "ann").stdout.startswith("1 session(s) ended.")
    assert [is_open(anns), is_open(bobs)] == [False, True]


def test_all_sessions_are_ended() -> None:
    sessions = [opened("ann"), opened("bob")]
    assert run("sessions", "end", "--all").stdout.startswith("2 session(s) ended.")
    assert not any(map(is_open, sessions))


@pytest.mark.parametrize(
    "arguments", [(), ("--all", "--user", "ann"), ("00000000-0000-4000-8000-000000000000", "--all"), ("x",)]
)
def test_without_one_choice_nothing_ends(arguments: tuple[str, ...]) -> None:
    session = opened()
    assert run("sessions", "end", *arguments).exit_code == 2
    assert is_open(session)


@pytest.mark.parametrize("command", [("passwd", "ann", "--password-stdin"), ("disable", "ann")])
def test_a_new_password_and_disabling_a_user_end_the_users_sessions(command: tuple[str, ...]) -> None:
    anns, bobs = opened("ann"), opened("bob")
    done = run("users", *command)
    assert done.exit_code == 0
    assert "session" in done.stdout
    assert [is_open(anns), is_open(bobs)] == [False, True]
    run("users", "enable", "ann")
    assert not is_open(anns)
    assert run("sessions", "list", "--user", "ann").stdout == ""


def test_without_the_gallery_no_command_for_users_touches_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    run_on_current_schema(lambda container: container.database().execute("DROP TABLE sessions"))
    monkeypatch.setenv("PIXYPROXY_GALLERY", "off")
    for command in (("passwd", "ann", "--password-stdin"), ("disable", "ann"), ("enable", "ann"), ("list",)):
        assert run("users", *command).exit_code == 0
