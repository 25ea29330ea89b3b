"""`pixyproxy keys`: its output and its exit status."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dependency_injector import providers

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.domain.api_key import APIKey, KeyScope, parse_key_secret
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.user import OPERATOR, UserName
from pixyproxy.entrypoints.cli import main
from pixyproxy.entrypoints.cli.keys import SCOPES, VISIBILITIES
from pixyproxy.entrypoints.cli.schema import run_on_current_schema
from pixyproxy.entrypoints.container import Container
from tests.factories import APIKeyFactory

SECRET = re.compile("pixy_[0-9A-Za-z]{42}")


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


def add(*arguments: str) -> str:
    """Make a key and return its secret."""
    done = run("keys", "add", *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()[-1]


def stored() -> Sequence[APIKey]:
    """Return the stored keys, the oldest first."""
    return run_on_current_schema(lambda container: container.list_keys()(OPERATOR, of_all=True))


def works(secret: str) -> bool:
    """Whether a service that starts now takes the key."""

    async def work(container: Container) -> bool:
        try:
            await container.authenticate_key()(secret)
        except AuthenticationError:
            return False
        return True

    return run_on_current_schema(work)


def rows(*arguments: str) -> list[list[str]]:
    """Return the cells of the listed keys."""
    heading, *lines = run("keys", "list", *arguments).stdout.splitlines()
    assert re.split("  +", heading)[0] == "STATE"
    return [re.split("  +", line) for line in lines]


def test_a_key_stands_alone_on_the_last_line_and_works() -> None:
    done = run("keys", "add", "ann", "--name", "studio")
    *before, secret = done.stdout.splitlines()
    assert SECRET.fullmatch(secret)
    assert not any(SECRET.search(line) for line in before)
    assert "studio" in before[0]
    assert "never expires" in before[0]
    assert done.stderr == ""
    assert works(secret)


def test_a_key_is_made_with_all_that_was_asked_for() -> None:
    add(
        *("ann", "--name", "studio", "--scope", "manage", "--scope", "read", "--expires", "2127-01-31"),
        *("--visibility", "public", "--tag", "fox", "--tag", "日本"),
    )
    (key,) = stored()
    assert (key.user, key.name, key.scopes) == ("ann", "studio", (KeyScope.READ, KeyScope.MANAGE))
    assert (key.visibility, key.tags) == (Visibility.PUBLIC, ("fox", "日本"))
    assert key.expires_at == datetime(2127, 1, 31, tzinfo=UTC)


def test_a_key_reads_and_creates_unless_a_scope_is_named() -> None:
    add("ann", "--name", "studio")
    (key,) = stored()
    assert key.scopes == (KeyScope.READ, KeyScope.CREATE)
    assert (key.visibility, key.tags, key.expires_at) == (None, (), None)


def test_the_choices_are_those_of_the_domain() -> None:
    assert list(SCOPES) == list(KeyScope)
    assert sorted(VISIBILITIES) == sorted(Visibility)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2127-01-31", datetime(2127, 1, 31, tzinfo=UTC)),
        ("2127-01-31T18:00:00Z", datetime(2127, 1, 31, 18, tzinfo=UTC)),
        ("2127-01-31T18:00:00.5+02:00", datetime(2127, 1, 31, 16, 0, 0, 500_000, tzinfo=UTC)),
        ("2127-01-31 18:00:00z", datetime(2127, 1, 31, 18, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_date_or_a_time(text: str, expected: datetime) -> None:
    add("ann", "--name", "studio", "--expires", text)
    assert stored()[0].expires_at == expected


def test_an_expiry_is_a_number_of_days_from_now() -> None:
    before = datetime.now(UTC)
    add("ann", "--name", "studio", "--expires", "90d")
    expires_at = stored()[0].expires_at
    assert expires_at is not None
    assert before <= expires_at - timedelta(days=90) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "d",
        "-1d",
        "1.5d",
        "٣d",
        "9999999d",
        "tomorrow",
        "2127-02-30",
        "2127",
        "31.01.2127",
        "18:00",
        "2127-01-31T18:00:00",
    ],
)
def test_an_expiry_of_another_form_is_refused(text: str) -> None:
    done = run("keys", "add", "ann", "--name", "studio", "--expires", text)
    assert done.exit_code == 2
    assert "'--expires'" in done.stderr
    assert stored() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("stranger", "--name", "studio"), "There is no user with this name."),
        (("a:b", "--name", "studio"), "user must not contain a colon."),
        (("ann", "--name", ""), "name must have 1 to 64 characters, not 0."),
        (("ann", "--name", "x" * 65), "name must have 1 to 64 characters, not 65."),
        (("ann", "--name", "a\nb"), "name must not contain control characters or line breaks."),
        (("ann", "--name", "\x1b[2J"), "name must not contain control characters or line breaks."),
        (("ann", "--name", "studio", "--expires", "2020-01-01"), "expires_at must be in the future."),
        (("ann", "--name", "studio", "--expires", "0d"), "expires_at must be in the future."),
        (("ann", "--name", "studio", "--tag", "a", "--tag", "a"), "tags must not contain duplicates."),
        (("ann", "--name", "studio", "--tag", ""), "tags[0] must have 1 to 64 characters, not 0."),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_1_and_no_key_is_made(arguments: Sequence[str], reason: str) -> None:
    done = run("keys", "add", *arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"Error: {reason}\n")
    assert stored() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("ann",),
        ("--name", "studio"),
        ("ann", "--name", "x", "--scope", "admin"),
        ("ann", "--name", "x", "--scope", "READ"),
    ],
)
def test_a_wrong_use_is_exit_status_2_and_no_key_is_made(arguments: Sequence[str]) -> None:
    assert run("keys", "add", *arguments).exit_code == 2
    assert stored() == []


def test_a_key_of_a_disabled_user_comes_with_a_warning() -> None:
    run("users", "disable", "ann")
    done = run("keys", "add", "ann", "--name", "studio")
    assert done.exit_code == 0
    assert "ann is disabled" in done.stderr
    secret = done.stdout.splitlines()[-1]
    assert not works(secret)
    run("users", "enable", "ann")
    assert works(secret)


def test_keys_are_listed_the_oldest_first_with_their_states_and_without_their_secrets() -> None:
    secrets = [add("ann", "--name", "studio"), add("bob", "--name", "日本 x", "--expires", "2127-01-31")]
    works(secrets[0])
    run("keys", "revoke", secrets[1])
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    first, second = rows()
    keys = stored()
    assert first[:3] == ["active", secrets[0][:10], today]
    assert re.fullmatch(rf"{today} [0-9]{{2}}:[0-9]{{2}}", first[3])
    assert first[4:] == ["never", "read,create", str(keys[0].guid), "ann", "studio"]
    assert second == [
        *("revoked", secrets[1][:10], today, "never", "2127-01-31 00:00", "read,create"),
        *(str(keys[1].guid), "bob", "日本 x"),
    ]
    assert not any(secret in run("keys", "list").output for secret in secrets)


def test_a_list_of_one_user_has_no_other_users_keys() -> None:
    add("ann", "--name", "studio")
    add("bob", "--name", "other")
    assert [row[-1] for row in rows("bob")] == ["other"]


def test_an_expired_key_is_listed_as_such() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    secret = add("ann", "--name", "studio", "--expires", soon.isoformat())
    while works(secret):
        pass
    assert rows()[0][0] == "expired"


def test_the_keys_of_a_disabled_user_are_listed_with_a_hint() -> None:
    add("ann", "--name", "studio")
    run("users", "disable", "ann")
    assert rows()[0][-2] == "ann (disabled)"


def test_without_keys_the_list_is_empty_and_says_so_beside_it() -> None:
    done = run("keys", "list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "There are no API keys.\n")


def test_the_list_of_an_unknown_user_is_exit_status_1() -> None:
    assert run("keys", "list", "stranger").stderr == "Error: There is no user with this name.\n"


@pytest.mark.parametrize("named_by", ["guid", "prefix", "secret"])
def test_a_key_is_revoked_and_no_other(named_by: str) -> None:
    secrets = [add("ann", "--name", "studio"), add("ann", "--name", "other")]
    key = stored()[0]
    done = run("keys", "revoke", {"guid": str(key.guid), "prefix": key.prefix, "secret": secrets[0]}[named_by])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"The API key studio of ann, guid {key.guid}, is revoked.")
    assert [works(secret) for secret in secrets] == [False, True]


def test_revoking_a_key_again_says_since_when_it_is_revoked() -> None:
    secret = add("ann", "--name", "studio")
    run("keys", "revoke", secret)
    (once,) = stored()
    done = run("keys", "revoke", secret)
    assert done.exit_code == 0
    assert "is revoked since 2" in done.stdout
    assert stored() == [once]


def test_a_beginning_that_two_keys_have_is_refused_with_their_guids() -> None:
    made = [APIKeyFactory.build(prefix="pixy_01234", user=UserName("ann")) for _ in range(2)]

    async def store(container: Container) -> None:
        for key in made:
            await container.api_keys().add(key)

    run_on_current_schema(store)
    done = run("keys", "revoke", "pixy_0123")
    assert done.exit_code == 1
    assert "several keys begin with pixy_0123" in done.stderr
    assert all(str(key.guid) in done.stderr for key in made)
    assert [key.revoked_at for key in stored()] == [None, None]


@pytest.mark.parametrize("text", ["pixy_", "", "nonsense", "0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e", "studio"])
def test_what_names_no_key_revokes_none(text: str) -> None:
    secret = add("ann", "--name", "studio")
    done = run("keys", "revoke", text)
    assert (done.exit_code, done.stderr) == (1, "Error: There is no such API key.\n")
    assert works(secret)


def test_all_keys_of_a_user_are_revoked_and_no_others() -> None:
    secrets = [add(user, "--name", "studio") for user in ("ann", "bob", "ann")]
    assert run("keys", "revoke", "--all", "ann").stdout.startswith("2 API key(s) of ann revoked.")
    assert [works(secret) for secret in secrets] == [False, True, False]
    assert run("keys", "revoke", "--all", "ann").stdout.startswith("0 API key(s) of ann revoked.")


def test_all_keys_of_an_unknown_user_are_exit_status_1() -> None:
    done = run("keys", "revoke", "--all", "stranger")
    assert (done.exit_code, done.stderr) == (1, "Error: There is no user with this name.\n")


@pytest.mark.parametrize("arguments", [(), ("pixy_0123", "--all", "ann")])
def test_one_key_or_all_of_a_user_must_be_named(arguments: Sequence[str]) -> None:
    add("ann", "--name", "studio")
    assert run("keys", "revoke", *arguments).exit_code == 2
    assert stored()[0].revoked_at is None


def test_the_keys_of_a_user_work_with_another_password_and_not_while_the_user_is_disabled() -> None:
    secret = add("ann", "--name", "studio")
    run("users", "passwd", "ann", "--password-stdin")
    assert works(secret)
    run("users", "disable", "ann")
    assert not works(secret)
    run("users", "enable", "ann")
    assert works(secret)


def test_a_secret_is_one_that_scanners_know() -> None:
    secret = add("ann", "--name", "studio")
    assert parse_key_secret(secret) == secret
