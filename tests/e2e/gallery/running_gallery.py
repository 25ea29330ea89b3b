"""A service whose gallery is looked at, its users, and their images."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import httpx

from pixyproxy.domain.image import Image, Visibility
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import load_settings
from tests.doubles.large_library import fill_quickly
from tests.doubles.library import DATABASE
from tests.doubles.service import Service

T = TypeVar("T")

PASSWORD: Final = "correct horse battery"
USERS: Final = ("ann", "bob")


class Gallery:
    """A running service, and what tests do with it besides looking at its pages.

    `ann` and `bob` can log in with `PASSWORD`; `administrator` is the login that the first start printed.
    """

    def __init__(self, service: Service, environment: Mapping[str, str]) -> None:
        self.service = service
        self.url = service.url
        self.administrator = service.login
        self._environment = {"PIXYPROXY_DATABASE_URL": f"sqlite:///{service.folder / DATABASE}", **environment}
        for name in USERS:
            self.add_user(name)

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        """Add a user."""
        self.run(lambda container: container.add_user()(name, password))

    def run(self, work: Callable[[Container], Coroutine[Any, Any, T]]) -> T:
        """Do something with the service's database, by the use cases and repositories of a container of its own."""

        async def session() -> T:
            container = Container(settings=load_settings(self._environment))
            database = container.database()
            await database.open()
            try:
                return await work(container)
            finally:
                await database.close()

        # Playwright runs an event loop in this thread.
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(asyncio.run, session()).result()

    def api(self, user: str | None = "ann") -> httpx.Client:
        """Return a client of the API: a user's, the administrator's (`admin`), or one without a login."""
        logins = dict([self.administrator]) if user == self.administrator[0] else {}
        auth = None if user is None else (user, logins.get(user, PASSWORD))
        return httpx.Client(base_url=self.url, auth=auth, timeout=60)

    def create(
        self, prompt: str = "a red fox", user: str = "ann", *, visibility: str = "public", **fields: Any
    ) -> dict[str, Any]:
        """Have an image made, and return what the API tells about it."""
        path = "/image" if visibility == "public" else "/private/image"
        with self.api(user) as client:
            response = client.post(path, json={"prompt": prompt, **fields})
        assert response.is_success, response.text
        created: dict[str, Any] = response.json()
        return created

    def fill(self, count: int, author: str = "ann", *, visibility: str = "public", **options: Any) -> Sequence[Image]:
        """Store ready images without making them, and return them as a list shows them: the newest first.

        Takes the options of `fill_quickly`, and works on SQLite only.
        """
        return fill_quickly(self.service.folder, count, author=author, visibility=Visibility(visibility), **options)

    def empty(self) -> None:
        """Forget all images; no generation may be running."""

        async def delete(container: Container) -> None:
            async with container.database().transaction() as transaction:
                await transaction.execute("DELETE FROM images")

        self.run(delete)
