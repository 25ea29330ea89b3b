"""Sessions on a database that can't be written to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dependency_injector import providers
from httpx import ASGITransport, AsyncClient

from pixyproxy.adapters.memory.password_hasher import InMemoryPasswordHasher
from pixyproxy.domain.ports import Clock
from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
LOGIN = {"name": "ann", "password": "correct horse"}


class Hours(Clock):
    """A clock that is put forward by hand."""

    passed = 0

    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=self.passed)


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def container(tmp_path: Path, hours: Hours) -> Container:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/pixyproxy.db", content_url=f"file:{tmp_path}/images")
    container = Container(settings=settings)
    container.hasher.override(providers.Object(InMemoryPasswordHasher()))
    container.clock.override(providers.Object(hours))
    return container


@asynccontextmanager
async def serving(container: Container) -> AsyncIterator[AsyncClient]:
    """Run the application with a user, Ann, and yield a client that keeps cookies."""
    async with opened(Container(settings=container.settings())) as before:
        await before.schema().upgrade()
    app = create_app(container.settings(), container)
    transport = ASGITransport(app=app)  # type: ignore[arg-type]
    async with app.lifespan(), AsyncClient(transport=transport, base_url="http://testserver") as client:
        await container.add_user()("ann", "correct horse")
        yield client


async def make_read_only(container: Container, *, is_read_only: bool = True) -> None:
    await container.database()._writer.execute(f"PRAGMA query_only = {is_read_only}")


async def test_reading_goes_on_with_an_open_session_and_its_use_is_noted_later(
    container: Container, hours: Hours
) -> None:
    async with serving(container) as client:
        assert (await client.post("/gallery/login", data=LOGIN, headers=SAME_SITE)).status_code == 303
        await make_read_only(container)
        for hours.passed in (0, 1, 2):
            for path in ("/gallery?scope=mine", "/private/image", "/gallery"):
                assert (await client.get(path)).status_code == 200
        (session,) = await container.sessions().list()
        assert session.seen_at == session.created_at
        await make_read_only(container, is_read_only=False)
        hours.passed = 3
        await client.get("/private/image")
        (session,) = await container.sessions().list()
        assert session.seen_at == hours.now()


async def test_the_login_page_says_why_one_can_not_log_in(container: Container) -> None:
    async with serving(container) as client:
        await make_read_only(container)
        answer = await client.post("/gallery/login", data=LOGIN, headers=SAME_SITE)
        assert answer.status_code == 503
        assert "You can’t log in at the moment. The database can&#39;t be written to." in answer.text
        assert 'name="name" value="ann"' in answer.text
        assert "Set-Cookie" not in answer.headers
        wrong = await client.post("/gallery/login", data={**LOGIN, "password": "wrong horse"}, headers=SAME_SITE)
        assert wrong.status_code == 422
