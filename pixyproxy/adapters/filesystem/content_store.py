"""Content in files."""

import asyncio
import os
import re
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import msgspec

from pixyproxy.adapters.disk.clutter import is_clutter
from pixyproxy.adapters.disk.folders import make_data_folder, make_folder_within, sync_folder
from pixyproxy.adapters.filesystem.download import Download, RecentFiles, in_reader
from pixyproxy.adapters.filesystem.errors import translated_errors
from pixyproxy.adapters.filesystem.upload import Upload
from pixyproxy.adapters.filesystem.variants import VariantFolder, digest_of, sha256_of
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import ContentDigest, ContentPorts, FoundContent, Quarantined, StoredContent
from pixyproxy.domain.variant import VariantName

INCOMING: Final = "incoming"
QUARANTINE: Final = "set-aside"
RECEIVED: Final = "upload"
VARIANTS: Final = "variants"
SHARD_LENGTH: Final = 2

_KEY: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{3,127}")
_VARIANT_NAME: Final = re.compile(r"[0-9a-z][0-9a-z.-]{0,127}")

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemContentStore(ContentPorts):
    """Keeps each content in a file of its own below `root`.

    A content with the key `abcdef…` lies in `root/ab/cd/abcdef…`, and its variant `name` in
    `root/variants/ab/cd/abcdef…/name.sha256`, with the SHA-256 of the variant's bytes in hex. Both are written to
    `root/incoming` first and moved to their place when they are complete and on the disk, so that a crash leaves at
    most a file in `incoming` or an empty folder in `variants`. The quarantine is the folder `root/set-aside`: an item
    is named by its key or, where that is taken, its key, a dot and a suffix. Items that go there at once are readable
    by their owner only.

    Blocking calls run in worker threads, except for files that were opened a short time ago and bytes in memory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._quarantine = root / QUARANTINE
        self._recent = RecentFiles()

    async def prepare(self) -> None:
        """Create the folders.

        Nothing else creates the root, so that an unmounted volume is an error and not an empty folder.
        """
        with translated_errors():
            await _to_thread(_make_root, self._root)

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        path = self._root / _name_of(key)
        return await self._upload(key, chunks, lambda upload: upload.commit(self._root, path))

    async def receive(
        self, chunks: AsyncIterable[bytes], accept: Callable[[StoredContent], Awaitable[ContentKey]]
    ) -> ContentDigest:
        upload = Upload(self._temporary(RECEIVED))
        try:
            await _to_thread(upload.begin)
            async for chunk in chunks:
                await _to_thread(upload.write, chunk)
            digest = await _to_thread(upload.flush)
            received = await in_reader(Download, self._root, f"{INCOMING}/{upload.temporary.name}")
            key = await accept(msgspec.structs.replace(received.content(0, None), sha256=digest.sha256))
            return await _to_thread(upload.commit, self._root, self._root / _name_of(key))
        finally:
            await _to_thread(upload.discard)

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        name = _name_of(key)
        is_recent = self._recent.find(name) is not None
        download = Download(self._root, name) if is_recent else await in_reader(Download, self._root, name)
        self._recent.put(name, name)
        return download.content(start, end)

    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        variant = _variant_name_of(key, name)
        file = self._recent.find(variant)
        digest = digest_of(self._root, file) if file is not None else None
        if file is None or digest is None:
            found = await in_reader(self._variants_of(key).find, name)
            if found is None:
                return None
            file, digest = found
        self._recent.put(variant, file)
        return digest

    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        variant = _variant_name_of(key, name)
        file = self._recent.find(variant)
        download = None
        if file is not None:
            # It may have been replaced by another file.
            with suppress(ContentNotFoundError):
                download = Download(self._root, file)
        if download is None:
            download = await in_reader(self._variants_of(key).open, name)
        self._recent.put(variant, download.name)
        return msgspec.structs.replace(download.content(start, end), sha256=sha256_of(download.name))

    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
        _variant_name_of(key, name)
        return await self._upload(key, chunks, partial(self._variants_of(key).put, name))

    async def delete(self, key: ContentKey) -> None:
        path = self._root / _name_of(key)
        with translated_errors():
            # The content goes first, so that no new variant is made of it.
            await _to_thread(path.unlink, missing_ok=True)
        await self.delete_variants(key)
        for item in await self.list_quarantine(key, with_empty=True):
            await self.delete_quarantined(item.name)

    async def delete_variants(self, key: ContentKey) -> None:
        await _to_thread(self._variants_of(key).remove)

    async def check(self) -> None:
        await _to_thread(_try_to_write, self._temporary("check"))

    async def keys(self) -> AsyncIterator[ContentKey]:
        for outer in await _shards(self._root):
            for inner in await _shards(outer):
                for key in await _keys_in(inner, _files_in):
                    yield key

    async def find_content(self, key: ContentKey) -> FoundContent | None:
        try:
            # A file that can't be opened is an error, as it is for readers.
            return FoundContent((await in_reader(Download, self._root, _name_of(key))).byte_size)
        except ContentNotFoundError:
            return None

    async def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        if not await _has_folder(self._root, VARIANTS):
            return
        for outer in await _shards(self._root / VARIANTS):
            for inner in await _shards(outer):
                for key in await _keys_in(inner, _folders_in):
                    yield key

    async def move_to_quarantine(self, key: ContentKey) -> None:
        path = self._root / _name_of(key)
        with translated_errors():
            await _to_thread(_quarantine_file, path, self._quarantine)
        await self.delete_variants(key)

    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        _name_of(key)
        return await self._upload(
            key, chunks, lambda upload: _commit_to_quarantine(upload, self._quarantine, key), mode=0o600
        )

    async def list_quarantine(
        self, key: ContentKey | None = None, *, with_empty: bool = False
    ) -> Sequence[Quarantined]:
        with translated_errors():
            return await _to_thread(_quarantined_in, self._quarantine, key, with_empty=with_empty)

    async def open_quarantined(self, name: str) -> StoredContent:
        _check_file_name(name)
        return (await in_reader(Download, self._root, f"{QUARANTINE}/{name}")).content(0, None)

    async def delete_quarantined(self, name: str) -> None:
        _check_file_name(name)
        with translated_errors():
            await _to_thread((self._quarantine / name).unlink, missing_ok=True)

    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
        with translated_errors():
            return await _to_thread(_untouched_files, self._incoming, time.time() - older_than.total_seconds())

    async def quarantine_orphan(self, name: str) -> None:
        _check_file_name(name)
        with translated_errors():
            await _to_thread(_quarantine_file, self._incoming / name, self._quarantine)

    async def _upload(
        self,
        key: ContentKey,
        chunks: AsyncIterable[bytes],
        commit: Callable[[Upload], ContentDigest],
        *,
        mode: int = 0o640,
    ) -> ContentDigest:
        upload = Upload(self._temporary(key), mode)
        try:
            await _to_thread(upload.begin)
            async for chunk in chunks:
                await _to_thread(upload.write, chunk)
            return await _to_thread(commit, upload)
        finally:
            await _to_thread(upload.discard)

    def _variants_of(self, key: ContentKey) -> VariantFolder:
        return VariantFolder(self._root, f"{VARIANTS}/{_name_of(key)}")

    def _temporary(self, name: str) -> Path:
        return self._incoming / f"{name}.{secrets.token_hex(8)}"


def _name_of(key: ContentKey) -> str:
    """Return the path of a content below the root."""
    if not _is_key(key):
        raise ContentStoreError("The content's key is malformed.")
    return f"{key[:2]}/{key[2:4]}/{key}"


def _variant_name_of(key: ContentKey, name: VariantName) -> str:
    """Return the path of a variant below the root, without the digest at its end."""
    if _VARIANT_NAME.fullmatch(name) is None:
        raise ContentStoreError("The variant's name is malformed.")
    return f"{VARIANTS}/{_name_of(key)}/{name}"


def _check_file_name(name: str) -> None:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ContentStoreError("The file's name is malformed.")


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def _shards_in(folder: Path) -> Sequence[Path]:
    """Return the folders in `folder` that may hold content, or folders with content, in the order of the keys."""
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if len(entry.name) == SHARD_LENGTH and entry.is_dir())


def _files_in(folder: Path) -> Sequence[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))


def _folders_in(folder: Path) -> Sequence[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def _quarantined_in(folder: Path, key: ContentKey | None, *, with_empty: bool) -> Sequence[Quarantined]:
    """Return the items in the folder of the quarantine, ordered by name; none if there is no folder."""
    found: list[Quarantined] = []
    try:
        names = _files_in(folder)
    except FileNotFoundError:
        return found
    for name in names:
        owner = name.partition(".")[0]
        if (key is not None and owner != key) or is_clutter(name):
            continue
        with suppress(FileNotFoundError):
            byte_size = (folder / name).lstat().st_size
            if byte_size or with_empty:
                kept_under = ContentKey(owner) if _is_key(owner) else None
                found.append(Quarantined(name=name, key=kept_under, byte_size=byte_size))
    return found


def _untouched_files(folder: Path, since: float) -> Sequence[str]:
    """Return the names of the files in `folder` that were last written before `since`."""
    untouched = []
    for name in _files_in(folder):
        if is_clutter(name):
            continue
        # Running uploads come and go.
        with suppress(FileNotFoundError):
            if (folder / name).lstat().st_mtime < since:
                untouched.append(name)
    return untouched


def _quarantine_file(path: Path, folder: Path) -> None:
    if os.path.lexists(path):
        with suppress(FileNotFoundError):
            _move_to_quarantine(path, folder, path.name)


@translated_errors()
def _commit_to_quarantine(upload: Upload, folder: Path, name: str) -> ContentDigest:
    digest = upload.flush()
    _move_to_quarantine(upload.temporary, folder, name)
    return digest


def _move_to_quarantine(path: Path, folder: Path, name: str) -> None:
    make_folder_within(folder)
    target = _reserve(folder, name)
    try:
        path.replace(target)
    except OSError:
        target.unlink()
        raise
    sync_folder(folder)
    sync_folder(path.parent)


def _reserve(folder: Path, name: str) -> Path:
    """Create an empty file to reserve a name, and return its path."""
    path = folder / name
    while True:
        try:
            path.touch(0o640, exist_ok=False)
        except FileExistsError:
            path = folder / f"{name}.{secrets.token_hex(8)}"
        else:
            return path


def _try_to_write(path: Path) -> None:
    """Write a block and remove it; an empty file fits on a full disk."""
    upload = Upload(path)
    try:
        upload.begin()
        upload.write(bytes(4096))
    finally:
        upload.discard()


def _make_root(root: Path) -> None:
    try:
        make_data_folder(root)
        make_folder_within(root / INCOMING)
    except OSError as exc:
        exc.add_note(f"{exc.filename or root}: {exc.strerror}")
        raise


async def _shards(folder: Path) -> Sequence[Path]:
    with translated_errors():
        return await _to_thread(_shards_in, folder)


async def _has_folder(root: Path, name: str) -> bool:
    with translated_errors():
        return name in await _to_thread(os.listdir, root)


async def _keys_in(folder: Path, list_names: Callable[[Path], Sequence[str]]) -> Sequence[ContentKey]:
    with translated_errors():
        names = await _to_thread(list_names, folder)
    shard = folder.parent.name + folder.name
    return [ContentKey(name) for name in names if name.startswith(shard) and _is_key(name)]


async def _to_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a worker thread, to its end even if the caller is cancelled.

    Otherwise the clean-up would close or remove a file that the thread still writes. A task around the thread does not
    help: a loop that shuts down cancels it directly.
    """
    running = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
