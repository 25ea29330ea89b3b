"""Files: power cuts, full disks, links, threads, descriptors, memory."""

import asyncio
import errno
import gc
import hashlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from pixyproxy.adapters.filesystem import download
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.filesystem.download import CHUNK_SIZE
from pixyproxy.adapters.filesystem.variants import ATTEMPTS
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.variant import VariantName

KEY = ContentKey("abcdef1e-5d0e-4a39-9f43-5c8d3f6f2b11")
OTHER_KEY = ContentKey("abcdef1e-5d0e-4a39-9f43-5c8d3f6f2b12")
NAME = VariantName("0123456789abcdef-320x-contain-80.webp")
OTHER_NAME = VariantName("0123456789abcdef-320x-contain-80.avif")
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
UNPRIVILEGED_UID = 65_534

Patch = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
async def store(root: Path) -> FilesystemContentStore:
    store = FilesystemContentStore(root)
    await store.prepare()
    return store


async def in_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: FilesystemContentStore, key: ContentKey = KEY) -> bytes:
    return b"".join([chunk async for chunk in (await store.open(key)).chunks])


async def content_of(stored: StoredContent) -> bytes:
    return b"".join([chunk async for chunk in stored.chunks])


async def variant(store: FilesystemContentStore, name: VariantName = NAME) -> bytes:
    return await content_of(await store.open_variant(KEY, name))


async def keys_in(store: FilesystemContentStore) -> list[ContentKey]:
    keys = store.keys()
    return [key async for key in keys]


def place_of(root: Path, key: ContentKey = KEY) -> Path:
    return root / key[:2] / key[2:4] / key


def place_of_variants(root: Path, key: ContentKey = KEY) -> Path:
    return root / "variants" / key[:2] / key[2:4] / key


def variant_file(content: bytes, name: VariantName = NAME) -> str:
    return f"{name}.{hashlib.sha256(content).hexdigest()}"


def entries_below(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def files_below(root: Path) -> list[Path]:
    return [path for path in entries_below(root) if not path.is_dir()]


def path_of(descriptor: int | str) -> str:
    """Return the path on which a descriptor is open."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def open_descriptors() -> list[str]:
    """Return the files that this process holds open."""
    paths = []
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):
            paths.append(path_of(descriptor.name))
    return paths


def descriptors_below(root: Path) -> list[str]:
    return [path for path in open_descriptors() if path.startswith(str(root))]


async def are_closed_below(root: Path) -> bool:
    """Whether no file is open once the worker threads have released their results."""
    for _ in range(200):
        if not descriptors_below(root):
            return True
        await asyncio.sleep(0.005)
    return False


def disappear(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def bytes_of(path: Path) -> bytes:
    assert not path.is_symlink()
    return path.read_bytes()


class Fault:
    """Makes one function of `os` fail with one error, on the nth call and later."""

    def __init__(self, function: Callable[..., Any], code: int, *, after: int = 0) -> None:
        self._function = function
        self._code = code
        self._left = after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._left:
            self._left -= 1
            return self._function(*args, **kwargs)
        raise OSError(self._code, os.strerror(self._code), "/secret/path")


class TestPlace:
    async def test_content_lies_in_a_shard_of_its_key(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"content"))
        assert bytes_of(root / "ab" / "cd" / KEY) == b"content"
        assert files_below(root) == [place_of(root)]

    async def test_a_put_that_failed_leaves_no_file(self, store: FilesystemContentStore, root: Path) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await store.put(KEY, broken())
        assert files_below(root) == []

    async def test_a_check_leaves_no_file(self, store: FilesystemContentStore, root: Path) -> None:
        await store.check()
        assert files_below(root) == []

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "abc",
            ".",
            "..",
            "../../../etc/passwd",
            "/etc/passwd",
            "abcd/../../../x",
            "abcd/efgh",
            "abcd\\efgh",
            "abcd\0",
            "abcd\n",
            ".hidden",
            "-abcd",
            "äbcd",
            "a" * 129,
            "\ud800abc",
        ],
    )
    async def test_a_key_that_is_no_plain_name_is_refused(
        self, store: FilesystemContentStore, tmp_path: Path, key: str
    ) -> None:
        before = entries_below(tmp_path)
        for call in (
            store.put(ContentKey(key), in_chunks(b"x")),
            store.open(ContentKey(key)),
            store.find_variant(ContentKey(key), NAME),
            store.open_variant(ContentKey(key), NAME),
            store.put_variant(ContentKey(key), NAME, in_chunks(b"x")),
            store.delete(ContentKey(key)),
            store.move_to_quarantine(ContentKey(key)),
        ):
            with pytest.raises(ContentStoreError, match="key is malformed"):
                await call
        assert entries_below(tmp_path) == before

    async def test_others_on_the_machine_can_not_read_content(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"content"))
        mode = await asyncio.to_thread(os.stat, place_of(root))
        assert mode.st_mode & 0o007 == 0


class TestLinks:
    """A link at a content's place leads out of the root."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        outside = tmp_path / "outside"
        outside.write_bytes(b"secret")
        return outside

    @pytest.fixture
    async def link(self, store: FilesystemContentStore, root: Path, outside: Path) -> Path:
        await store.put(KEY, in_chunks(b"content"))
        place_of(root).unlink()
        place_of(root).symlink_to(outside)
        return place_of(root)

    @pytest.mark.usefixtures("link")
    async def test_it_is_not_read(self, store: FilesystemContentStore) -> None:
        with pytest.raises(ContentStoreError):
            await read(store)

    async def test_it_is_not_written_through(self, store: FilesystemContentStore, link: Path, outside: Path) -> None:
        await store.put(KEY, in_chunks(b"new"))
        assert bytes_of(outside) == b"secret"
        assert bytes_of(link) == b"new"

    async def test_only_the_link_is_deleted(self, store: FilesystemContentStore, link: Path, outside: Path) -> None:
        await store.delete(KEY)
        assert bytes_of(outside) == b"secret"
        assert not is_there(link)

    async def test_a_folder_in_its_place_is_an_error(self, store: FilesystemContentStore, root: Path) -> None:
        place_of(root).mkdir(parents=True)
        with pytest.raises(ContentStoreError):
            await read(store)
        with pytest.raises(ContentStoreError):
            await store.put(KEY, in_chunks(b"x"))
        assert files_below(root) == []


class TestPowerCut:
    """Content that is visible after a power cut is complete."""

    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
        """The operations on the disk, in order, with paths below the test's own folder."""
        events: list[str] = []

        def name(path: object) -> str:
            relative = Path(str(path)).relative_to(tmp_path)
            return "temporary" if relative.parent.name == "incoming" else str(relative)

        real_fsync, real_replace, real_mkdir = os.fsync, os.replace, os.mkdir

        def fsync(descriptor: int) -> None:
            path = path_of(descriptor)
            size = f" of {os.fstat(descriptor).st_size}" if Path(path).is_file() else ""
            real_fsync(descriptor)
            events.append(f"fsync {name(path)}{size}")

        def replace(source: Any, target: Any) -> None:
            real_replace(source, target)
            events.append(f"move {name(source)} to {name(target)}")

        def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
            real_mkdir(path, *args, **kwargs)
            events.append(f"make {name(path)}")

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(os, "mkdir", mkdir)
        return events

    async def test_the_folders_are_on_the_disk_when_the_store_is_prepared(
        self, tmp_path: Path, events: list[str]
    ) -> None:
        await FilesystemContentStore(tmp_path / "data" / "images").prepare()
        assert events == [
            "make data",
            "fsync .",
            "make data/images",
            "fsync data",
            "make data/images/incoming",
            "fsync data/images",
        ]

    async def test_content_and_folders_are_on_the_disk_before_the_content_is_visible(
        self, store: FilesystemContentStore, events: list[str]
    ) -> None:
        await store.put(KEY, in_chunks(b"one", b"two"))
        assert events == [
            "fsync temporary of 6",
            "make images/ab",
            "fsync images",
            "make images/ab/cd",
            "fsync images/ab",
            f"move temporary to images/ab/cd/{KEY}",
            "fsync images/ab/cd",
        ]

    async def test_folders_that_another_put_may_be_creating_are_synced_again(
        self, store: FilesystemContentStore, events: list[str]
    ) -> None:
        await store.put(KEY, in_chunks(b"one"))
        events.clear()
        await store.put(OTHER_KEY, in_chunks(b"two"))
        assert events == [
            "fsync temporary of 3",
            "fsync images",
            "fsync images/ab",
            f"move temporary to images/ab/cd/{OTHER_KEY}",
            "fsync images/ab/cd",
        ]

    async def test_a_variant_and_its_folders_are_on_the_disk_before_it_is_visible(
        self, store: FilesystemContentStore, events: list[str]
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"one", b"two"))
        assert events == [
            "fsync temporary of 6",
            "make images/variants",
            "fsync images",
            "make images/variants/ab",
            "fsync images/variants",
            "make images/variants/ab/cd",
            "fsync images/variants/ab",
            f"make images/variants/ab/cd/{KEY}",
            "fsync images/variants/ab/cd",
            f"move temporary to images/variants/ab/cd/{KEY}/{variant_file(b'onetwo')}",
            f"fsync images/variants/ab/cd/{KEY}",
        ]

    @pytest.mark.parametrize("syncs_that_work", range(6))
    async def test_a_variant_that_may_not_be_on_the_disk_is_not_shown(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, syncs_that_work: int
    ) -> None:
        monkeypatch.setattr(os, "fsync", Fault(os.fsync, errno.EIO, after=syncs_that_work))
        with pytest.raises(ContentStoreError):
            await store.put_variant(KEY, NAME, in_chunks(b"content"))
        assert files_below(root) == []
        assert not is_there(place_of_variants(root))

    @pytest.mark.parametrize("syncs_that_work", range(4))
    async def test_content_that_may_not_be_on_the_disk_is_not_shown(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, syncs_that_work: int
    ) -> None:
        monkeypatch.setattr(os, "fsync", Fault(os.fsync, errno.EIO, after=syncs_that_work))
        with pytest.raises(ContentStoreError):
            await store.put(KEY, in_chunks(b"content"))
        assert files_below(root) == []

    async def test_a_process_that_dies_half_way_leaves_nothing_visible(self, root: Path) -> None:
        script = f"""
import asyncio, os
from pathlib import Path
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore

async def chunks():
    for _ in range(3):
        yield b"x" * 1000
    os._exit(9)

async def main():
    store = FilesystemContentStore(Path({str(root)!r}))
    await store.prepare()
    await store.put({KEY!r}, chunks())

asyncio.run(main())
"""
        died = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=False)
        assert died.returncode == 9
        [left] = files_below(root)
        assert left.parent == root / "incoming"
        store = FilesystemContentStore(root)
        await store.prepare()
        with pytest.raises(ContentNotFoundError):
            await store.open(KEY)


class Disk(Protocol):
    """A disk with little room."""

    root: Path

    def fill(self, *, leaving: int) -> None:
        """Leave this many bytes of free space."""

    def empty(self) -> None:
        """Make room again."""


class SmallDisk:
    """A real file system of one MiB, in memory."""

    def __init__(self, mount_point: Path) -> None:
        self.root = mount_point / "images"
        self._filler = mount_point / "filler"

    def fill(self, *, leaving: int) -> None:
        status = os.statvfs(self._filler.parent)
        with self._filler.open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, status.f_bavail * status.f_frsize - leaving)

    def empty(self) -> None:
        self._filler.unlink()


class PretendedDisk:
    """Stands in where mounting is not allowed: `os.write` fails as it does on a full disk."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._room: float = float("inf")
        self._write = os.write
        monkeypatch.setattr(os, "write", self._write_with_little_room)

    def fill(self, *, leaving: int) -> None:
        self._room = leaving

    def empty(self) -> None:
        self._room = float("inf")

    def _write_with_little_room(self, descriptor: int, data: Any) -> int:
        if str(self.root) not in path_of(descriptor):
            return self._write(descriptor, data)
        if self._room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: min(len(data), self._room)])
        self._room -= written
        return written


class TestFullDisk:
    @pytest.fixture(params=["real", "pretended"])
    def disk(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
        if request.param == "real" and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
            descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
            # The descriptor alone holds it from now on, so that it goes away with this process, however that ends.
            subprocess.run(["umount", "--lazy", tmp_path], check=True)
            yield SmallDisk(Path(f"/proc/self/fd/{descriptor}"))
            os.close(descriptor)
        else:
            yield PretendedDisk(tmp_path / "images", monkeypatch)

    @pytest.mark.parametrize("leaving", [0, 64 * KIB])
    async def test_content_that_finds_no_room_is_an_error_and_leaves_no_file(self, disk: Disk, leaving: int) -> None:
        store = FilesystemContentStore(disk.root)
        await store.prepare()
        await store.put(OTHER_KEY, in_chunks(b"content"))
        before = sorted(open_descriptors())
        disk.fill(leaving=leaving)
        with pytest.raises(ContentStoreError) as caught:
            await store.put(KEY, in_chunks(*[b"x" * 16 * KIB] * 100))
        assert caught.value.detail == "The content store is full."
        assert files_below(disk.root) == [place_of(disk.root, OTHER_KEY)]
        assert sorted(open_descriptors()) == before
        assert await read(store, OTHER_KEY) == b"content"

    async def test_a_full_disk_does_not_pass_the_check(self, disk: Disk) -> None:
        store = FilesystemContentStore(disk.root)
        await store.prepare()
        await store.check()
        disk.fill(leaving=0)
        with pytest.raises(ContentStoreError, match="full"):
            await store.check()
        assert files_below(disk.root) == []

    async def test_when_there_is_room_again_everything_works(self, disk: Disk) -> None:
        store = FilesystemContentStore(disk.root)
        await store.prepare()
        disk.fill(leaving=0)
        with pytest.raises(ContentStoreError):
            await store.put(KEY, in_chunks(b"content"))
        disk.empty()
        await store.check()
        await store.put(KEY, in_chunks(b"content"))
        assert await read(store) == b"content"


class TestMissingFolder:
    """A volume that is not mounted is an error, and not an empty folder that fills the disk below it."""

    async def test_nothing_is_put_and_nothing_is_created(self, root: Path) -> None:
        store = FilesystemContentStore(root)
        for call in (store.put(KEY, in_chunks(b"x")), store.check()):
            with pytest.raises(ContentStoreError) as caught:
                await call
            assert caught.value.detail == "The content store's folder is missing."
        assert not is_there(root)

    async def test_a_folder_that_disappears_is_not_made_anew(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"x"))
        disappear(root)
        for call in (store.put(OTHER_KEY, in_chunks(b"x")), store.check(), store.open(KEY)):
            with pytest.raises(ContentStoreError):
                await call
        await store.delete(KEY)
        assert not is_there(root)

    async def test_a_folder_that_disappears_during_a_put_is_not_made_anew(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            disappear(root)
            yield b"a content"

        with pytest.raises(ContentStoreError, match="folder is missing"):
            await store.put(KEY, chunks())
        assert not is_there(root)
        assert descriptors_below(root.parent) == []

    async def test_a_file_in_the_place_of_the_folder_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = FilesystemContentStore(tmp_path / "file")
        for call in (store.prepare(), store.put(KEY, in_chunks(b"x")), store.check()):
            with pytest.raises(ContentStoreError):
                await call


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "detail"),
        [
            (errno.ENOSPC, "full"),
            (errno.EDQUOT, "full"),
            (errno.EFBIG, "larger"),
            (errno.EACCES, "access"),
            (errno.EPERM, "access"),
            (errno.EROFS, "read-only"),
            (errno.EMFILE, "too many open files"),
            (errno.ENFILE, "too many open files"),
            (errno.ENOTDIR, "folder is missing"),
            (errno.EIO, "does not work"),
            (errno.ESTALE, "does not work"),
        ],
    )
    @pytest.mark.parametrize("function", ["open", "write", "fsync", "replace", "pread", "fstat", "unlink", "mkdir"])
    async def test_every_error_is_named_without_a_path(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch, function: str, code: int, detail: str
    ) -> None:
        await store.put(OTHER_KEY, in_chunks(b"x"))

        async def delete() -> None:
            await store.delete(OTHER_KEY)

        calls: dict[str, Callable[[], Any]] = {
            "pread": lambda: read(store, OTHER_KEY),
            "fstat": lambda: read(store, OTHER_KEY),
            "unlink": delete,
            "mkdir": lambda: store.put(ContentKey("ffff-no-shard-yet"), in_chunks(b"x")),
        }
        call = calls.get(function, lambda: store.put(KEY, in_chunks(b"x")))
        with monkeypatch.context() as patched:
            patched.setattr(os, function, Fault(getattr(os, function), code))
            # Or nothing would have to be waited for.
            patched.setattr(os, "preadv", Fault(os.preadv, code))
            with pytest.raises(ContentStoreError, match=detail) as caught:
                await call()
        assert "/" not in caught.value.detail
        assert isinstance(caught.value.__cause__, OSError)

    @pytest.fixture
    def without_rights(self, store: FilesystemContentStore, root: Path) -> Iterator[None]:
        """Run the test as a user without rights on the folder."""
        (root / "incoming").chmod(0o500)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(UNPRIVILEGED_UID)
        yield
        if is_root:
            os.seteuid(0)
        (root / "incoming").chmod(0o700)

    @pytest.mark.usefixtures("without_rights")
    async def test_missing_rights_are_an_error(self, store: FilesystemContentStore) -> None:
        for call in (store.put(KEY, in_chunks(b"x")), store.check()):
            with pytest.raises(ContentStoreError) as caught:
                await call
            assert caught.value.detail == "The content store does not grant access."

    async def test_a_disk_that_takes_little_at_once_still_gets_everything(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
            digest = await store.put(KEY, in_chunks(b"0123456789" * 10))
        assert digest.byte_size == 100
        assert await read(store) == b"0123456789" * 10


class TestKeys:
    async def test_only_contents_in_their_own_folder_have_a_key(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        for path in (
            root / "abcd-in-the-root",
            root / "ab" / "abcd-too-high",
            root / "ab" / "cd" / "abce-in-another-folder",
            root / "ab" / "cd" / "abcd.not-a-key",
            root / "ab" / "cd" / ".abcd",
            root / "ab" / "cd" / "ef" / "abcd-too-deep",
            root / "xx" / "cd" / "abcd-in-another-shard",
            root / "incoming" / "inco-upload",
            root / "set-aside" / "set--aside",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (root / "zz").touch()
        (root / "ab" / "ce").touch()
        (root / "ab" / "cd" / "abcd-folder").mkdir()
        (root / "ab" / "cd" / "abcd-link").symlink_to(place_of(root))
        assert await keys_in(store) == [KEY]

    async def test_a_missing_root_is_an_error(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"content"))
        disappear(root)
        with pytest.raises(ContentStoreError, match="folder is missing"):
            await keys_in(store)

    async def test_a_folder_that_can_not_be_listed_is_an_error_without_a_path(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        for number in range(3):
            with monkeypatch.context() as patched:
                patched.setattr(os, "scandir", Fault(os.scandir, errno.EIO, after=number))
                with pytest.raises(ContentStoreError, match="does not work") as caught:
                    await keys_in(store)
            assert "/" not in caught.value.detail

    async def test_a_walk_that_ends_early_leaves_no_descriptor_open(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        keys = store.keys()
        await anext(keys)
        assert descriptors_below(root) == []

    async def test_a_folder_is_listed_when_its_first_key_is_asked_for(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shards = [f"{number:02x}" for number in range(20)]
        for shard in shards:
            for number in range(3):
                await store.put(ContentKey(f"{shard}00-{number}"), in_chunks(b"content"))
        scandir = os.scandir
        listed: list[str] = []

        def spied_scandir(folder: Path) -> Any:
            listed.append(str(folder.relative_to(root)))
            return scandir(folder)

        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", spied_scandir)
            async for key in store.keys():
                assert listed[-1] == f"{key[:2]}/00"
        assert listed == [".", *(path for shard in shards for path in (shard, f"{shard}/00"))]


class TestSettingAside:
    async def test_it_lies_in_a_folder_of_its_own(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"content"))
        await store.move_to_quarantine(KEY)
        assert files_below(root) == [root / "set-aside" / KEY]
        assert bytes_of(root / "set-aside" / KEY) == b"content"

    async def test_nothing_that_was_set_aside_before_is_lost(self, store: FilesystemContentStore, root: Path) -> None:
        contents = [b"one", b"two", b"three"]
        for content in contents:
            await store.put(KEY, in_chunks(content))
            await store.move_to_quarantine(KEY)
        files = files_below(root)
        assert {path.parent for path in files} == {root / "set-aside"}
        assert bytes_of(root / "set-aside" / KEY) == b"one"
        assert sorted(map(bytes_of, files)) == sorted(contents)

    async def test_a_missing_content_leaves_no_file_and_no_folder(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        before = entries_below(root)
        await store.move_to_quarantine(KEY)
        assert entries_below(root) == before

    async def test_content_that_is_removed_meanwhile_leaves_no_file(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", Fault(os.replace, errno.ENOENT))
            await store.move_to_quarantine(KEY)
        assert files_below(root) == [place_of(root)]

    @pytest.mark.parametrize("function", ["replace", "open", "mkdir"])
    async def test_a_content_that_can_not_be_moved_stays(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        with monkeypatch.context() as patched:
            patched.setattr(os, function, Fault(getattr(os, function), errno.EROFS))
            with pytest.raises(ContentStoreError, match="read-only"):
                await store.move_to_quarantine(KEY)
        assert files_below(root) == [place_of(root)]
        assert await read(store) == b"content"

    async def test_both_folders_are_synced_after_the_move(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        fsync, replace = os.fsync, os.replace
        calls: list[str] = []

        def spied_fsync(descriptor: int) -> None:
            calls.append(f"fsync {path_of(descriptor)}")
            fsync(descriptor)

        def spied_replace(source: Path, target: Path) -> None:
            calls.append("replace")
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", spied_fsync)
            patched.setattr(os, "replace", spied_replace)
            await store.move_to_quarantine(KEY)
        assert calls == [
            f"fsync {root}",
            "replace",
            f"fsync {root / 'set-aside'}",
            f"fsync {place_of(root).parent}",
        ]

    async def test_a_malformed_key_is_an_error(self, store: FilesystemContentStore) -> None:
        with pytest.raises(ContentStoreError, match="malformed"):
            await store.move_to_quarantine(ContentKey("../../etc/passwd"))


class TestQuarantine:
    async def test_the_quarantine_keeps_its_folder_name_and_its_files_are_their_owners_alone(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put_quarantined(KEY, in_chunks(b"no picture"))
        assert files_below(root) == [root / "set-aside" / KEY]
        assert stat.S_IMODE((root / "set-aside" / KEY).stat().st_mode) == 0o600

    async def test_orphans_are_listed_with_the_key_that_they_were_uploaded_under(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        for name in (f"{KEY}.0123", "no key"):
            (root / "incoming" / name).write_bytes(b"half a cont")
            await store.quarantine_orphan(name)
        found = [(item.name, item.key) for item in await store.list_quarantine()]
        assert found == [(f"{KEY}.0123", KEY), ("no key", None)]
        await store.delete(KEY)
        assert files_below(root) == [root / "set-aside" / "no key"]

    async def test_only_files_are_listed_and_none_that_belongs_to_a_file_server(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put_quarantined(KEY, in_chunks(b"no picture"))
        aside = root / "set-aside"
        (aside / "folder").mkdir()
        (aside / "@eaDir").mkdir()
        (aside / "link").symlink_to(aside / KEY)
        os.mkfifo(aside / "fifo")
        (aside / ".DS_Store").write_bytes(b"x")
        (aside / f"._{KEY}").write_bytes(b"x")
        assert [item.name for item in await store.list_quarantine()] == [KEY]

    @pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
    async def test_only_files_are_opened(self, store: FilesystemContentStore, root: Path, kind: str) -> None:
        await store.put_quarantined(OTHER_KEY, in_chunks(b"no picture"))
        place_no_file(root / "set-aside" / "odd", kind)
        with pytest.raises(ContentStoreError):
            await asyncio.wait_for(store.open_quarantined("odd"), 5)

    @pytest.mark.parametrize("name", ["", ".", "..", "/", f"../incoming/{KEY}", "sub/file", "/etc/passwd", "a\0b"])
    async def test_nothing_outside_of_it_can_be_opened_or_deleted(
        self, store: FilesystemContentStore, name: str
    ) -> None:
        for call in (store.open_quarantined(name), store.delete_quarantined(name)):
            with pytest.raises(ContentStoreError, match="malformed"):
                await call

    @pytest.mark.parametrize("function", ["replace", "fsync", "write", "mkdir"])
    async def test_a_disk_that_is_full_leaves_nothing(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, function, Fault(getattr(os, function), errno.ENOSPC))
            with pytest.raises(ContentStoreError, match="full"):
                await store.put_quarantined(KEY, in_chunks(b"no picture"))
        assert files_below(root) == []
        await store.put_quarantined(KEY, in_chunks(b"no picture"))
        assert [item.name for item in await store.list_quarantine()] == [KEY]

    async def test_a_temporary_file_that_is_gone_is_no_success(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", Fault(os.replace, errno.ENOENT))
            with pytest.raises(ContentStoreError):
                await store.put_quarantined(KEY, in_chunks(b"no picture"))
        assert files_below(root) == []

    async def test_a_malformed_key_is_an_error(self, store: FilesystemContentStore) -> None:
        with pytest.raises(ContentStoreError, match="malformed"):
            await store.put_quarantined(ContentKey("../../etc/passwd"), in_chunks(b"x"))


def place_no_file(path: Path, kind: str) -> None:
    """Make something in a file's place that is none; a link leads to a file."""
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.with_name("target").write_bytes(b"x")
            path.symlink_to(path.with_name("target"))
        case "folder":
            path.mkdir()
        case _:
            with socket.socket(socket.AF_UNIX) as bound:
                here = Path.cwd()
                os.chdir(path.parent)  # the path of a socket may have 107 bytes
                try:
                    bound.bind(path.name)
                finally:
                    os.chdir(here)


class TestWhatIsNoFile:
    """Links, FIFOs, sockets and folders where a file is expected."""

    @pytest.mark.parametrize("kind", ["fifo", "link", "folder", "socket"])
    async def test_it_is_no_content_and_nothing_waits_for_it(
        self, store: FilesystemContentStore, root: Path, kind: str
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        await read(store)
        place_no_file(place_of(root), kind)
        with pytest.raises(ContentStoreError):
            await asyncio.wait_for(store.open(KEY), 5)
        assert await keys_in(store) == []

    @pytest.mark.parametrize("kind", ["fifo", "link", "folder", "socket"])
    async def test_it_is_no_variant_and_the_variant_can_be_made_anew(
        self, store: FilesystemContentStore, root: Path, kind: str
    ) -> None:
        name = VariantName("320x.webp")
        await store.put_variant(KEY, name, in_chunks(b"variant"))
        (path,) = files_below(root)
        place_no_file(path, kind)
        assert await asyncio.wait_for(store.find_variant(KEY, name), 5) is None
        with pytest.raises(ContentNotFoundError):
            await asyncio.wait_for(store.open_variant(KEY, name), 5)
        await store.put_variant(KEY, name, in_chunks(b"another"))
        stored = await store.open_variant(KEY, name)
        assert b"".join([chunk async for chunk in stored.chunks]) == b"another"

    async def test_folders_of_a_file_server_do_not_keep_variants_from_being_deleted(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put_variant(KEY, VariantName("320x.webp"), in_chunks(b"variant"))
        (path,) = files_below(root)
        (path.parent / "@eaDir" / path.name).mkdir(parents=True)
        (path.parent / "@eaDir" / path.name / "SYNOPHOTO_THUMB_M.jpg").write_bytes(b"x")
        await store.delete(KEY)
        assert files_below(root) == []
        assert not path.parent.exists()


class TestOrphans:
    HOUR = timedelta(hours=1)

    @staticmethod
    def leave(root: Path, name: str, *, hours_ago: float) -> Path:
        path = root / "incoming" / name
        path.write_bytes(b"half a cont")
        then = time.time() - hours_ago * 3600
        os.utime(path, (then, then))
        return path

    async def test_only_files_that_are_untouched_for_so_long_are_orphans(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        self.leave(root, "b.old", hours_ago=2)
        self.leave(root, "a.old", hours_ago=1.1)
        self.leave(root, "c.new", hours_ago=0.9)
        self.leave(root, ".DS_Store", hours_ago=2)
        self.leave(root, "._a.old", hours_ago=2)
        (root / "incoming" / "folder").mkdir()
        os.utime(root / "incoming" / "folder", (0, 0))
        (root / "incoming" / "link").symlink_to(root)
        os.utime(root / "incoming" / "link", (0, 0), follow_symlinks=False)
        assert list(await store.list_orphans(older_than=self.HOUR)) == ["a.old", "b.old"]

    async def test_an_upload_that_is_going_on_is_none(self, store: FilesystemContentStore) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"chunk"
            assert list(await store.list_orphans(older_than=self.HOUR)) == []
            assert len(await store.list_orphans(older_than=-self.HOUR)) == 1

        await store.put(KEY, chunks())

    async def test_an_orphan_that_disappears_while_it_is_checked_is_not_listed(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.leave(root, "a.old", hours_ago=2)
        self.leave(root, "b.old", hours_ago=2)
        lstat = Path.lstat

        def late_lstat(self: Path) -> os.stat_result:
            path.unlink(missing_ok=True)
            return lstat(self)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "lstat", late_lstat)
            assert list(await store.list_orphans(older_than=self.HOUR)) == ["b.old"]

    async def test_an_orphan_is_quarantined_with_its_bytes_and_nothing_else_is(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        self.leave(root, "a.old", hours_ago=2)
        other = self.leave(root, "b.old", hours_ago=2)
        await store.quarantine_orphan("a.old")
        assert files_below(root) == sorted([place_of(root), other, root / "set-aside" / "a.old"])

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "/", "../secret", "sub/file", "/etc/passwd", "a\0b", f"../ab/cd/{KEY}"]
    )
    async def test_nothing_outside_of_incoming_can_be_set_aside(
        self, store: FilesystemContentStore, root: Path, name: str
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        (root / "secret").touch()
        (root / "incoming" / "sub").mkdir()
        (root / "incoming" / "sub" / "file").touch()
        before = entries_below(root)
        with pytest.raises(ContentStoreError, match="malformed"):
            await store.quarantine_orphan(name)
        assert entries_below(root) == before

    async def test_a_link_is_quarantined_and_not_its_target(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put(KEY, in_chunks(b"content"))
        (root / "incoming" / "link").symlink_to(place_of(root))
        await store.quarantine_orphan("link")
        assert files_below(root) == sorted([place_of(root), root / "set-aside" / "link"])

    async def test_a_missing_folder_is_an_error(self, store: FilesystemContentStore, root: Path) -> None:
        disappear(root)
        with pytest.raises(ContentStoreError, match="folder is missing"):
            await store.list_orphans(older_than=self.HOUR)

    async def test_a_folder_can_not_be_set_aside(self, store: FilesystemContentStore, root: Path) -> None:
        (root / "incoming" / "folder").mkdir()
        with pytest.raises(ContentStoreError):
            await store.quarantine_orphan("folder")


class TestDescriptors:
    async def test_puts_and_reads_leave_none_open(self, store: FilesystemContentStore, tmp_path: Path) -> None:
        for _ in range(5):
            await store.put(KEY, in_chunks(b"x" * MIB))
            await read(store)
            await store.check()
        assert await are_closed_below(tmp_path)

    async def test_content_that_is_opened_and_never_read_leaves_none_open(
        self, store: FilesystemContentStore, tmp_path: Path
    ) -> None:
        await store.put(KEY, in_chunks(b"x"))
        stored = await store.open(KEY)
        assert stored.byte_size == 1
        assert descriptors_below(tmp_path) == [str(place_of(tmp_path / "images"))]
        del stored
        assert await are_closed_below(tmp_path)

    async def test_a_folder_that_is_opened_as_content_leaves_none_open(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        place_of(root).mkdir(parents=True)
        with pytest.raises(ContentStoreError):
            await store.open(KEY)
        assert descriptors_below(root) == []

    async def test_a_reader_that_stops_early_leaves_none_open(
        self, store: FilesystemContentStore, tmp_path: Path
    ) -> None:
        await store.put(KEY, in_chunks(b"x" * MIB))
        stored = await store.open(KEY)
        await anext(stored.chunks)
        assert descriptors_below(tmp_path) == [str(place_of(tmp_path / "images"))]
        del stored
        assert await are_closed_below(tmp_path)

    async def test_chunks_and_file_each_hold_it_open(self, store: FilesystemContentStore, tmp_path: Path) -> None:
        await store.put(KEY, in_chunks(b"x" * MIB))
        await store.put_variant(KEY, NAME, in_chunks(b"y" * MIB))
        calls: list[tuple[Callable[[], Awaitable[StoredContent]], str]] = [
            (lambda: store.open(KEY), f"ab/cd/{KEY}"),
            (lambda: store.open_variant(KEY, NAME), f"variants/ab/cd/{KEY}/{variant_file(b'y' * MIB)}"),
        ]
        for open_it, name in calls:
            for _ in range(2):
                stored = await open_it()
                chunks, file = stored.chunks, stored.file
                del stored
                await asyncio.sleep(0)
                assert file is not None
                assert (file.name, path_of(file.fileno())) == (name, str(tmp_path / "images" / name))
                assert descriptors_below(tmp_path) == [str(tmp_path / "images" / name)]
                del file
                assert sum([len(chunk) async for chunk in chunks]) == MIB
                assert descriptors_below(tmp_path) == [str(tmp_path / "images" / name)]
                del chunks
                assert await are_closed_below(tmp_path)

    async def test_variants_leave_none_open(self, store: FilesystemContentStore, tmp_path: Path) -> None:
        for content in (b"one", b"two", b"two"):
            await store.put_variant(KEY, NAME, in_chunks(content))
            await store.find_variant(KEY, NAME)
            await variant(store)
        with pytest.raises(ContentNotFoundError):
            await store.open_variant(KEY, OTHER_NAME)
        await store.delete(KEY)
        assert await are_closed_below(tmp_path)

    async def test_cancelled_readers_leave_none_open(
        self, store: FilesystemContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"x" * 4 * MIB))
        # From memory they would all be done too soon.
        monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
        readers = [asyncio.create_task(read(store)) for _ in range(40)]
        for number, reader in enumerate(readers):
            if number % 4 == 0:
                await asyncio.sleep(0.0005)
            reader.cancel()
        outcomes = await asyncio.gather(*readers, return_exceptions=True)
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        # A traceback holds on to the reader's variables.
        del outcomes, readers, reader
        gc.collect()
        assert await are_closed_below(tmp_path)

    async def test_cancelled_puts_leave_none_open_and_no_file(self, store: FilesystemContentStore, root: Path) -> None:
        keys = [ContentKey(f"{number:04x}-key") for number in range(40)]
        puts = [asyncio.create_task(store.put(key, in_chunks(*[b"x" * 64 * KIB] * 20))) for key in keys]
        for number, running in enumerate(puts):
            if number % 4 == 0:
                await asyncio.sleep(0.0005)
            running.cancel()
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert descriptors_below(root) == []
        assert list((root / "incoming").iterdir()) == []
        for path in files_below(root):
            assert path.stat().st_size == 20 * 64 * KIB


class SlowWrite:
    """Stands in for `os.write` and comes back only when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.events: list[str] = []
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self._root = str(root)
        self._write = os.write
        self._close = os.close
        monkeypatch.setattr(os, "write", self._write_slowly)
        monkeypatch.setattr(os, "close", self._close_and_tell)

    def _is_ours(self, descriptor: int) -> bool:
        return path_of(descriptor).startswith(self._root)

    def _write_slowly(self, descriptor: int, data: bytes) -> int:
        if not self._is_ours(descriptor):
            return self._write(descriptor, data)
        self.events.append("write begins")
        self.has_begun.set()
        self.may_end.wait(10)
        written = self._write(descriptor, data)
        self.events.append("write ends")
        return written

    def _close_and_tell(self, descriptor: int) -> None:
        if self._is_ours(descriptor):
            self.events.append("close")
        self._close(descriptor)


class TestCancellation:
    """A thread can't be cancelled: the file it writes to must stay open until it is done."""

    @pytest.fixture
    def slow_write(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> SlowWrite:
        return SlowWrite(monkeypatch, root)

    async def test_a_put_that_is_cancelled_again_and_again_waits_for_its_thread(
        self, store: FilesystemContentStore, slow_write: SlowWrite, root: Path
    ) -> None:
        running = asyncio.create_task(store.put(KEY, in_chunks(b"content")))
        await asyncio.to_thread(slow_write.has_begun.wait, 10)
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0.01)
        assert not running.done()
        slow_write.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert slow_write.events == ["write begins", "write ends", "close"]
        assert files_below(root) == []

    def test_a_loop_that_shuts_down_waits_for_the_thread_too(self, slow_write: SlowWrite, root: Path) -> None:
        puts: list[asyncio.Task[Any]] = []

        async def main() -> None:
            store = FilesystemContentStore(root)
            await store.prepare()
            puts.append(asyncio.create_task(store.put(KEY, in_chunks(b"content"))))
            await asyncio.to_thread(slow_write.has_begun.wait, 10)
            threading.Timer(0.1, slow_write.may_end.set).start()

        asyncio.run(main())
        assert puts[0].cancelled()
        events = [event for event in slow_write.events if event != "close"] + slow_write.events[-1:]
        assert events == ["write begins", "write ends", "close"]
        assert files_below(root) == []


class TestEventLoop:
    async def test_everything_that_blocks_runs_off_the_loops_thread(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[tuple[str, int]] = []

        def spied(name: str) -> Callable[..., Any]:
            function = getattr(os, name)

            def spy(target: Any, *args: Any, **kwargs: Any) -> Any:
                path = path_of(target) if isinstance(target, int) else os.fspath(target)
                if str(path).startswith(str(root)):
                    calls.append((name, threading.get_ident()))
                return function(target, *args, **kwargs)

            return spy

        names = ["open", "pread", "write", "fsync", "replace", "mkdir", "rmdir", "unlink", "stat", "fstat", "scandir"]
        with monkeypatch.context() as patched:
            for name in [*names, "listdir", "utime"]:
                patched.setattr(os, name, spied(name))
            patched.setattr(os, "preadv", Fault(os.preadv, errno.EAGAIN))
            store = FilesystemContentStore(root)
            await store.prepare()
            await store.put(KEY, in_chunks(b"one", b"two"))
            await read(store)
            await store.check()
            assert await keys_in(store) == [KEY]
            await store.put_variant(KEY, NAME, in_chunks(b"one"))
            await store.put_variant(KEY, NAME, in_chunks(b"two"))
            await variant(store)
            assert [key async for key in store.keys_of_variants()] == [KEY]
            await store.move_to_quarantine(KEY)
            assert await store.find_variant(KEY, OTHER_NAME) is None
            assert list(await store.list_orphans(older_than=timedelta())) == []
            await store.quarantine_orphan("none")
            await store.delete(KEY)
        assert {name for name, _ in calls} == {*names, "listdir", "utime"}
        assert [name for name, thread in calls if thread == threading.get_ident()] == []

    async def test_the_loop_goes_on_while_the_disk_is_slow(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsync = os.fsync
        the_disk_is_busy, the_loop_went_on = threading.Event(), threading.Event()

        def slow_fsync(descriptor: int) -> None:
            the_disk_is_busy.set()
            assert the_loop_went_on.wait(10)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow_fsync)
        running = asyncio.create_task(store.put(KEY, in_chunks(b"content")))
        await asyncio.to_thread(the_disk_is_busy.wait, 10)
        assert not running.done()
        the_loop_went_on.set()
        await running


_preadv = os.preadv


class Reads:
    """Records each read, and whether it might have blocked the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, preadv: Callable[..., int] = _preadv) -> None:
        self.at_once: list[tuple[int, int]] = []
        self.waiting: list[tuple[int, int]] = []
        self._preadv = preadv
        self._pread = os.pread
        monkeypatch.setattr(os, "preadv", self._read_at_once)
        monkeypatch.setattr(os, "pread", self._read_and_wait)

    def _read_at_once(self, descriptor: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        assert flags == os.RWF_NOWAIT
        assert threading.current_thread() is threading.main_thread()
        self.at_once.append((offset, sum(map(len, buffers))))
        return self._preadv(descriptor, buffers, offset, flags)

    def _read_and_wait(self, descriptor: int, length: int, offset: int) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        self.waiting.append((offset, length))
        return self._pread(descriptor, length, offset)


def failing(code: int) -> Callable[..., int]:
    def preadv(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return preadv


def half_of_it(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
    """Read as if only the first half were in memory."""
    return _preadv(descriptor, [memoryview(buffers[0])[: len(buffers[0]) // 2]], offset, flags)


def all_of_it(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
    """Read as if everything were in memory."""
    return _preadv(descriptor, buffers, offset)


def can_tell_what_is_in_memory(path: Path) -> bool:
    """Whether the file system knows RWF_NOWAIT; tmpfs doesn't."""
    with path.open("rb") as file:
        try:
            _preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def is_taken_out_of_memory(path: Path) -> bool:
    """Drop a file from the page cache, and return whether that worked."""
    descriptor = os.open(path, os.O_RDONLY)
    last_byte = os.fstat(descriptor).st_size - 1
    try:
        for _ in range(100):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(descriptor, [bytearray(1)], last_byte, os.RWF_NOWAIT)
            except BlockingIOError:
                return True
            except OSError:
                return False
            time.sleep(0.01)
    finally:
        os.close(descriptor)
    return False


async def receive(stored: StoredContent, received: list[bytes]) -> None:
    async for chunk in stored.chunks:
        received.append(chunk)  # noqa: PERF401 -- what came before an error is wanted too


class TestReading:
    CONTENT = os.urandom(2 * CHUNK_SIZE + 1_000)
    RANGES = ((0, None), (5, 10), (CHUNK_SIZE - 1, CHUNK_SIZE + 1), (7, CHUNK_SIZE + 8), (2 * CHUNK_SIZE, None), (9, 9))

    @pytest.mark.parametrize("preadv", [_preadv, all_of_it], ids=["this file system", "any file system"])
    async def test_bytes_in_memory_are_read_without_a_thread(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, preadv: Callable[..., int]
    ) -> None:
        await store.put(KEY, in_chunks(self.CONTENT))
        if preadv is _preadv and not can_tell_what_is_in_memory(place_of(root)):
            pytest.skip("This file system can't tell what is in memory.")
        reads = Reads(monkeypatch, preadv=preadv)
        for start, end in self.RANGES:
            assert await content_of(await store.open(KEY, start=start, end=end)) == self.CONTENT[start:end]
        assert reads.waiting == []

    @pytest.mark.parametrize(
        "preadv",
        [*map(failing, (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO)), half_of_it],
        ids=["EAGAIN", "EOPNOTSUPP", "EINVAL", "EIO", "short"],
    )
    async def test_all_others_are_read_whole_in_a_thread(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch, preadv: Callable[..., int]
    ) -> None:
        await store.put(KEY, in_chunks(self.CONTENT))
        reads = Reads(monkeypatch, preadv=preadv)
        for start, end in self.RANGES:
            assert await content_of(await store.open(KEY, start=start, end=end)) == self.CONTENT[start:end]
        assert reads.waiting == reads.at_once != []

    async def test_where_no_read_can_be_told_not_to_wait_all_are_done_in_a_thread(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(self.CONTENT))
        reads = Reads(monkeypatch)
        monkeypatch.setattr(download, "_NO_WAITING", 0)
        assert await read(store) == self.CONTENT
        assert (reads.at_once, len(reads.waiting)) == ([], 3)

    async def test_a_file_that_is_not_in_memory_is_read_in_a_thread(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(*[self.CONTENT] * 16))
        if not is_taken_out_of_memory(place_of(root)):
            pytest.skip("This file system keeps files in memory.")
        reads = Reads(monkeypatch)
        assert await read(store) == self.CONTENT * 16
        assert reads.waiting != []

    async def test_a_disk_that_gives_little_at_once_still_gives_everything(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"0123456789" * 100))
        pread = os.pread
        monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
        monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: pread(descriptor, min(length, 7), offset))
        chunks = [chunk async for chunk in (await store.open(KEY, start=3)).chunks]
        assert chunks == [(b"0123456789" * 100)[3:]]

    async def test_only_the_range_is_read(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b""))
        with place_of(root).open("r+b") as file:
            file.truncate(GIB)
            file.seek(GIB - 700_000)
            file.write(self.CONTENT)
        reads = Reads(monkeypatch)
        start, end = GIB - 700_000, GIB - 700_000 + len(self.CONTENT)
        tracemalloc.start()
        try:
            stored = await store.open(KEY, start=start, end=end)
            assert await content_of(stored) == self.CONTENT
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert stored.byte_size == GIB
        assert peak < 4 * len(self.CONTENT)
        assert reads.at_once == [
            (start, CHUNK_SIZE),
            (start + CHUNK_SIZE, CHUNK_SIZE),
            (start + 2 * CHUNK_SIZE, end - start - 2 * CHUNK_SIZE),
        ]
        assert set(reads.waiting) <= set(reads.at_once)

    @pytest.mark.parametrize("is_in_memory", [True, False])
    @pytest.mark.parametrize("left", [0, 100, CHUNK_SIZE, CHUNK_SIZE + 100, 2 * CHUNK_SIZE + 999])
    async def test_a_file_that_becomes_shorter_is_an_error_and_no_end(
        self,
        store: FilesystemContentStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_in_memory: bool,
        left: int,
    ) -> None:
        await store.put(KEY, in_chunks(self.CONTENT))
        if not is_in_memory:
            monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
        whole, early = await store.open(KEY), await store.open(KEY, end=left)
        os.truncate(place_of(root), left)
        received: list[bytes] = []
        with pytest.raises(ContentStoreError, match=r"breaks off before its end\."):
            await receive(whole, received)
        assert b"".join(received) == self.CONTENT[: left // CHUNK_SIZE * CHUNK_SIZE]
        assert await content_of(early) == self.CONTENT[:left]

    async def test_others_have_their_turn_while_a_long_content_is_taken_from_memory(
        self, store: FilesystemContentStore
    ) -> None:
        await store.put(KEY, in_chunks(b"x" * 20 * CHUNK_SIZE))
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        stored = await store.open(KEY)
        others = asyncio.create_task(take_turns())
        await content_of(stored)
        others.cancel()
        assert turns >= 19

    async def test_the_loop_goes_on_while_a_read_waits(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        pread = os.pread
        the_disk_is_busy, the_loop_went_on = threading.Event(), threading.Event()

        def slow_pread(*args: Any) -> bytes:
            the_disk_is_busy.set()
            assert the_loop_went_on.wait(10)
            return pread(*args)

        monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
        monkeypatch.setattr(os, "pread", slow_pread)
        running = asyncio.create_task(read(store))
        await asyncio.to_thread(the_disk_is_busy.wait, 10)
        assert not running.done()
        the_loop_went_on.set()
        assert await running == b"content"

    async def test_a_reader_that_is_cancelled_waits_for_no_disk_and_closes_nothing_that_is_read(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        pread = os.pread
        the_disk_is_busy, may_go_on, is_over = threading.Event(), threading.Event(), threading.Event()
        outcome: list[bytes | OSError] = []

        def slow_pread(*args: Any) -> bytes:
            the_disk_is_busy.set()
            may_go_on.wait(10)
            try:
                outcome.append(pread(*args))
            except OSError as exc:
                outcome.append(exc)
            is_over.set()
            return b"content"

        monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
        monkeypatch.setattr(os, "pread", slow_pread)
        running = asyncio.create_task(read(store))
        await asyncio.to_thread(the_disk_is_busy.wait, 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        del running
        gc.collect()
        may_go_on.set()
        await asyncio.to_thread(is_over.wait, 10)
        assert outcome == [b"content"]
        gc.collect()
        assert await are_closed_below(root)


class TestOpening:
    """A file that was opened a short time ago is opened again, without a thread."""

    @pytest.fixture
    def threads(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> list[bool]:
        """For each file of the store that is opened for reading: whether a worker thread does it."""
        threads: list[bool] = []
        real_open = os.open

        def spied_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if str(path).startswith(str(root)) and flags & os.O_NOFOLLOW and not flags & os.O_DIRECTORY:
                threads.append(threading.current_thread() is not threading.main_thread())
            return real_open(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", spied_open)
        return threads

    async def test_the_first_time_takes_a_thread(self, store: FilesystemContentStore, threads: list[bool]) -> None:
        await store.put(KEY, in_chunks(b"content"))
        await store.put(OTHER_KEY, in_chunks(b"other"))
        assert [await read(store) for _ in range(3)] == [b"content"] * 3
        assert await read(store, OTHER_KEY) == b"other"
        assert threads == [True, False, False, True]

    async def test_after_a_minute_it_takes_a_thread_again(
        self, store: FilesystemContentStore, threads: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        now = 1_000.0
        monkeypatch.setattr(download, "monotonic", lambda: now)
        for seconds in (0, 59.9, 59.9, 60, 59.9):
            now += seconds
            await read(store)
        assert threads == [True, False, False, True, False]

    async def test_the_number_of_remembered_names_is_limited(
        self, store: FilesystemContentStore, threads: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [ContentKey(f"abcd-{number}") for number in range(3)]
        for key in keys:
            await store.put(key, in_chunks(b"content"))
        monkeypatch.setattr(download, "RECENT_MAX_COUNT", 2)
        for number in (0, 1, 0, 2, 0, 1):
            await read(store, keys[number])
        assert threads == [True, True, False, True, False, True]

    async def test_a_content_that_is_not_there_is_not_remembered(
        self, store: FilesystemContentStore, threads: list[bool]
    ) -> None:
        for _ in range(2):
            with pytest.raises(ContentNotFoundError):
                await read(store)
        assert threads == [True, True]

    async def test_nothing_old_is_read(self, store: FilesystemContentStore, root: Path) -> None:
        other_process = FilesystemContentStore(root)
        for content in (b"one", b"two", b"three"):
            await other_process.put(KEY, in_chunks(content))
            await other_process.put_variant(KEY, NAME, in_chunks(content))
            assert [await read(store), await variant(store)] == [content, content]
            digest = await store.find_variant(KEY, NAME)
            assert digest is not None
            assert digest.sha256 == hashlib.sha256(content).hexdigest()
        await other_process.delete(KEY)
        for call in (store.open(KEY), store.open_variant(KEY, NAME)):
            with pytest.raises(ContentNotFoundError):
                await call
        assert await store.find_variant(KEY, NAME) is None

    async def test_a_variant_that_was_found_is_opened_without_a_thread(
        self, store: FilesystemContentStore, threads: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        await store.find_variant(KEY, NAME)
        monkeypatch.setattr(os, "listdir", Fault(os.listdir, errno.EIO))
        for _ in range(2):
            assert await variant(store) == b"variant"
            assert await store.find_variant(KEY, NAME) is not None
        assert threads == [False, False]


class TestVariants:
    async def test_a_variant_lies_in_the_folder_of_its_key_under_its_name_and_digest(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        digest = hashlib.sha256(b"variant").hexdigest()
        assert files_below(root) == [root / "variants" / "ab" / "cd" / KEY / f"{NAME}.{digest}"]
        assert bytes_of(files_below(root)[0]) == b"variant"
        mode = await asyncio.to_thread(os.stat, files_below(root)[0])
        assert mode.st_mode & 0o007 == 0

    async def test_the_longest_name_fits(self, store: FilesystemContentStore) -> None:
        name = VariantName("a" * 128)
        await store.put_variant(ContentKey("a" * 128), name, in_chunks(b"variant"))
        assert await content_of(await store.open_variant(ContentKey("a" * 128), name)) == b"variant"

    async def test_one_file_is_left_of_a_variant_that_was_put_again(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        for content in (b"one", b"two", b"two", b"one"):
            await store.put_variant(KEY, NAME, in_chunks(content))
            assert files_below(root) == [place_of_variants(root) / variant_file(content)]

    async def test_one_file_is_left_of_many_puts_at_once(self, root: Path) -> None:
        stores = [FilesystemContentStore(root) for _ in range(3)]
        await stores[0].prepare()
        for _ in range(10):
            contents = [os.urandom(8) for _ in range(9)]
            await asyncio.gather(
                *(stores[i % 3].put_variant(KEY, NAME, in_chunks(content)) for i, content in enumerate(contents))
            )
            (file,) = files_below(root)
            assert file.name in {variant_file(content) for content in contents}

    async def test_a_clock_that_is_put_back_changes_nothing(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"old"))
        tomorrow = time.time() + 86_400
        os.utime(place_of_variants(root) / variant_file(b"old"), (tomorrow, tomorrow))
        await store.put_variant(KEY, NAME, in_chunks(b"new"))
        assert await variant(store) == b"new"
        assert files_below(root) == [place_of_variants(root) / variant_file(b"new")]

    async def test_of_several_files_that_a_crash_left_the_last_one_counts_until_the_next_put(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"second"))
        first, third = (place_of_variants(root) / variant_file(content) for content in (b"first", b"third"))
        first.write_bytes(b"first")
        os.utime(first, (1, 1))
        assert await variant(store) == b"second"
        third.write_bytes(b"third")
        later = time.time() + 1
        os.utime(third, (later, later))
        assert await variant(FilesystemContentStore(root)) == b"third"
        await store.put_variant(KEY, NAME, in_chunks(b"fourth"))
        assert files_below(root) == [place_of_variants(root) / variant_file(b"fourth")]

    async def test_an_old_file_that_can_not_be_removed_does_not_count(
        self, store: FilesystemContentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"old"))
        unlink = os.unlink

        def stubborn(path: Any, **kwargs: Any) -> None:
            if str(path).endswith(variant_file(b"old")):
                raise PermissionError(errno.EPERM, "stubborn")
            unlink(path, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", stubborn)
            await store.put_variant(KEY, NAME, in_chunks(b"new"))
        assert await variant(store) == b"new"

    async def test_other_files_are_no_variants_and_are_deleted_with_them(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        folder = place_of_variants(root)
        folder.mkdir(parents=True)
        digest = hashlib.sha256().hexdigest()
        for name in (NAME, f"{NAME}.", f"{NAME}.{digest[1:]}", f"{NAME}.{digest}0", f"{NAME}.{digest.upper()}", "x\n"):
            (folder / name).touch()
        assert await store.find_variant(KEY, NAME) is None
        with pytest.raises(ContentNotFoundError):
            await store.open_variant(KEY, NAME)
        await store.delete(KEY)
        assert not is_there(folder)

    async def test_only_folders_in_their_own_folder_have_a_key(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        for path in (
            root / "variants" / "abcd-too-high",
            root / "variants" / "ab" / "abcd-too-high",
            root / "variants" / "ab" / "cd" / "abce-in-another-folder",
            root / "variants" / "ab" / "cd" / "abcd.not-a-key",
        ):
            path.mkdir()
        (root / "variants" / "ab" / "cd" / "abcd-file").touch()
        (root / "variants" / "ab" / "cd" / "abcd-link").symlink_to(root)
        assert [key async for key in store.keys_of_variants()] == [KEY]
        assert await keys_in(store) == []

    async def test_a_folder_that_a_crash_left_empty_is_listed_and_removed(
        self, store: FilesystemContentStore, root: Path
    ) -> None:
        place_of_variants(root).mkdir(parents=True)
        assert [key async for key in store.keys_of_variants()] == [KEY]
        assert await store.find_variant(KEY, NAME) is None
        await store.move_to_quarantine(KEY)
        assert [key async for key in store.keys_of_variants()] == []

    async def test_a_missing_root_is_an_error(self, store: FilesystemContentStore, root: Path) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        disappear(root)
        with pytest.raises(ContentStoreError, match="folder is missing"):
            assert [key async for key in store.keys_of_variants()] == []
        with pytest.raises(ContentStoreError, match="folder is missing"):
            await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        assert not is_there(root)

    async def test_a_link_in_its_place_is_not_followed(
        self, store: FilesystemContentStore, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").write_bytes(b"secret")
        place_of_variants(root).mkdir(parents=True)
        (place_of_variants(root) / variant_file(b"secret")).symlink_to(tmp_path / "outside")
        with pytest.raises(ContentStoreError):
            await store.open_variant(KEY, NAME)
        await store.delete(KEY)
        assert bytes_of(tmp_path / "outside") == b"secret"
        assert not is_there(place_of_variants(root))

    async def test_a_link_in_the_place_of_their_folder_is_not_emptied(
        self, store: FilesystemContentStore, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_bytes(b"secret")
        place_of_variants(root).parent.mkdir(parents=True)
        place_of_variants(root).symlink_to(tmp_path / "outside")
        with pytest.raises(ContentStoreError):
            await store.delete(KEY)
        assert bytes_of(tmp_path / "outside" / "file") == b"secret"

    async def test_a_folder_that_is_removed_during_a_put_is_made_again(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace, times = os.replace, iter(range(3))

        def late_replace(source: Any, target: Any) -> None:
            if next(times, None) is not None:
                place_of_variants(root).rmdir()
            replace(source, target)

        monkeypatch.setattr(os, "replace", late_replace)
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        assert await variant(store) == b"variant"

    async def test_a_folder_that_is_removed_each_time_is_an_error(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        times = 0

        def no_replace(*_: object) -> None:
            nonlocal times
            times += 1
            raise FileNotFoundError(errno.ENOENT, "gone")

        monkeypatch.setattr(os, "replace", no_replace)
        with pytest.raises(ContentStoreError, match="folder is missing"):
            await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        assert times == ATTEMPTS
        assert files_below(root) == []

    async def test_a_variant_that_is_deleted_as_soon_as_it_is_there_was_put(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = os.replace

        def replace_and_lose(source: Any, target: Path) -> None:
            replace(source, target)
            target.unlink()
            target.parent.rmdir()

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace_and_lose)
            await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        assert files_below(root) == []
        assert await store.find_variant(KEY, NAME) is None

    @pytest.mark.parametrize("times", [1, ATTEMPTS - 1, ATTEMPTS])
    async def test_a_deletion_includes_variants_that_are_put_meanwhile(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        await store.put(KEY, in_chunks(b"content"))
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        rmdir, left = os.rmdir, iter(range(times))

        def late_rmdir(path: Any) -> None:
            if next(left, None) is not None:
                (place_of_variants(root) / "late").touch()
            rmdir(path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "rmdir", late_rmdir)
            if times == ATTEMPTS:
                with pytest.raises(ContentStoreError):
                    await store.delete(KEY)
                # The caller deletes again.
            await store.delete(KEY)
        assert not is_there(place_of_variants(root))
        assert files_below(root) == []

    async def test_a_deletion_that_breaks_off_is_finished_by_the_next(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unlink = os.unlink
        for number in range(1, 5):
            await store.put(KEY, in_chunks(b"content"))
            for name in (NAME, OTHER_NAME):
                await store.put_variant(KEY, name, in_chunks(b"variant"))
            with monkeypatch.context() as patched:
                # The third thing that is removed is a variant, and the fourth their folder.
                patched.setattr(os, "unlink", Fault(unlink, errno.EIO, after=number - 1))
                patched.setattr(os, "rmdir", Fault(os.rmdir, errno.EIO))
                with pytest.raises(ContentStoreError):
                    await store.delete(KEY)
            assert is_there(place_of(root)) == (number == 1)
            await store.delete(KEY)
            assert files_below(root) == []
            assert not is_there(place_of_variants(root))

    async def test_a_variant_that_is_replaced_between_finding_and_opening_is_opened_all_the_same(
        self, store: FilesystemContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_variant(KEY, NAME, in_chunks(b"old"))
        listdir, is_first = os.listdir, iter([True])

        def early_listdir(path: Any) -> list[str]:
            names = listdir(path)
            if next(is_first, False):
                old = place_of_variants(root) / variant_file(b"old")
                old.unlink()
                old.with_name(variant_file(b"new")).write_bytes(b"new")
            return names

        with monkeypatch.context() as patched:
            patched.setattr(os, "listdir", early_listdir)
            assert await variant(store) == b"new"
        is_first = iter([True])
        with monkeypatch.context() as patched:
            patched.setattr(os, "listdir", early_listdir)
            place_of_variants(root).joinpath(variant_file(b"new")).rename(
                place_of_variants(root) / variant_file(b"old")
            )
            digest = await FilesystemContentStore(root).find_variant(KEY, NAME)
        assert digest is not None
        assert (digest.byte_size, digest.sha256) == (3, hashlib.sha256(b"new").hexdigest())

    async def test_an_upload_that_a_crash_broke_off_is_an_orphan_and_no_variant(self, root: Path) -> None:
        script = f"""
import asyncio, os
from pathlib import Path
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore

async def chunks():
    yield b"x" * 1000

async def main():
    store = FilesystemContentStore(Path({str(root)!r}))
    await store.prepare()
    os.replace = lambda *_: os._exit(9)
    await store.put_variant({KEY!r}, {NAME!r}, chunks())

asyncio.run(main())
"""
        died = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=False)
        assert died.returncode == 9
        store = FilesystemContentStore(root)
        await store.prepare()
        assert await store.find_variant(KEY, NAME) is None
        (orphan,) = await store.list_orphans(older_than=timedelta())
        assert [path.name for path in files_below(root)] == [orphan]
        await store.put_variant(KEY, NAME, in_chunks(b"variant"))
        assert await variant(store) == b"variant"


class TestMemory:
    async def test_200_mb_go_in_and_out_in_a_few(self, store: FilesystemContentStore) -> None:
        size = 200_000_000

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(size // 500_000):
                yield os.urandom(64) * 7_812 + b"x" * 32

        tracemalloc.start()
        try:
            digest = await store.put(KEY, chunks())
            read_size = 0
            async for chunk in (await store.open(KEY)).chunks:
                read_size += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert digest.byte_size == read_size == size
        assert peak < 8_000_000
