"""Changing, deleting and tagging images over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DBConnectionError, RecordNotFoundError
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.factories import ImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login
from tests.unit.entrypoints.http.problem_bodies import problem

PUBLIC: dict[str, Any] = {"visibility": "public"}


def create(client: Client, auth: Login = ANN, **fields: Any) -> str:
    response = client.post("/private/image", json={"prompt": "a red fox", **fields}, auth=auth)
    assert response.status_code == 200, response.text
    guid: str = response.json()["guid"]
    return guid


def own(guid: str) -> str:
    return f"/private/image/{guid}"


def change(client: Client, guid: str, changes: Any, *, auth: Login = ANN, if_match: str | None = None) -> Any:
    headers = {} if if_match is None else {"If-Match": if_match}
    return client.patch(own(guid), json=changes, auth=auth, headers=headers)


class TestCreatingWithMore:
    def test_post_image_is_public_unless_told_otherwise(self, client: Client) -> None:
        assert client.post("/image", json={"prompt": "a"}, auth=ANN).json()["visibility"] == "public"
        detail = client.post("/image", json={"prompt": "a", "visibility": "private", "tags": ["x"]}, auth=ANN).json()
        assert detail["visibility"] == "private"
        assert detail["tags"] == ["x"]
        problem(client.get(f"/image/{detail['guid']}"), 404)
        assert client.get(own(detail["guid"]), auth=ANN).status_code == 200

    def test_a_private_image_asked_for_at_post_image_is_located_where_its_author_finds_it(self, client: Client) -> None:
        response = client.post(
            "/image", json={"prompt": "a", "visibility": "private"}, auth=ANN, headers={"Prefer": "respond-async"}
        )

        assert response.status_code == 202
        assert response.headers["Location"] == own(response.json()["guid"])


class TestChanging:
    def test_what_is_named_changes_and_the_rest_stays(self, client: Client) -> None:
        guid = create(client, tags=["draft"])
        before = client.get(own(guid), auth=ANN).json()

        after = change(client, guid, {"tags": ["final", "früh"], "filename": "fox.png"}).json()

        assert {name for name in before if before[name] != after[name]} == {"tags", "filename", "updated_at"}
        assert after["tags"] == ["final", "früh"]
        assert after["filename"] == "fox.png"
        assert client.get(own(guid), auth=ANN).json() == after
        content = client.get(f"{own(guid)}/content", auth=ANN)
        assert 'filename="fox.png"' in content.headers["Content-Disposition"]

    @pytest.mark.parametrize(
        ("asked", "named", "header"),
        [
            ("Лиса.png", "Лиса.png", "filename=\"Lisa.png\"; filename*=UTF-8''%D0%9B%D0%B8%D1%81%D0%B0.png"),
            ("fox.webp", "fox.png", 'filename="fox.png"'),
            ("fox", "fox.png", 'filename="fox.png"'),
            ("fox.exe", "fox.exe.png", 'filename="fox.exe.png"'),
        ],
    )
    def test_a_file_name_may_be_of_any_script_and_has_the_extension_of_its_format(
        self, client: Client, asked: str, named: str, header: str
    ) -> None:
        guid = create(client)

        assert change(client, guid, {"filename": asked}).json()["filename"] == named
        assert client.get(own(guid), auth=ANN).json()["filename"] == named
        content = client.get(f"{own(guid)}/content", auth=ANN)
        assert content.headers["Content-Disposition"] == f"inline; {header}"

    def test_a_stored_name_with_another_extension_is_served_with_the_right_one(
        self, client: Client, container: Container
    ) -> None:
        guid = create(client)

        async def rename() -> None:
            stored = await container.images().get(UUID(guid))
            other = msgspec.structs.replace(stored, filename="fox.webp", version=stored.version + 1)
            await container.images().change(other, expected_version=stored.version)

        asyncio.run(rename())

        for query, expected in (
            ("", "fox.png"),
            ("?width=64&format=jpeg", "fox.jpg"),
            ("?width=64&format=webp", "fox.webp"),
        ):
            response = client.head(f"{own(guid)}/content{query}", auth=ANN)
            assert response.headers["Content-Disposition"] == f'inline; filename="{expected}"'

    def test_null_takes_tags_away_and_gives_the_file_its_own_name_back(self, client: Client) -> None:
        guid = create(client, tags=["draft"])
        before = client.get(own(guid), auth=ANN).json()
        change(client, guid, {"filename": "fox.png"})

        after = change(client, guid, {"tags": None, "filename": None}).json()

        assert after["tags"] == []
        assert after["filename"] == before["filename"]

    def test_an_image_made_private_is_gone_for_others_at_once(self, client: Client) -> None:
        guid = create(client, tags=["fox"], **PUBLIC)
        assert client.get(f"/image/{guid}").status_code == 200

        assert change(client, guid, {"visibility": "private"}).json()["visibility"] == "private"

        for path in (f"/image/{guid}", f"/image/{guid}/content", f"/image/{guid}/events"):
            problem(client.get(path), 404)
            problem(client.get(path, auth=BOB), 404)
        assert client.get("/image").json() == []
        assert client.get("/image?q=fox").json() == []
        assert client.get("/image?tag=fox").json() == []
        assert client.get("/tag").json() == []
        assert change(client, guid, PUBLIC).status_code == 200
        assert client.get(f"/image/{guid}").status_code == 200

    def test_no_details_that_could_be_hidden_later_may_be_used_from_a_cache_without_asking(
        self, client: Client
    ) -> None:
        guid = create(client, **PUBLIC)

        for path in (f"/image/{guid}", "/image", "/tag"):
            assert "no-cache" in client.get(path).headers["Cache-Control"]

    def test_a_lost_update_is_refused(self, client: Client) -> None:
        guid = create(client)
        seen = client.get(own(guid), auth=ANN).headers["ETag"]
        assert client.get(own(guid), auth=ANN).headers["ETag"] == seen
        first = change(client, guid, {"tags": ["first"]}, if_match=seen)
        assert first.status_code == 200
        assert first.headers["ETag"] == client.get(own(guid), auth=ANN).headers["ETag"] != seen

        found = problem(change(client, guid, {"tags": ["second"]}, if_match=seen), 412)

        assert found["type"] == "urn:pixyproxy:problem:precondition-failed"
        assert client.get(own(guid), auth=ANN).json()["tags"] == ["first"]
        assert change(client, guid, {"tags": ["second"]}, if_match=f'"x", {first.headers["ETag"]}').status_code == 200
        assert change(client, guid, {"tags": ["third"]}, if_match="*").status_code == 200
        problem(change(client, guid, {"tags": ["fourth"]}, if_match='W/"4"'), 412)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_a_client_whose_proxy_has_weakened_the_etag_is_told_so(self, client: Client, method: str) -> None:
        guid = create(client)
        seen = client.get(own(guid), auth=ANN).headers["ETag"]
        body: Any = {"tags": ["a"]} if method == "PATCH" else None

        def ask(tag: str, to: str = guid) -> Any:
            return client.request(method, own(to), json=body, auth=ANN, headers={"If-Match": tag})

        detail = problem(ask(f"W/{seen}"), 412)["detail"]
        assert "weak" in detail
        assert f"send {seen}" in detail
        assert "gzip" in detail
        assert "weak" not in problem(ask('"77-0123456789abcdef"'), 412)["detail"]
        problem(ask(f"W/{seen}", str(uuid4())), 404)
        assert ask(f"W/{seen}, {seen}").is_success

    def test_a_change_that_changes_nothing_keeps_the_etag(self, client: Client) -> None:
        guid = create(client, tags=["a"])
        seen = client.get(own(guid), auth=ANN).headers["ETag"]

        assert change(client, guid, {"tags": ["a"]}).headers["ETag"] == seen
        assert change(client, guid, {}).headers["ETag"] == seen

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"tags": ["a", "a"]}, "tags"),
            ({"tags": [" a"]}, "tags[0]"),
            ({"tags": "a"}, "tags"),
            ({"visibility": "secret"}, "visibility"),
            ({"visibility": None}, "visibility"),
            ({"filename": "../a"}, "filename"),
            ({"filename": ""}, "filename"),
            ({"filename": "a\n"}, "filename"),
            ({"filename": "a\r\nSet-Cookie: a"}, "filename"),
            ({"filename": 'a"; x="b'}, "filename"),
            ({"filename": "fox\u202egnp.exe"}, "filename"),
            ({"filename": "ж" * 81}, "filename"),
            ({"filename": "a" * 256}, "filename"),
            ({"prompt": "another"}, "prompt"),
            ([], "body"),
        ],
    )
    def test_what_is_wrong_with_a_change_is_named(self, client: Client, changes: Any, field: str) -> None:
        guid = create(client)

        found = problem(change(client, guid, changes), 400, field)

        assert "maybe_billed" not in found

    def test_a_merge_patch_may_be_called_what_it_is(self, client: Client) -> None:
        guid = create(client)
        patch = b'{"tags": ["a"]}'

        response = client.patch(
            own(guid), content=patch, headers={"Content-Type": "application/merge-patch+json"}, auth=ANN
        )
        assert response.json()["tags"] == ["a"]
        refused = client.patch(own(guid), content=patch, headers={"Content-Type": "text/plain"}, auth=ANN)
        problem(refused, 415)
        assert refused.headers["Accept-Patch"] == "application/merge-patch+json, application/json"

    @pytest.mark.parametrize("header", ["3", '"3', '"1" "2"', ""])
    def test_a_malformed_if_match_is_named(self, client: Client, header: str) -> None:
        problem(change(client, create(client), {"tags": []}, if_match=header), 400, "If-Match")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
class TestWhoMay:
    def ask(self, client: Client, method: str, guid: str, auth: Login | None) -> Any:
        return client.request(method, own(guid), json={"tags": []} if method == "PATCH" else None, auth=auth)

    def test_another_s_private_image_does_not_exist(self, client: Client, method: str) -> None:
        problem(self.ask(client, method, create(client), BOB), 404)

    def test_another_s_public_image_is_not_to_be_touched(self, client: Client, method: str) -> None:
        guid = create(client, **PUBLIC)

        problem(self.ask(client, method, guid, BOB), 403)
        assert client.get(f"/image/{guid}").status_code == 200

    def test_an_unknown_image_does_not_exist(self, client: Client, method: str) -> None:
        problem(self.ask(client, method, str(uuid4()), ANN), 404)

    def test_it_needs_a_login(self, client: Client, method: str) -> None:
        guid = create(client, **PUBLIC)

        problem(self.ask(client, method, guid, None), 401)
        problem(self.ask(client, method, guid, ("ann", "wrong password")), 401)

    def test_a_guid_that_is_none_is_named(self, client: Client, method: str) -> None:
        problem(self.ask(client, method, "1", ANN), 400, "guid")


class TestIfMatchRequired:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(require_if_match=True)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_a_change_without_if_match_is_asked_for_one(self, client: Client, method: str) -> None:
        guid = create(client)
        body: Any = {"tags": []} if method == "PATCH" else None

        problem(client.request(method, own(guid), json=body, auth=ANN), 428)
        allowed = client.request(method, own(guid), json=body, auth=ANN, headers={"If-Match": "*"})
        assert allowed.is_success


class TestDeleting:
    def test_a_deleted_image_is_gone_with_its_bytes(self, client: Client, container: Container) -> None:
        guid = create(client, tags=["fox"], **PUBLIC)

        response = client.delete(own(guid), auth=ANN)

        assert response.status_code == 204
        assert response.content == b""
        for path in (own(guid), f"{own(guid)}/content", f"/image/{guid}", f"/image/{guid}/content"):
            problem(client.get(path, auth=ANN if "private" in path else None), 404)
        assert client.get("/private/image", auth=ANN).json() == []
        assert client.get("/private/tag", auth=ANN).json() == []
        with pytest.raises(ContentNotFoundError):
            asyncio.run(container.contents().open(ContentKey(guid)))
        problem(client.delete(own(guid), auth=ANN), 404)

    def test_an_image_that_has_changed_since_is_not_deleted(self, client: Client) -> None:
        guid = create(client)
        seen = client.get(own(guid), auth=ANN).headers["ETag"]
        change(client, guid, {"tags": ["kept"]})

        problem(client.delete(own(guid), auth=ANN, headers={"If-Match": seen}), 412)
        assert client.get(own(guid), auth=ANN).status_code == 200

    def test_the_key_of_a_deleted_image_buys_no_other(self, client: Client) -> None:
        headers = {"Idempotency-Key": '"k"'}
        guid = client.post("/image", json={"prompt": "a"}, auth=ANN, headers=headers).json()["guid"]
        assert client.delete(own(guid), auth=ANN).status_code == 204

        problem(client.post("/image", json={"prompt": "a"}, auth=ANN, headers=headers), 409)


class FailingContentStore(InMemoryContentStore):
    """Deletes nothing."""

    async def delete(self, key: ContentKey) -> None:
        raise ContentStoreError("The content store can't be written to.")


class TestInterruptedDeletions:
    @pytest.fixture
    def contents(self, container: Container) -> FailingContentStore:
        contents = FailingContentStore()
        container.contents.override(providers.Object(contents))
        return contents

    @pytest.fixture
    def client(self, settings: Settings, container: Container, contents: FailingContentStore) -> Iterator[Client]:
        with Client(create_app(settings, container), raise_server_exceptions=False) as client:
            yield client

    def test_an_image_whose_bytes_can_not_be_deleted_now_is_gone_all_the_same(self, client: Client) -> None:
        guid = create(client)

        assert client.delete(own(guid), auth=ANN).status_code == 204
        problem(client.get(own(guid), auth=ANN), 404)


class TestManyAtOnce:
    def test_each_image_gets_its_result(self, client: Client) -> None:
        mine, bobs = create(client, tags=["draft", "fox"]), create(client, BOB, **PUBLIC)
        unknown = str(uuid4())
        body = {"guids": [mine, bobs, unknown], "add": ["final", "fox"], "remove": ["draft"]}

        response = client.post("/private/image/bulk/tag", json=body, auth=ANN)

        assert response.status_code == 200
        items = response.json()
        assert [item["guid"] for item in items] == body["guids"]
        assert [item["status"] for item in items] == [200, 403, 404]
        assert items[0]["image"]["tags"] == ["fox", "final"]
        assert items[0]["problem"] is None
        assert items[1]["image"] is None
        assert items[1]["problem"]["type"] == "urn:pixyproxy:problem:operation-not-allowed"
        assert client.get(own(mine), auth=ANN).json()["tags"] == ["fox", "final"]

    def test_many_are_published_and_hidden_in_one_request(self, client: Client) -> None:
        guids = [create(client) for _ in range(2)]
        body = {"guids": [*guids, str(uuid4())]}

        for visibility, status in (("public", 200), ("private", 404)):
            changed = client.post("/private/image/bulk/visibility", json=body | {"visibility": visibility}, auth=ANN)

            items = changed.json()
            assert [item["status"] for item in items] == [200, 200, 404]
            assert [item["image"]["visibility"] for item in items[:2]] == [visibility] * 2
            assert {client.get(f"/image/{guid}").status_code for guid in guids} == {status}

    def test_many_are_deleted_in_one_request(self, client: Client) -> None:
        guids = [create(client) for _ in range(3)]
        body = {"guids": [*guids, str(uuid4())]}

        items = client.post("/private/image/bulk/delete", json=body, auth=ANN).json()

        assert [item["status"] for item in items] == [204, 204, 204, 404]
        assert client.get("/private/image", auth=ANN).json() == []

    def test_an_image_with_too_many_tags_says_so_and_the_others_are_tagged(self, client: Client) -> None:
        full, free = create(client, tags=[str(number) for number in range(32)]), create(client)

        items = client.post("/private/image/bulk/tag", json={"guids": [full, free], "add": ["more"]}, auth=ANN).json()

        assert [item["status"] for item in items] == [400, 200]

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("tag", {"guids": []}, "guids"),
            ("tag", {"guids": ["1"]}, "guids[0]"),
            ("tag", {}, "guids"),
            ("tag", {"guids": [str(uuid4())], "add": [" a"]}, "add[0]"),
            ("tag", {"guids": [str(uuid4())], "add": ["a"], "remove": ["a"]}, "add"),
            ("tag", {"guids": [str(uuid4())] * 2, "add": ["a"]}, "guids"),
            ("visibility", {"guids": [str(uuid4())]}, "visibility"),
            ("visibility", {"guids": [str(uuid4())], "visibility": "secret"}, "visibility"),
            ("visibility", {"guids": [], "visibility": "public"}, "guids"),
            ("delete", {"guids": [str(uuid4()) for _ in range(1001)]}, "guids"),
            ("delete", {"guids": [str(uuid4())], "force": True}, "force"),
        ],
    )
    def test_what_is_wrong_with_a_request_as_a_whole_is_named(
        self, client: Client, path: str, body: Any, field: str
    ) -> None:
        found = problem(client.post(f"/private/image/bulk/{path}", json=body, auth=ANN), 400, field)

        assert "maybe_billed" not in found

    @pytest.mark.parametrize("path", ["tag", "visibility", "delete"])
    def test_it_needs_a_login_and_json(self, client: Client, path: str) -> None:
        problem(client.post(f"/private/image/bulk/{path}", json={"guids": [str(uuid4())]}), 401)
        problem(client.post(f"/private/image/bulk/{path}", content=b"a", auth=ANN), 415)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/image", "GET, HEAD, OPTIONS, POST"),
        ("/private/image", "GET, HEAD, OPTIONS, POST"),
        (f"/private/image/{uuid4()}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ],
)
def test_a_resource_names_its_methods(client: Client, path: str, methods: str) -> None:
    response = client.options(path, auth=ANN)

    assert response.status_code == 204
    assert response.headers["Allow"] == methods
    assert ("PATCH" in methods) == ("Accept-Patch" in response.headers)


async def test_an_image_that_becomes_private_while_it_is_watched_is_not_shown(container: Container) -> None:
    image = await container.images().add(ImageFactory.build(author="ann"))
    events = await container.watch_image()(image.guid, ANONYMOUS)
    hidden = image.changed(ImageChanges(visibility=Visibility.PRIVATE), at=image.updated_at)
    await container.images().change(hidden, expected_version=image.version)

    with pytest.raises(RecordNotFoundError):
        await anext(events)


async def test_content_that_is_deleted_while_it_is_asked_for_is_not_found(container: Container) -> None:
    image = await container.images().add(ImageFactory.build(author="ann"))
    contents = VanishingContentStore(
        lambda: container.images().delete(image.guid, expected_version=1, lease_seconds=60)
    )
    container.contents.override(providers.Object(contents))

    with pytest.raises(RecordNotFoundError):
        await container.get_image_content()(image.guid, ANONYMOUS)


async def test_many_images_do_not_wait_for_a_database_that_is_away(container: Container) -> None:
    images = AbsentImageRepository()
    container.images.override(providers.Object(images))
    guids = [uuid4() for _ in range(10)]

    results = await container.delete_images()(guids, Principal(name=UserName("ann")))

    assert [result.guid for result in results] == guids
    assert {type(result.error) for result in results} == {DBConnectionError}
    assert images.asked == 1


class VanishingContentStore(InMemoryContentStore):
    """Finds no content: another process has just deleted it."""

    def __init__(self, delete: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._delete = delete

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        await self._delete()
        return await super().open(key, start=start, end=end)


class AbsentImageRepository(InMemoryImageRepository):
    """Does not answer, and counts how often it was asked."""

    asked = 0

    async def get(self, guid: UUID) -> Image:
        self.asked += 1
        raise DBConnectionError("The database does not answer.")
