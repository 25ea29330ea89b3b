"""Two containers on one database, as two processes have them: what one changes, the other notices at its next look."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.adapters.sql.database import Parameters, Rows, SQLDatabase
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import OPERATOR
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings
from tests.doubles.seconds import Seconds

LOGIN = ("ann", "correct horse")
GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")


@pytest.fixture
def seconds() -> Seconds:
    return Seconds(1_000.0)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/pixyproxy.db"


@pytest.fixture(params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def processes(url: str, tmp_path: Path, seconds: Seconds) -> AsyncIterator[Sequence[Container]]:
    """Two processes that have the login of Ann in memory."""
    settings = load_settings({"PIXYPROXY_DATABASE_URL": url, "PIXYPROXY_CONTENT_URL": f"file:{tmp_path}/images"})
    processes = []
    async with AsyncExitStack() as stack:
        for _ in range(2):
            container = Container(settings=settings)
            container.hasher.override(providers.Object(InMemoryPasswordHasher()))
            container.access_changes.override(
                providers.Object(AccessChanges(container.access_version(), monotonic=seconds))
            )
            processes.append(await stack.enter_async_context(opened(container)))
        await processes[0].schema().upgrade()
        await processes[0].add_user()(*LOGIN)
        for container in processes:
            await container.authenticate_user()(*LOGIN)
        yield processes


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda container: container.disable_user()("ann"), id="disable"),
        pytest.param(lambda container: container.change_password()("ann", "battery staple"), id="password"),
    ],
)
async def test_a_login_stops_at_once_here_and_elsewhere_at_the_next_look(
    processes: Sequence[Container], seconds: Seconds, change: Callable[[Container], Awaitable[None]]
) -> None:
    here, elsewhere = processes
    await change(here)
    with pytest.raises(AuthenticationError):
        await here.authenticate_user()(*LOGIN)
    seconds.passed += LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await elsewhere.authenticate_user()(*LOGIN)


async def test_a_key_stops_at_once_here_and_elsewhere_at_the_next_look(
    processes: Sequence[Container], seconds: Seconds
) -> None:
    here, elsewhere = processes
    made = await here.create_key()(OPERATOR, name="studio", user="ann")
    for container in processes:
        await container.authenticate_key()(made.secret)
    await here.revoke_key()(made.key.guid, OPERATOR)
    with pytest.raises(AuthenticationError):
        await here.authenticate_key()(made.secret)
    seconds.passed += LOOK_SECONDS
    with pytest.raises(AuthenticationError):
        await elsewhere.authenticate_key()(made.secret)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda container: container.disable_user()("ann"), id="disable"),
        pytest.param(lambda container: container.change_password()("ann", "battery staple"), id="password"),
        pytest.param(lambda container: container.end_sessions()(user="ann"), id="end"),
    ],
)
async def test_a_session_stops_at_once_here_and_elsewhere_at_the_next_look(
    processes: Sequence[Container], seconds: Seconds, change: Callable[[Container], Awaitable[None]]
) -> None:
    here, elsewhere = processes
    opened = await here.open_session()(*LOGIN)
    for container in processes:
        found = await container.find_session()(opened.token)
        assert found is not None
        assert found.session == opened.session
    await change(here)
    assert await here.find_session()(opened.token) is None
    seconds.passed += LOOK_SECONDS
    assert await elsewhere.find_session()(opened.token) is None


async def test_a_session_that_is_deleted_by_sql_stops_after_five_seconds(
    processes: Sequence[Container], seconds: Seconds
) -> None:
    opened = await processes[0].open_session()(*LOGIN)
    for container in processes:
        assert await container.find_session()(opened.token) is not None
    await processes[0].database().execute("DELETE FROM sessions")
    seconds.passed += TRUST_SECONDS
    for container in processes:
        assert await container.find_session()(opened.token) is None


async def test_links_follow_a_rotation_at_the_next_look(processes: Sequence[Container], seconds: Seconds) -> None:
    here, elsewhere = processes
    before = await elsewhere.link_signer().sign(GUID, "", 1)
    await here.rotate_link_key()()
    after = await here.link_signer().sign(GUID, "", 1)
    assert after != before
    seconds.passed += LOOK_SECONDS
    assert await elsewhere.link_signer().sign(GUID, "", 1) == after


async def test_a_change_by_sql_counts_after_five_seconds(processes: Sequence[Container], seconds: Seconds) -> None:
    await processes[0].database().execute("UPDATE users SET is_disabled = TRUE")
    seconds.passed += TRUST_SECONDS
    for container in processes:
        with pytest.raises(AuthenticationError):
            await container.authenticate_user()(*LOGIN)


async def test_all_requests_of_two_seconds_cost_one_query(
    processes: Sequence[Container], seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = processes[0]
    made = await container.create_key()(OPERATOR, name="studio", user="ann")
    await container.authenticate_key()(made.secret)
    await container.link_signer().sign(GUID, "", 1)
    queries = []
    database: SQLDatabase = container.database()
    fetch_all = database.fetch_all

    async def counted(sql: str, parameters: Parameters | None = None) -> Rows:
        queries.append(sql)
        return await fetch_all(sql, parameters)

    monkeypatch.setattr(database, "fetch_all", counted)
    for passed in (LOOK_SECONDS, 0.0, 1.0, 0.999):
        seconds.passed += passed
        for _ in range(50):
            await container.authenticate_user()(*LOGIN)
            await container.authenticate_key()(made.secret)
            await container.link_signer().sign(GUID, "", 1)
    assert queries == ["SELECT value FROM counters WHERE name = :name"]
